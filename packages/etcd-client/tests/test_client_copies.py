"""Results and errors can be copied and pickled; clients, leases, locks and watches cannot."""

from __future__ import annotations

import concurrent.futures
import copy
import gc
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest

from etcd_cache import Cache, CacheReader
from etcd_channel import (
    TLS,
    Channel,
    ChannelView,
    ClientError,
    NamespaceView,
    NonCopyable,
    RevisionCompactedError,
    Service,
    Stream,
)
from etcd_channel.base_classes import Connected
from etcd_client import Client
from etcd_cluster import ClusterClient, Member
from etcd_cluster.listing import Listing
from etcd_kv import KVClient, Scan, STMTransaction
from etcd_kv._coalescing import CoalescingView
from etcd_lease import Lease, LeaseExpiredError, LeaseLoss, PendingLease
from etcd_lease.loss import Loss
from etcd_lock import (
    Election,
    Lock,
    LockLoss,
    MultiLock,
    Mutex,
    Permit,
    QueueEntry,
    ReadLock,
    ReadWriteLock,
    Semaphore,
    Session,
    WriteLock,
)
from etcd_lock._entry_holder import EntryHolder
from etcd_lock._queued_lock import QueuedLock
from etcd_recipes import (
    Barrier,
    CountDownLatch,
    Counter,
    Discovery,
    DoubleBarrier,
    Group,
    Job,
    Membership,
    Part,
    Partitioner,
    PriorityQueue,
    Queue,
    Registration,
    WorkQueue,
)
from etcd_recipes._recipe import Recipe
from etcd_recipes.queue import _BaseQueue
from etcd_watch import Watch, Watcher, WatcherCallback

COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    *(
        lambda it, protocol=protocol: pickle.loads(pickle.dumps(it, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ),
]

PACKAGES = (
    *("channel", "kv", "lease", "watch", "lock", "recipes", "cache", "cluster", "auth", "client"),
)
NEEDS_AN_EXTRA = {"etcd_channel.opentelemetry"}
"""A module that cannot be imported here; its class is a view."""


def refused(thing: object) -> None:
    name = type(thing).__name__
    for make in COPIES:
        with pytest.raises(TypeError, match=rf"^an? {name} cannot be copied or pickled: "):
            make(thing)


async def test_copying_an_object_with_a_connection_is_refused_by_name(etcd_endpoint: str) -> None:
    async with Client(endpoints=[etcd_endpoint]) as client:
        refused(client)
        refused(client.channel)
        refused(client.coalescing().channel)
        refused(client.namespace(b"copies/"))
        refused(client.namespace(b"copies/").channel)
        for kind in Client.__mro__[1:]:
            if kind is not Service and issubclass(kind, Service):
                refused(kind(client.channel))
        async with client.session() as session:
            refused(session)
            refused(Mutex(session, b"copies/mutex"))
            refused(Election(session, b"copies/election"))
            refused(QueueEntry(session, b"copies/queue/"))
            refused(MultiLock(session, [b"copies/one", b"copies/two"]))
            books = ReadWriteLock(session, b"copies/books")
            refused(books)
            refused(books.read_lock())
            refused(books.write_lock())
            places = Semaphore(session, b"copies/places", 2)
            refused(places)
            refused(places.permit())
            refused(DoubleBarrier(session, b"copies/gate", 2))
            refused(client.group(b"copies/group"))
            refused(client.registration(b"copies/web", "a:1"))
            refused(client.discovery(b"copies/web"))
            refused(client.partitioner(b"copies/shards", [b"a"]))
            refused(Part(session, b"a", b"copies/shards/parts/a", 1))
            work = client.work_queue(b"copies/work")
            refused(work)
            await work.put(b"")
            job = await work.take(session)
            refused(job)
            assert job is not None
            await job.done()
            refused(client.group(b"copies/group").member(session))
        async with client.lease(30) as lease:
            refused(lease)
            refused(lease.lost)
        pending = client.lease(30)
        refused(pending)
        await (await pending).revoke()
        refused(client.lock(b"copies/lock"))
        refused(client.members())
        refused(client.scan_prefix(b"copies/"))
        refused(client.barrier(b"copies/gate"))
        refused(client.count_down_latch(b"copies/latch", 2))
        refused(client.counter(b"copies/n"))
        refused(client.queue(b"copies/queue"))
        refused(client.priority_queue(b"copies/queue"))
        async with client.cache(b"copies/") as cache:
            refused(cache)
            refused(cache.changes())

        async def body(t: STMTransaction) -> None:
            refused(t)

        await client.stm(body)


async def test_a_refused_copy_of_a_watch_does_not_affect_the_watch(etcd_endpoint: str) -> None:
    """A partial copy once ended the watch when it was dropped."""
    async with Client(endpoints=[etcd_endpoint]) as client, client.watch(b"copies/watch") as watch:
        refused(watch)
        gc.collect()
        await client.put(b"copies/watch", b"seen")
        assert (await watch.__anext__()).kv.value == b"seen"


def test_every_class_with_a_connection_is_tested_here() -> None:
    """Add a new class of this kind to the tests."""
    live = {
        kind
        for package in PACKAGES
        for module in pkgutil.iter_modules(
            importlib.import_module(f"etcd_{package}").__path__, f"etcd_{package}."
        )
        if module.name not in NEEDS_AN_EXTRA
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if issubclass(kind, NonCopyable)
    }
    services = {kind for kind in live if issubclass(kind, Service)}
    assert {Client, KVClient, ClusterClient} < services
    assert live - services - {NonCopyable, Connected} == {
        *(
            Channel,
            ChannelView,
            CoalescingView,
            NamespaceView,
            Stream,
            Listing,
            Lease,
            Loss,
            LeaseLoss,
            PendingLease,
        ),
        *(Scan, STMTransaction, Session, Lock, LockLoss, QueueEntry, EntryHolder, QueuedLock),
        *(Election, Mutex, MultiLock, ReadLock, WriteLock, ReadWriteLock, Permit, Semaphore),
        *(Watch, Watcher, WatcherCallback, Cache, CacheReader),
        *(Recipe, Barrier, CountDownLatch, Counter, DoubleBarrier, Group, Membership),
        *(_BaseQueue, Queue, PriorityQueue, WorkQueue, Job, Registration, Discovery),
        *(Partitioner, Part),
    }


async def test_results_are_copied_and_pickled(etcd_endpoint: str) -> None:
    async with Client(endpoints=[etcd_endpoint]) as client:
        txn = client.transactions
        async with client.watch(b"copies/result") as watch:
            results: list[Any] = [await client.put(b"copies/result", b"1", prev_kv=True)]
            results.append(await watch.__anext__())
        results.append(await client.get(b"copies/result"))
        results.append(await client.get_prefix(b"copies/result"))
        results.append(
            await client.transaction(
                [txn.version(b"copies/result") == 1], [txn.get(b"copies/result")]
            )
        )
        results.append(await client.delete_prefix(b"copies/result", prev_kv=True))
        results.append(await client.status())
        results.append((await client.members())[0])
        async with client.lease(30) as lease:
            results.append(await lease.refresh())
            results.append(await client.get_lease_info(lease.id))
    for result in results:
        for make in COPIES[:2] + COPIES[-1:]:
            copied = make(result)
            assert type(copied) is type(result)
            assert copied == result or repr(copied) == repr(result)


async def test_a_copied_member_keeps_its_client_and_a_pickled_one_has_none(
    etcd_endpoint: str,
) -> None:
    async with Client(endpoints=[etcd_endpoint]) as client:
        member: Member = (await client.members())[0]
        for made in (copy.copy(member), copy.deepcopy(member)):
            assert await made.active_alarms() == []
            made.peer_urls.append("http://changed:1")
        assert "http://changed:1" not in member.peer_urls
        pickled = pickle.loads(pickle.dumps(member))
        assert pickled == member
        with pytest.raises(TypeError, match=f"no longer has a client.* {member.id}$"):
            await pickled.active_alarms()
        assert copy.copy(pickled) == member


def test_a_pickled_tls_has_the_contents_of_its_files() -> None:
    assert pickle.loads(pickle.dumps(TLS(server_name="etcd"))).server_name == "etcd"


def all_errors() -> list[type[ClientError]]:
    kinds: list[type[ClientError]] = []
    waiting: list[type[ClientError]] = [ClientError]
    while waiting:
        kind = waiting.pop()
        kinds.append(kind)
        waiting.extend(kind.__subclasses__())
    return [kind for kind in kinds if kind.__module__.startswith("etcd_")]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_keeps_its_attributes(kind: type[ClientError]) -> None:
    required: dict[str, Any] = {}
    if issubclass(kind, RevisionCompactedError):
        required["compacted_revision"] = 7
    error = kind(**required, message="words", method="KV.Put", endpoint="a:2379", definite=False)
    error.__dict__["added"] = "by hand"
    for make in COPIES:
        made = make(error)
        assert type(made) is kind
        assert str(made) == str(error)
        assert made.args == error.args
        assert vars(made) == vars(error)


async def test_an_error_of_the_server_is_returned_unchanged_from_a_process(
    etcd_endpoint: str,
) -> None:
    async with Client(endpoints=[etcd_endpoint]) as client:
        with pytest.raises(ClientError) as caught:
            await client.get_lease_info(1)
        error = caught.value
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        expired = LeaseExpiredError("gone", lease_id=7)
        for sent in (error, expired):
            returned = pool.submit(copy.copy, sent).result()
            assert type(returned) is type(sent)
            assert vars(returned) == vars(sent)


def test_a_partly_constructed_object_is_dropped_without_an_error() -> None:
    """An exception in `__del__` would be an error here."""
    for kind in (Client, Channel, Watch, Lease, Lock, Stream):
        kind.__new__(kind)
    gc.collect()
