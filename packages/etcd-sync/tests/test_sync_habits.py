"""What programs on python-etcd3 do, with the synchronous client: a tour, and locks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

import etcd_sync
from etcd_sync import Client, Event, EventKind

TIME = 60.0


@pytest.fixture
def etcd(etcd_endpoint: str) -> Iterator[Client]:
    host, _, port = etcd_endpoint.rpartition(":")
    client = etcd_sync.Client(host, port)
    yield client
    client.close()


def test_a_key_that_is_missing_then_put_then_deleted(etcd: Client, key_prefix: bytes) -> None:
    assert etcd.get(key_prefix) is None
    etcd.put(key_prefix, b"doot")
    found = etcd.get(key_prefix)
    assert found is not None
    assert found.value == b"doot"
    assert etcd.delete(key_prefix)
    assert etcd.delete(key_prefix) is None


def test_a_transaction_with_both_outcomes(etcd: Client, key_prefix: bytes) -> None:
    def run() -> bool:
        return etcd.transaction(
            compare=[
                etcd.transactions.value(key_prefix) == b"doot",
                etcd.transactions.version(key_prefix) > 0,
            ],
            success=[etcd.transactions.put(key_prefix, b"success")],
            failure=[etcd.transactions.put(key_prefix, b"doot")],
        ).succeeded

    assert [run(), run(), run()] == [False, True, False]


def test_a_loop_over_events_that_counts_and_cancels(etcd: Client, key_prefix: bytes) -> None:
    events = etcd.watch_prefix(key_prefix)
    for number in range(20):
        etcd.put(key_prefix + b"%d" % number, b"v")

    count = 0
    for event in events:
        assert event.kind is EventKind.PUT
        count += 1
        if count > 10:
            events.cancel()

    assert count == 11


def test_a_callback_for_events(etcd: Client, key_prefix: bytes) -> None:
    seen: SimpleQueue[bytes] = SimpleQueue()

    def watch_callback(event: Event | Exception) -> None:
        assert isinstance(event, Event)
        seen.put(event.kv.value)

    watcher = etcd_sync.Watcher(etcd)
    watching = watcher.add_callback(key_prefix, watch_callback)
    etcd.put(key_prefix, b"value")

    assert seen.get(timeout=TIME) == b"value"
    assert watching.watch_id is not None
    watcher.cancel(watching.watch_id)
    watcher.shutdown()


def test_a_lock_that_is_acquired_and_released_by_hand(etcd: Client, key_prefix: bytes) -> None:
    lock = etcd.lock(key_prefix, ttl=60)
    assert lock.acquire()
    other = etcd.lock(key_prefix, ttl=60)
    assert not other.acquire(timeout=0)
    assert lock.release()
    assert other.acquire()
    assert not lock.is_acquired()
    assert other.release()


def test_a_lock_that_threads_take_in_turn(etcd: Client, key_prefix: bytes) -> None:
    inside = 0
    most = 0
    done: list[int] = []

    def work(number: int) -> None:
        nonlocal inside, most
        with etcd.lock(key_prefix, ttl=60, timeout=TIME):
            inside += 1
            most = max(most, inside)
            etcd.put(key_prefix + b"/turn", b"%d" % number)
            done.append(number)
            inside -= 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIME)

    assert most == 1
    assert sorted(done) == list(range(8))
