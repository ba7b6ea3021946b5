"""Functions and iterables of the user that the synchronous client calls or reads."""

from __future__ import annotations

import gc
import io
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest

import etcd_sync
from etcd_sync import Client, STMTransaction
from etcd_sync._portal import Portal
from etcd_sync.errors import BulkError, ClientClosedError, ClientError
from etcd_testing import FaultProxy

TIME = 60.0


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[Client]:
    with Client(endpoints=etcd_endpoint) as client:
        yield client


# Software transactional memory ---------------------------------------------------------


def test_the_function_of_a_transaction_runs_in_the_calling_thread_and_uses_the_client(
    client: Client, key_prefix: bytes
) -> None:
    source, target = key_prefix + b"source", key_prefix + b"target"
    client.put(source, b"value")

    def move(t: STMTransaction) -> int:
        found = t.get(source)
        assert found is not None
        assert client.get(target) is None  # another call of the client does not wait for this one
        t.put(target, found.value)
        t.delete(source)
        assert [each.key for each in t.get_prefix(key_prefix)] == [target]
        return threading.get_ident()

    done = client.stm(move, prefetch=[source])

    assert done.value == threading.get_ident()
    assert client.get(source) is None
    found = client.get(target)
    assert found is not None
    assert found.value == b"value"


def test_a_function_that_closes_the_client_gets_an_error_and_no_warning(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    client = Client(endpoints=etcd_endpoint)

    def close(t: STMTransaction) -> None:
        client.close()
        t.get(key_prefix)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ClientClosedError):
            client.stm(close)
        gc.collect()

    assert not [each for each in caught if "never awaited" in str(each.message)]


