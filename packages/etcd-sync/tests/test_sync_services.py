"""Each service through the synchronous client, on a real etcd."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from contextlib import closing
from queue import SimpleQueue

import pytest

import etcd_sync
from etcd_sync import Client, EventKind
from etcd_sync.errors import (
    DuplicateLeaseError,
    KeyNotFoundError,
    LockLostError,
    LockTimeoutError,
    WatchTimeoutError,
)

TIME = 60.0


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[Client]:
    with Client(endpoints=etcd_endpoint) as client:
        yield client


# Keys and values -----------------------------------------------------------------------


def test_a_key_is_put_read_and_deleted(client: Client, key_prefix: bytes) -> None:
    key = key_prefix + b"key"

    client.put(key, b"value")
    found = client.get(key)

    assert found is not None
    assert found.value == b"value"
    assert client.delete(key) is not None
    assert client.get(key) is None


def test_errors_are_those_of_the_asynchronous_client(client: Client, key_prefix: bytes) -> None:
    with pytest.raises(KeyNotFoundError):
        client.put(key_prefix + b"none", b"", ignore_value=True)
    with pytest.raises(TypeError, match="key must be bytes"):
        client.get("text")  # type: ignore[arg-type]


def test_a_coroutine_calls_the_client_in_a_thread_only(client: Client, key_prefix: bytes) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"use etcd_client\.Client"):
            client.get(key_prefix)
        assert await asyncio.to_thread(client.get, key_prefix) is None

    asyncio.run(main())


def test_a_transaction_compares_and_writes(client: Client, key_prefix: bytes) -> None:
    txn, key = client.transactions, key_prefix + b"key"

    result = client.transaction([txn.version(key) == 0], [txn.put(key, b"new")])

    assert result.succeeded
    assert client.replace(key, b"new", b"newer")


def test_a_scan_yields_keys_or_pages_and_counts_them(client: Client, key_prefix: bytes) -> None:
    client.put_many((key_prefix + b"%04d" % number, b"v") for number in range(250))

    with client.scan_prefix(key_prefix, page_size=100) as scan:
        keys = [found.key for found in scan]
    pages = [len(page) for page in client.scan_prefix(key_prefix, page_size=100).pages()]

    assert keys == [key_prefix + b"%04d" % number for number in range(250)]
    assert (scan.done, scan.count, scan.last_key) == (250, 250, keys[-1])
    assert pages == [100, 100, 50]


def test_calls_of_threads_share_transactions(client: Client, key_prefix: bytes) -> None:
    together = client.coalescing()
    threads = [
        threading.Thread(target=together.put, args=(key_prefix + b"%d" % number, b"v"))
        for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert client.get_prefix(key_prefix, count_only=True).count == 16


def test_a_namespace_hides_its_prefix(client: Client, key_prefix: bytes) -> None:
    inside = client.namespace(key_prefix)
    inside.put(b"key", b"value")

    assert inside.key_prefix == key_prefix
    assert [found.key for found in inside.get_all()] == [b"key"]
    assert client.get(key_prefix + b"key") is not None
    inside.close()
    assert inside.get(b"key") is not None


# Watches -------------------------------------------------------------------------------


def test_every_change_after_watch_has_returned_is_an_event(
    client: Client, key_prefix: bytes
) -> None:
    with client.watch_prefix(key_prefix) as watch:
        client.put(key_prefix + b"a", b"1")
        client.delete(key_prefix + b"a")
        events = [next(watch), next(watch)]

    assert [event.kind for event in events] == [EventKind.PUT, EventKind.DELETE]
    assert next(watch, None) is None


def test_a_loop_over_a_watch_can_be_left(client: Client, key_prefix: bytes) -> None:
    revision = client.put(key_prefix + b"a", b"1").header.revision
    seen: list[bytes] = []

    for event in client.watch(key_prefix + b"a", start_revision=revision):
        seen.append(event.kv.value)
        break

    assert seen == [b"1"]
    once = client.watch_once(key_prefix + b"a", start_revision=revision, timeout=TIME)
    assert once.kv.value == b"1"
    with pytest.raises(WatchTimeoutError):
        client.watch_once(key_prefix + b"a", timeout=0)


def test_threads_that_read_one_watch_have_each_event_once(
    client: Client, key_prefix: bytes
) -> None:
    watch = client.watch_prefix(key_prefix)
    seen: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        for event in watch:
            seen.put(event.kv.key)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    keys = [key_prefix + b"%03d" % number for number in range(100)]
    for key in keys:
        client.put(key, b"v")
    assert sorted(seen.get(timeout=TIME) for _ in keys) == keys
    watch.cancel()
    for thread in threads:
        thread.join(TIME)

    assert seen.empty()
    assert not any(thread.is_alive() for thread in threads)


def test_the_responses_of_a_watch_have_whole_revisions(client: Client, key_prefix: bytes) -> None:
    txn = client.transactions
    with client.watch_prefix(key_prefix) as watch, closing(watch.responses()) as responses:
        client.transaction(None, [txn.put(key_prefix + b"%d" % n, b"v") for n in range(3)])
        assert len(next(responses).events) == 3


# Leases --------------------------------------------------------------------------------


def test_a_lease_ends_its_keys_with_its_block(client: Client, key_prefix: bytes) -> None:
    with client.lease(60) as lease:
        client.put(key_prefix + b"key", b"value", lease)
        assert lease.keys() == [key_prefix + b"key"]
        assert not lease.is_lost
        assert 0 < lease.remaining <= 60
        assert lease.lost.wait(0) is None
        with pytest.raises(DuplicateLeaseError):
            client.lease(60, lease.id)

    assert client.get(key_prefix + b"key") is None
    assert lease.is_revoked
    assert lease.lost.wait(TIME) is not None


def test_a_lease_that_is_granted_without_a_block_is_kept_alive(client: Client) -> None:
    lease = client.lease(60)

    lease.keep_alive()

    assert lease.is_kept_alive
    assert lease.id in client.leases()
    assert client.refresh_lease(lease).ttl == 60
    assert etcd_sync.Lease(lease.id, 60, client).remaining_ttl() <= 60
    lease.revoke()


# Locks ---------------------------------------------------------------------------------


def test_a_lock_excludes_another_one(client: Client, key_prefix: bytes) -> None:
    with client.lock(key_prefix, ttl=60) as lock:
        assert lock.is_acquired()
        assert lock.lease is not None
        assert lock.lease.refresh().ttl == 60
        assert lock.fencing_token is not None
        assert client.transaction([lock.ownership()], []).succeeded
        assert not client.lock(key_prefix, ttl=60).acquire(timeout=0)
        with pytest.raises(LockTimeoutError), client.lock(key_prefix, timeout=0):
            pytest.fail("the body ran without the lock")

    assert not lock.is_acquired()


def test_a_loss_that_is_known_is_told_without_waiting(client: Client, key_prefix: bytes) -> None:
    lock = client.lock(key_prefix, ttl=60)
    assert lock.acquire()
    lost = lock.lost
    assert lost.wait(0) is None
    client.delete(key_prefix)
    error = lost.wait(TIME)
    assert error is not None
    assert "was deleted" in str(error)
    assert str(lost.wait(0)) == str(error)
    assert not lock.is_acquired()


def test_the_loss_of_a_lock_is_raised_at_the_end_of_its_block(
    client: Client, key_prefix: bytes
) -> None:
    acquired: list[bool] = []

    def lose() -> None:
        with client.lock(key_prefix, ttl=60) as lock:
            acquired.append(lock.is_acquired())
            client.delete(key_prefix)
            acquired.append(lock.is_acquired())

    with pytest.raises(LockLostError):
        lose()
    assert acquired == [True, False]


def test_a_body_cannot_be_cancelled_on_a_loss(client: Client, key_prefix: bytes) -> None:
    with pytest.raises(ValueError, match="cancel_on_loss must be False"):
        client.lock(key_prefix, cancel_on_loss=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cancel_on_loss must be False"):
        client.lease(60, cancel_on_loss=True)  # type: ignore[arg-type]


def test_what_is_held_with_a_session(client: Client, key_prefix: bytes) -> None:
    with client.session(ttl=60) as session:
        with etcd_sync.Mutex(session, key_prefix + b"mutex") as mutex:
            assert mutex.is_acquired()
            assert mutex.lost.wait(0) is None
        with etcd_sync.MultiLock(session, [key_prefix + b"b", key_prefix + b"a"]) as multi:
            assert multi.names == (key_prefix + b"a", key_prefix + b"b")
        both = etcd_sync.ReadWriteLock(session, key_prefix + b"rw")
        with both.read_lock(), both.read_lock():
            assert not both.write_lock(timeout=0).acquire()
        semaphore = etcd_sync.Semaphore(session, key_prefix + b"semaphore", 2)
        with semaphore.permit():
            assert semaphore.usage().holders == 1
        election = etcd_sync.Election(session, key_prefix + b"election")
        with election.lead(b"first"), closing(election.observe()) as leaders:
            election.proclaim(b"second")
            assert next(leaders).value == b"second"
            found = client.election_leader(key_prefix + b"election")
            assert found is not None
            assert found.value == b"second"
        entry = etcd_sync.QueueEntry(session, key_prefix + b"queue/")
        assert entry.acquire(b"value")
        assert entry.session == session
        assert entry.leave()

    assert session.is_lost


def test_the_locks_of_the_server(client: Client, key_prefix: bytes) -> None:
    with client.lease(60) as lease:
        key = client.server_lock(key_prefix + b"lock", lease)
        client.server_unlock(key)
        leader = client.server_campaign(key_prefix + b"election", b"me", lease)
        assert client.server_leader(key_prefix + b"election").value == b"me"
        client.server_resign(leader)


# The cluster ---------------------------------------------------------------------------


def test_members_maintenance_and_users(client: Client) -> None:
    (member,) = client.members()
    status = client.status()
    (of_all,) = client.status_cluster()
    snapshot = io.BytesIO()
    sizes: list[int] = []

    assert status.leader == member
    assert of_all.member == member
    assert of_all.healthy
    assert client.list_alarms() == member.active_alarms() == []
    assert client.snapshot(snapshot, progress=lambda done, total: sizes.append(done)).size
    assert sizes[-1] == len(snapshot.getvalue())
    assert client.hash_kv().hash
    assert client.user_list() == client.role_list() == []
