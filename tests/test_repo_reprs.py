"""The repr of a public object helps in a debugger, and none shows a secret."""

from __future__ import annotations

import gc
import importlib
import inspect
import pkgutil
import re
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest
from workspace import packages

from etcd_client import TLS, Client, Election, Mutex, ReadWriteLock, Semaphore
from etcd_testing import EtcdServer, FaultProxy

TOPS = sorted(path.name for package in packages().values() for path in package.imports)

BASES = {"NonCopyable", "Unpack"}
"""Classes without instances of their own, as abstract classes are: a base whose subclasses have a
repr, and what stands for `typing.Unpack` on Python 3.10."""

PASSWORD = "the-password-of-root"


def modules(top: str) -> Iterator[ModuleType]:
    package = importlib.import_module(top)
    yield package
    for found in pkgutil.iter_modules(package.__path__):
        if not found.name.startswith("_") and found.name != "pb":
            try:
                yield importlib.import_module(f"{top}.{found.name}")
            except ImportError:
                assert (top, found.name) == ("etcd_channel", "opentelemetry"), "it is an extra"


def classes(top: str) -> Iterator[type]:
    """The public classes of a package, without protocols, which have no instances."""
    for module in modules(top):
        for name in getattr(module, "__all__", ()):
            found = getattr(module, name)
            own = inspect.isclass(found) and found.__module__.partition(".")[0] == top
            if own and not getattr(found, "_is_protocol", False):
                yield found


@pytest.mark.parametrize("top", TOPS)
def test_every_public_class_has_a_repr_of_its_own(top: str) -> None:
    default: Any = object.__repr__
    without = {
        f"{found.__module__}.{found.__name__}"
        for found in classes(top)
        if found.__repr__ is default
        and found.__name__ not in BASES
        and not inspect.isabstract(found)
    }
    assert without == set()


@pytest.mark.parametrize("top", [top for top in TOPS if top != "aetcd"])
def test_every_package_has_its_version(top: str) -> None:
    version = importlib.import_module(top).__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+([a-z]+\d+)?", version)


def alive() -> list[object]:
    """Return the objects of our classes that are alive, messages aside."""
    found = []
    for value in gc.get_objects():
        module = type(value).__module__
        if isinstance(module, str) and module.startswith("etcd_") and "_pb2" not in module:
            found.append(value)
    return found


async def test_no_repr_of_any_object_of_a_working_client_shows_a_secret() -> None:
    of_other_tests = alive()
    server = EtcdServer(tls=True, client_cert_auth=True)
    async with server, FaultProxy(server.endpoint) as proxy:
        files = server.tls
        assert files is not None
        assert files.client_cert is not None
        assert files.client_key is not None
        tls = TLS(ca_cert=files.ca, client_cert=files.client_cert, client_key=files.client_key)
        async with Client(endpoints=server.endpoint, tls=tls) as founder:
            await founder.user_add("root", PASSWORD)
            await founder.user_grant_role("root", "root")
            await founder.auth_enable()
        session = server.etcdctl_session("watch", "key", user=f"root:{PASSWORD}")
        client = Client(endpoints=proxy.endpoint, username="root", password=PASSWORD, tls=tls)
        async with client, session:
            used = _used(client)
            made = await anext(used)
            tokens: Any = client.channel._tokens  # type: ignore[union-attr]  # a Channel
            secrets = {
                "password": PASSWORD,
                "token": tokens.metadata[0][1],
                "key": files.client_key.read_text().splitlines()[1],
            }
            checked = _check(secrets, {id(value) for value in of_other_tests})
            del made
            with pytest.raises(StopAsyncIteration):
                await anext(used)
        assert {"Channel", "Client", "TLS", "Tokens", "Lease", "Watch", "Mutex"} <= checked
        assert {"EtcdServer", "EtcdctlSession", "FaultProxy", "Stream", "Session"} <= checked


async def _used(client: Client) -> AsyncIterator[object]:
    """Use most of a client, and yield while everything that was made is alive."""
    await client.put(b"reprs/key", b"value")
    got = await client.get(b"reprs/key")
    listing, scan, pending = client.members(), client.scan_prefix(b"reprs/"), client.lease(60)
    members = await listing
    statuses = await client.status()
    alarms = client.list_alarms()
    roles, users = await client.role_list(), await client.user_list()
    t = client.transactions
    done = await client.transaction([t.version(b"reprs/key") > 0], [t.get(b"reprs/key")], [])
    lease = await pending
    await lease.keep_alive()
    async with (
        client.watch(b"reprs/key") as watch,
        client.session() as session,
        client.cache(b"reprs/") as cache,
    ):
        books, places = ReadWriteLock(session, b"reprs/b"), Semaphore(session, b"reprs/p", 2)
        changes = cache.changes()
        mutex, election = Mutex(session, b"reprs/mutex"), Election(session, b"reprs/election")
        async with mutex, books.read_lock() as reading, places.permit() as permit:
            work = client.work_queue(b"reprs/work")
            others = [
                client.lock(b"reprs/lock"),
                client.namespace(b"reprs/"),
                client.coalescing(),
                client.barrier(b"reprs/bar"),
                client.counter(b"reprs/counter"),
                client.group(b"reprs/group"),
                client.queue(b"reprs/queue"),
                client.partitioner(b"reprs/parts", [b"a"]),
                client.registration(b"reprs/web", "a:1"),
                client.discovery(b"reprs/web"),
            ]
            yield [
                got,
                listing,
                scan,
                members,
                statuses,
                alarms,
                roles,
                users,
                done,
                watch,
                session,
                changes,
                election,
                reading,
                permit,
                work,
                others,
            ]
    await lease.revoke()


def _check(secrets: dict[str, str], passed_over: set[int]) -> set[str]:
    """Check the repr of every object of ours that is alive; return the names of their classes."""
    public = {found for top in TOPS for found in classes(top)}
    names = set()
    for value in alive():
        if id(value) in passed_over:
            continue
        shown = repr(value)
        name = type(value).__name__
        names.add(name)
        for secret, text in secrets.items():
            assert text not in shown, f"the repr of {name} shows the {secret}"
        if type(value) in public:
            assert shown != object.__repr__(value), name
    return names