def test_calls_of_a_closed_client_are_refused_without_a_warning(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    client = Client(endpoints=etcd_endpoint)
    client.close()
    calls: list[Callable[[], object]] = [
        lambda: client.get(key_prefix),
        lambda: client.stm(lambda t: t.get(key_prefix)),
        lambda: client.put_many({key_prefix: b"v"}),
        lambda: next(client.scan_many([key_prefix])),
        lambda: client.snapshot(io.BytesIO()),
        lambda: client.watch(key_prefix),
    ]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for call in calls:
            with pytest.raises(ClientClosedError):
                call()
        gc.collect()

    assert not [each for each in caught if "never awaited" in str(each.message)]


def test_a_transaction_runs_again_after_a_conflict(client: Client, key_prefix: bytes) -> None:
    def add(t: STMTransaction) -> int:
        found = t.get(key_prefix)
        number = 0 if found is None else int(found.value)
        if t.attempt == 1:
            client.put(key_prefix, b"10")
        t.put(key_prefix, b"%d" % (number + 1))
        return number + 1

    done = client.stm(add)

    assert (done.value, done.attempts) == (11, 2)


def test_an_exception_of_the_function_is_raised_and_nothing_is_written(
    client: Client, key_prefix: bytes
) -> None:
    def fails(t: STMTransaction) -> None:
        t.put(key_prefix, b"value")
        raise LookupError("no")

    def interrupted(t: STMTransaction) -> None:
        t.put(key_prefix, b"value")
        raise KeyboardInterrupt

    with pytest.raises(LookupError, match="no"):
        client.stm(fails)
    with pytest.raises(KeyboardInterrupt):
        client.stm(interrupted)
    assert client.get(key_prefix) is None


def test_a_transaction_is_refused_outside_of_its_function(
    client: Client, key_prefix: bytes
) -> None:
    kept: list[STMTransaction] = []
    refused: list[str] = []

    def body(t: STMTransaction) -> None:
        kept.append(t)

        def elsewhere() -> None:
            try:
                t.get(key_prefix)
            except RuntimeError as error:
                refused.append(str(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    client.stm(body)

    assert len(refused) == 1
    with pytest.raises(RuntimeError):
        kept[0].get(key_prefix)
    with pytest.raises(RuntimeError):
        kept[0].put(key_prefix, b"late")


def test_an_async_function_is_refused(client: Client) -> None:
    async def body(t: STMTransaction) -> None: ...

    with pytest.raises(TypeError, match="plain one, not an async function"):
        client.stm(body)


# Bulk operations -----------------------------------------------------------------------


def test_a_source_is_read_in_the_calling_thread_and_uses_the_client(
    client: Client, key_prefix: bytes
) -> None:
    client.put_many({key_prefix + b"a%03d" % number: b"v" for number in range(300)})
    threads: set[int] = set()
    done: list[tuple[int, int | None]] = []

    def copies() -> Iterator[tuple[bytes, bytes]]:
        for found in client.scan_prefix(key_prefix + b"a", page_size=50):
            threads.add(threading.get_ident())
            yield key_prefix + b"b" + found.key[-3:], found.value

    result = client.put_many(copies(), progress=lambda *of: done.append(of))

    assert result.done == 300
    assert threads == {threading.get_ident()}
    assert done[-1] == (300, None)
    assert client.get_prefix(key_prefix + b"b", count_only=True).count == 300


def test_keys_are_read_and_deleted_in_their_order(client: Client, key_prefix: bytes) -> None:
    keys = [key_prefix + b"%03d" % number for number in range(200)]
    client.put_many((key, key[-1:]) for key in keys[::2])

    found = client.get_many(iter(keys))
    scanned = list(client.scan_many(iter(keys), in_flight=2))
    deleted = client.delete_many(iter(keys))

    assert [one is not None for one in found] == [True, False] * 100
    assert [key for key, _ in scanned] == keys
    assert [one for _, one in scanned] == found
    assert deleted.deleted == 100


def test_threads_that_share_a_scan_of_keys_have_each_once(
    client: Client, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%03d" % number for number in range(200)]
    scanned = client.scan_many(iter(keys), in_flight=2)

    with ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(lambda _: list(scanned), range(4), timeout=TIME))

    assert sorted(key for part in parts for key, _ in part) == keys


def test_a_source_that_reads_its_own_scan_is_refused(client: Client, key_prefix: bytes) -> None:
    def source() -> Iterator[bytes]:
        yield key_prefix
        next(scanned)

    scanned = client.scan_many(source())
    with pytest.raises(RuntimeError, match="cannot read it"):
        list(scanned)


def test_what_a_source_or_a_progress_raises_is_raised(client: Client, key_prefix: bytes) -> None:
    def source() -> Iterator[tuple[bytes, bytes]]:
        yield key_prefix + b"first", b"v"
        raise LookupError("the source")

    def progress(done: int, total: int | None) -> None:
        raise LookupError("the progress")

    with pytest.raises(LookupError, match="the source"):
        client.put_many(source())
    assert client.get(key_prefix + b"first") is not None
    with pytest.raises(LookupError, match="the progress"):
        client.put_many({key_prefix: b"v"}, progress=progress)


def test_a_source_continues_where_a_failed_call_has_left_it(
    client: Client, key_prefix: bytes
) -> None:
    items = iter([(key_prefix + b"%03d" % number, b"v") for number in range(300)])

    with pytest.raises(BulkError) as failed:
        client.put_many(items, lease=1, in_flight=1)

    result = failed.value.result
    assert result.done == 0
    rest = [key for key, _ in items]
    read = 300 - len(rest)
    assert rest == [key_prefix + b"%03d" % number for number in range(read, 300)]
    assert read < 300


def test_sources_of_the_wrong_kind_are_refused(client: Client) -> None:
    async def keys() -> None: ...

    class Asynchronous:
        def __aiter__(self) -> None: ...

    with pytest.raises(TypeError, match="keys must be an iterable, not int"):
        client.get_many(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="keys must be an iterable, not an asynchronous one"):
        client.get_many(Asynchronous())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="keys must be an iterable"):
        client.get_many(b"key")  # type: ignore[arg-type]


def test_a_snapshot_is_written_by_the_calling_thread(client: Client) -> None:
    threads: set[int] = set()

    class Writer:
        def __init__(self) -> None:
            self.data = io.BytesIO()

        def write(self, data: bytes) -> int:
            threads.add(threading.get_ident())
            client.status()
            return self.data.write(data)

    writer = Writer()

    saved = client.snapshot(writer)

    assert saved.size == len(writer.data.getvalue())
    assert threads == {threading.get_ident()}


# Caches --------------------------------------------------------------------------------


def test_a_predicate_is_called_in_the_calling_thread_and_uses_the_client(
    client: Client, key_prefix: bytes
) -> None:
    threads: set[int] = set()

    def changed(cache: etcd_sync.Cache[bytes]) -> bool:
        threads.add(threading.get_ident())
        client.put(key_prefix + b"key", b"value")
        return cache.get(key_prefix + b"key") is not None

    with client.cache(key_prefix) as cache:
        assert cache.wait_for(changed, timeout=TIME)

    assert threads == {threading.get_ident()}


def test_decode_is_called_in_the_clients_own_thread_where_calls_are_refused(
    client: Client, key_prefix: bytes
) -> None:
    refused: list[tuple[str, str]] = []

    def decode(value: bytes) -> bytes:
        try:
            client.get(key_prefix)
        except RuntimeError as error:
            refused.append((threading.current_thread().name, str(error)))
        return value.upper()

    client.put(key_prefix, b"value")
    with client.cache(key_prefix, decode=decode) as cache:
        assert [entry.value for entry in cache.items()] == [b"VALUE"]

    ((thread, message),) = refused
    assert thread == "etcd_sync"
    assert "call the client in another thread" in message


# Watchers ------------------------------------------------------------------------------


def test_callbacks_run_in_threads_of_their_own_and_use_the_client(
    client: Client, key_prefix: bytes
) -> None:
    watcher = etcd_sync.Watcher(client)
    seen: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
    slow = threading.Event()

    def blocks(event: etcd_sync.Event | Exception) -> None:
        slow.wait(TIME)

    def reads(event: etcd_sync.Event | Exception) -> None:
        assert isinstance(event, etcd_sync.Event)
        found = client.get(event.kv.key)
        assert found is not None
        seen.put((threading.current_thread().name, found.value))

    watcher.add_callback(key_prefix, blocks)
    added = watcher.add_callback(key_prefix, reads)
    client.put(key_prefix, b"value")

    assert seen.get(timeout=TIME) == ("etcd_sync callback", b"value")
    assert added.callback is reads
    assert added.watch_id is not None
    watcher.cancel(added.watch_id)
    slow.set()
    watcher.shutdown()


def test_a_callback_may_shut_its_watcher_down(client: Client, key_prefix: bytes) -> None:
    watcher = etcd_sync.Watcher(client)
    down: SimpleQueue[None] = SimpleQueue()

    def callback(event: etcd_sync.Event | Exception) -> None:
        watcher.shutdown()
        down.put(None)

    watcher.add_callback(key_prefix, callback)
    client.put(key_prefix, b"value")

    down.get(timeout=TIME)


def test_a_callback_that_exits_is_logged_and_gets_the_next_event(
    client: Client, key_prefix: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = etcd_sync.Watcher(client)
    seen: SimpleQueue[bytes] = SimpleQueue()

    def callback(event: etcd_sync.Event | Exception) -> None:
        assert isinstance(event, etcd_sync.Event)
        if event.kv.value == b"exit":
            sys.exit("no more")
        seen.put(event.kv.value)

    watcher.add_callback(key_prefix, callback)
    client.put(key_prefix, b"exit")
    client.put(key_prefix, b"value")

    assert seen.get(timeout=TIME) == b"value"
    watcher.shutdown()
    assert "SystemExit('no more')" in caplog.text


def test_a_callback_whose_thread_could_not_be_started_is_called_for_the_next_event(
    client: Client, key_prefix: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = etcd_sync.Watcher(client)
    refused, seen, start = threading.Event(), SimpleQueue[bytes](), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "etcd_sync callback":
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    def callback(event: etcd_sync.Event | Exception) -> None:
        assert isinstance(event, etcd_sync.Event)
        seen.put(event.kv.value)

    watcher.add_callback(key_prefix, callback)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        client.put(key_prefix, b"refused")
        assert refused.wait(TIME)
    client.put(key_prefix, b"value")

    assert seen.get(timeout=TIME) == b"value"
    watcher.shutdown()


# Telling callbacks ---------------------------------------------------------------------


def test_on_failed_attempt_is_called_in_a_thread_where_it_may_use_the_client(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    told: SimpleQueue[bool] = SimpleQueue()

    def tell(attempt: etcd_sync.FailedAttempt) -> None:
        told.put(own.get(key_prefix) is None)

    with Client(endpoints=etcd_endpoint, on_failed_attempt=tell) as own:
        with pytest.raises(ClientError):
            own.put(key_prefix, b"", ignore_value=True)
        assert told.get(timeout=TIME)


def test_on_reconnect_is_called_in_a_thread_where_it_may_use_the_client(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    told: SimpleQueue[tuple[str, bool]] = SimpleQueue()

    def tell(reconnect: etcd_sync.Reconnect) -> None:
        told.put((threading.current_thread().name, own.get(key_prefix) is None))

    portal, proxy = Portal(), FaultProxy(etcd_endpoint)
    portal.enter(proxy)
    try:
        with (
            Client(endpoints=proxy.endpoint, on_reconnect=tell) as own,
            own.watch(key_prefix + b"key") as watch,
        ):
            portal.call(proxy.reset)
            assert told.get(timeout=TIME) == ("etcd_sync callback", True)
            own.put(key_prefix + b"key", b"value")
            assert next(watch).kv.value == b"value"
    finally:
        portal.exit(proxy)
        portal.close()


def test_a_registration_tells_its_changes(client: Client, key_prefix: bytes) -> None:
    told: SimpleQueue[bool] = SimpleQueue()

    def change(change: etcd_sync.RegistrationChange) -> None:
        client.get(key_prefix)
        told.put(change.registered)
        sys.exit("ends no thread that later changes need")

    with client.registration(key_prefix, "host:1", on_change=change, ttl=60) as registered:
        assert told.get(timeout=TIME)
        client.delete(registered.key)
        assert not told.get(timeout=TIME)
        assert told.get(timeout=TIME)
