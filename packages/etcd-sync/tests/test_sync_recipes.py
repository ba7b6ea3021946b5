"""Recipes and caches through the synchronous client, on a real etcd."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from etcd_sync import Client, Job, Part
from etcd_sync.errors import CacheTimeoutError, ClientClosedError

TIME = 60.0


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[Client]:
    with Client(endpoints=etcd_endpoint) as client:
        yield client


def test_barriers_counters_and_latches(client: Client, key_prefix: bytes) -> None:
    barrier = client.barrier(key_prefix + b"barrier")
    counter = client.counter(key_prefix + b"counter")
    latch = client.count_down_latch(key_prefix + b"latch", 2)

    assert barrier.hold()
    assert not barrier.wait(timeout=0)
    assert barrier.release()
    assert barrier.wait()
    assert [counter.add(), counter.add(5), counter.get()] == [1, 6, 6]
    latch.count_down(b"one")
    assert latch.remaining() == 1
    latch.count_down(b"two")
    assert latch.wait()


def test_queues(client: Client, key_prefix: bytes) -> None:
    queue = client.queue(key_prefix + b"queue")
    urgent = client.priority_queue(key_prefix + b"urgent")

    queue.put(b"first")
    queue.put(b"second")
    urgent.put(b"later", 2)
    urgent.put(b"now", 1)

    assert (queue.get(), queue.get(), queue.get(timeout=0)) == (b"first", b"second", None)
    assert urgent.get() == b"now"


def test_a_group_shows_its_members(client: Client, key_prefix: bytes) -> None:
    group = client.group(key_prefix + b"group")
    with client.session(ttl=60) as session:
        with group.member(session, b"data", member=b"one") as membership:
            assert membership.group == group
            assert group.members() == {b"one": b"data"}
            with group.changes() as states:
                assert dict(next(states)) == {b"one": b"data"}
                membership.update(b"new")
                assert dict(next(states)) == {b"one": b"new"}
        assert group.members() == {}


def test_a_registered_service_is_discovered(client: Client, key_prefix: bytes) -> None:
    with (
        client.registration(key_prefix + b"web", "host:80", ttl=60),
        client.discovery(key_prefix + b"web") as found,
    ):
        assert found.wait(timeout=TIME)
        assert [each.address for each in found.endpoints] == ["host:80"]
        picked = found.pick()
        assert picked is not None
        assert picked.address == "host:80"


def test_a_job_is_taken_done_and_given_back(client: Client, key_prefix: bytes) -> None:
    queue = client.work_queue(key_prefix + b"jobs")
    queue.put(b"job")
    with client.session(ttl=60) as session:
        taken = queue.take(session)
        assert taken is not None
        assert (taken.value, taken.attempt) == (b"job", 1)
        with pytest.raises(LookupError), taken:
            raise LookupError
        again = queue.take(session)
        assert again is not None
        assert again.attempt == 2
        with again:
            assert client.transaction([again.ownership()]).succeeded
        assert queue.take(session, timeout=0) is None
    assert queue.size() == 0


def test_handlers_of_jobs_run_in_threads_until_the_client_is_closed(
    client: Client, etcd_endpoint: str, key_prefix: bytes
) -> None:
    queue = client.work_queue(key_prefix + b"jobs")
    handled: SimpleQueue[tuple[bytes, bool]] = SimpleQueue()
    ended: SimpleQueue[BaseException] = SimpleQueue()
    together = threading.Barrier(2)

    def handle(job: Job) -> None:
        together.wait(TIME)  # both are handled at the same time
        handled.put((job.value, client.get(key_prefix + b"jobs") is None))
        if job.value == b"long":
            job.ending.wait(TIME)
            handled.put((b"told to end", job.ending.is_set()))

    with Client(endpoints=etcd_endpoint) as own:

        def work() -> None:
            try:
                own.work_queue(key_prefix + b"jobs").work(handle, tasks=2, ttl=60)
            except ClientClosedError as error:
                ended.put(error)

        worker = threading.Thread(target=work)
        worker.start()
        queue.put(b"short")
        queue.put(b"long")
        assert {handled.get(timeout=TIME), handled.get(timeout=TIME)} == {
            (b"short", True),
            (b"long", True),
        }
    worker.join(TIME)

    assert handled.get(timeout=TIME) == (b"told to end", True)
    assert isinstance(ended.get(timeout=TIME), ClientClosedError)


def test_a_job_whose_handler_exits_is_given_back(etcd_endpoint: str, key_prefix: bytes) -> None:
    handled: SimpleQueue[int] = SimpleQueue()

    def handle(job: Job) -> None:
        handled.put(job.attempt)
        if job.attempt == 1:
            sys.exit("no more")

    with Client(endpoints=etcd_endpoint) as own:
        queue = own.work_queue(key_prefix + b"jobs")
        queue.put(b"job")

        def work() -> None:
            with pytest.raises(ClientClosedError):
                queue.work(handle, ttl=60)

        worker = threading.Thread(target=work)
        worker.start()
        assert [handled.get(timeout=TIME), handled.get(timeout=TIME)] == [1, 2]
    worker.join(TIME)


def test_parts_are_worked_on_in_threads_and_given_away_when_the_work_has_ended(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    owned: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
    parts = [b"a", b"b"]

    def member(name: str, client: Client) -> threading.Thread:
        def work(part: Part) -> None:
            assert client.transaction([part.ownership()]).succeeded
            owned.put((name, part.name))
            part.ending.wait(TIME)

        def run() -> None:
            with pytest.raises(ClientClosedError):
                client.partitioner(key_prefix, parts, ttl=60).run(work)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with Client(endpoints=etcd_endpoint) as first, Client(endpoints=etcd_endpoint) as second:
        one = member("first", first)
        assert {owned.get(timeout=TIME)[1], owned.get(timeout=TIME)[1]} == {b"a", b"b"}
        other = member("second", second)
        assert owned.get(timeout=TIME)[0] == "second"
    one.join(TIME)
    other.join(TIME)


def test_a_cache_follows_its_prefix(client: Client, key_prefix: bytes) -> None:
    client.put(key_prefix + b"a", b"1")
    with client.cache(key_prefix, decode=int) as cache:
        with pytest.raises(CacheTimeoutError):
            cache.wait_for(lambda cache: cache.get(key_prefix + b"b"), timeout=0.1)
        changes = cache.changes(initial=True)
        entry = cache.get(key_prefix + b"a")
        assert entry is not None
        assert entry.value == 1
        put = client.put(key_prefix + b"b", b"2")
        found = cache.wait_for(lambda cache: cache.get(key_prefix + b"b"), timeout=TIME)
        assert found.value == 2
        assert cache.catch_up(at_least=put.header.revision) == cache.revision
        assert len(cache) == 2
        assert key_prefix + b"a" in cache
        assert [each.value for each in cache.items()] == [1, 2]
        assert [next(changes).key, next(changes).key] == [key_prefix + b"a", key_prefix + b"b"]
        changes.close()
        assert next(changes, None) is None


def test_changes_from_a_list_can_be_left(client: Client, key_prefix: bytes) -> None:
    client.put(key_prefix + b"a", b"1")

    with client.watch_from_list(key_prefix) as changes:
        assert next(changes).from_list
        client.put(key_prefix + b"b", b"2")
        assert next(changes).key == key_prefix + b"b"
