"""The documented watcher: callbacks get events, and none of them stops another."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import pytest
from watch_support import HANG, connect, streams, until, watchers, within

from etcd_channel import ClientClosedError, ClientError, RevisionCompactedError
from etcd_testing import EtcdServer
from etcd_testing.played import PlayedEtcd
from etcd_testing.plugin import ServerFactory
from etcd_watch import Event, EventKind, Watcher, WatcherCallback, WatchTimeoutError


class Calls:
    """A callback that records its calls."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event | Exception] = asyncio.Queue()

    async def __call__(self, event_or_error: Event | Exception) -> None:
        self.queue.put_nowait(event_or_error)

    async def event(self) -> Event:
        found = await within(self.queue.get())
        assert isinstance(found, Event)
        return found

    async def error(self) -> Exception:
        found = await within(self.queue.get())
        assert isinstance(found, Exception)
        return found


async def test_a_callback_gets_the_events_in_order(server: EtcdServer, key_prefix: bytes) -> None:
    calls = Calls()
    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        await watcher.setup()
        added = await watcher.add_callback(key_prefix, calls, prev_kv=True, watch_id=4)
        assert isinstance(added, WatcherCallback)
        assert (added.callback, added.watch_id, added.prev_kv) == (calls, 4, True)
        assert added.error is None
        for value in (b"1", b"2"):
            await writer.put(key_prefix, value)
        assert (await calls.event()).kv.value == b"1"
        event = await calls.event()
        assert event.prev_kv is not None
        assert (event.kv.value, event.prev_kv.value) == (b"2", b"1")
        await watcher.shutdown()
        assert added.error is None


async def test_a_callback_has_the_documented_attributes_before_it_is_added() -> None:
    callback = WatcherCallback(print)
    assert callback.callback is print
    assert callback.watch_id is None
    assert callback.prev_kv is False
    assert callback.error is None
    assert repr(callback) == "WatcherCallback(watch_id=None, error=None)"


async def test_a_plain_function_is_called_too(server: EtcdServer, key_prefix: bytes) -> None:
    seen: asyncio.Queue[Event | Exception] = asyncio.Queue()
    async with connect(server.endpoint) as (_, writer, channel):
        watcher = Watcher(channel, timeout=5)
        await watcher.add_callback(key_prefix, seen.put_nowait, kind=EventKind.DELETE)
        await writer.put(key_prefix)
        await writer.delete(key_prefix)
        event = await within(seen.get())
        assert isinstance(event, Event)
        assert event.kind is EventKind.DELETE
        await watcher.shutdown()


async def test_a_callback_that_raises_is_logged_and_stops_no_other(
    server: EtcdServer, key_prefix: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    well, before = Calls(), Calls()

    async def failing(event: Event | Exception) -> None:
        await before(event)
        raise RuntimeError("in the callback")

    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        await watcher.add_callback(key_prefix, failing)
        await watcher.add_callback(key_prefix, well)
        with caplog.at_level(logging.ERROR, "etcd_watch"):
            for value in (b"1", b"2"):
                await writer.put(key_prefix, value)
            for calls in (before, well):
                assert [(await calls.event()).kv.value for _ in range(2)] == [b"1", b"2"]
            await watcher.shutdown()
    failures = [record for record in caplog.records if record.name == "etcd_watch"]
    assert len(failures) == 2
    assert "in the callback" in caplog.text


async def test_a_slow_callback_does_not_hold_up_others(
    server: EtcdServer, key_prefix: bytes
) -> None:
    go_on, well = asyncio.Event(), Calls()

    async def slow(event: Event | Exception) -> None:
        await go_on.wait()

    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        await watcher.add_callback(key_prefix, slow)
        await watcher.add_callback(key_prefix, well)
        for value in (b"1", b"2", b"3"):
            await writer.put(key_prefix, value)
            assert (await well.event()).kv.value == value
        go_on.set()
        await watcher.shutdown()


async def test_an_error_is_the_last_call(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    calls = Calls()
    async with connect(etcd_server_factory().endpoint) as (client, writer, _):
        await writer.put(key_prefix)
        revision = await writer.put(key_prefix)
        await writer.compact(revision)
        watcher = Watcher(client)
        added = await watcher.add_callback(key_prefix, calls, start_revision=2)
        error = await calls.error()
        assert isinstance(error, RevisionCompactedError)
        assert error.compacted_revision == revision
        assert added.error is error
        await watcher.shutdown()


async def test_the_refusal_of_a_watch_is_raised_by_add_callback(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(server.endpoint) as (client, _, _):
        watcher = Watcher(client)
        with pytest.raises(ClientError, match="range is empty"):
            await watcher.add_callback(key_prefix, print, range_end=key_prefix)
        await watcher.shutdown()


async def test_a_callback_is_added_within_the_timeout_of_the_watcher() -> None:
    async with connect("127.0.0.1:1") as (client, _, _):
        watcher = Watcher(client, timeout=0.2)
        with pytest.raises(WatchTimeoutError, match=r"within 0\.2 s"):
            await watcher.add_callback(b"k", print)
        await watcher.shutdown()


async def test_cancel_ends_one_watch_by_its_id(server: EtcdServer, key_prefix: bytes) -> None:
    ended, other = Calls(), Calls()
    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        one = await watcher.add_callback(key_prefix, ended)
        await watcher.add_callback(key_prefix, other)
        assert one.watch_id is not None
        await watcher.cancel(one.watch_id)
        await watcher.cancel(one.watch_id)
        await watcher.cancel(12345)
        await until(lambda: watchers(server), lambda count: count == 1)
        await writer.put(key_prefix)
        await other.event()
        assert ended.queue.empty()
        await watcher.shutdown()


async def test_an_id_may_be_used_again_while_the_previous_callback_still_runs(
    server: EtcdServer, key_prefix: bytes
) -> None:
    called, go_on, later = asyncio.Event(), asyncio.Event(), Calls()

    async def slow(event: Event | Exception) -> None:
        called.set()
        await go_on.wait()

    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        await watcher.add_callback(key_prefix, slow, watch_id=6)
        await writer.put(key_prefix)
        await within(called.wait())
        await watcher.cancel(6)
        await watcher.add_callback(key_prefix, later, watch_id=6)
        go_on.set()
        await writer.put(key_prefix, b"later")
        assert (await later.event()).kv.value == b"later"
        await watcher.cancel(6)
        await until(lambda: watchers(server), lambda count: count == 0)
        await watcher.shutdown()


async def test_more_callbacks_than_one_stream_holds_are_all_shut_down(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(server.endpoint) as (client, _, _):
        watcher = Watcher(client)
        added = [await watcher.add_callback(key_prefix, print) for _ in range(70)]
        assert len({each.watch_id for each in added}) == 70
        assert await watchers(server) == 70
        await watcher.shutdown()
        await until(lambda: streams(server), lambda count: count == 0)


async def test_shutdown_ends_all_watches_and_waits_for_the_callbacks(
    server: EtcdServer, key_prefix: bytes
) -> None:
    called, going_on, done = asyncio.Event(), asyncio.Event(), []

    async def slow(event: Event | Exception) -> None:
        called.set()
        await going_on.wait()
        done.append(event)

    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        await watcher.add_callback(key_prefix, slow)
        await writer.put(key_prefix)
        await writer.put(key_prefix)
        await within(called.wait())
        ending = asyncio.create_task(watcher.shutdown())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not ending.done()
        going_on.set()
        await within(ending)
        assert len(done) == 1
        await watcher.shutdown()
        await until(lambda: streams(server), lambda count: count == 0)


async def test_a_callback_may_shut_the_watcher_down(server: EtcdServer, key_prefix: bytes) -> None:
    # Two at the same time must not wait for each other.
    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        done: asyncio.Queue[None] = asyncio.Queue()

        async def shut_down(event: Event | Exception) -> None:
            await watcher.shutdown()
            done.put_nowait(None)

        for _ in range(3):
            await watcher.add_callback(key_prefix, shut_down)
        await writer.put(key_prefix)
        await within(done.get())
        await within(watcher.shutdown())
        await until(lambda: streams(server), lambda count: count == 0)


async def test_a_callback_may_shut_the_watcher_down_in_a_task_that_it_starts(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        done: asyncio.Queue[None] = asyncio.Queue()

        async def shut_down(event: Event | Exception) -> None:
            await asyncio.gather(*(asyncio.create_task(watcher.shutdown()) for _ in range(2)))
            done.put_nowait(None)

        for _ in range(3):
            await watcher.add_callback(key_prefix, shut_down)
        await writer.put(key_prefix)
        await within(done.get())
        await within(watcher.shutdown())


async def test_a_task_that_a_callback_left_behind_waits_for_the_next_call_of_it(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        tasks: list[asyncio.Task[None]] = []
        called, go_on = asyncio.Event(), asyncio.Event()

        async def shut_down_later() -> None:
            await called.wait()
            await watcher.shutdown()

        async def callback(event: Event | Exception) -> None:
            if not tasks:
                tasks.append(asyncio.create_task(shut_down_later()))
                return
            called.set()
            await go_on.wait()

        await watcher.add_callback(key_prefix, callback)
        for _ in range(2):
            await writer.put(key_prefix)
        await within(called.wait())
        await until(lambda: watchers(server), lambda count: count == 0)
        assert not tasks[0].done()
        go_on.set()
        await within(tasks[0])


async def test_a_watcher_that_was_shut_down_may_be_used_again(
    server: EtcdServer, key_prefix: bytes
) -> None:
    calls = Calls()
    async with connect(server.endpoint) as (client, writer, _):
        watcher = Watcher(client)
        for _ in range(2):
            await watcher.add_callback(key_prefix, calls)
            await writer.put(key_prefix)
            await calls.event()
            await watcher.shutdown()


@pytest.mark.parametrize("turns", range(10))
async def test_a_callback_that_is_being_added_at_the_shutdown_is_refused(
    server: EtcdServer, key_prefix: bytes, turns: int
) -> None:
    async with connect(server.endpoint) as (client, _, _):
        watcher = Watcher(client)
        adding = asyncio.ensure_future(watcher.add_callback(key_prefix, print))
        await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        await within(watcher.shutdown())
        await asyncio.wait([adding], timeout=HANG)
        if not adding.exception():  # It was quicker.
            assert adding.result().watch_id
        else:
            assert isinstance(adding.exception(), ClientClosedError)
        await until(lambda: watchers(server), lambda count: count == 0)


@pytest.mark.parametrize("turns", range(10))
async def test_cancellation_of_add_callback_leaves_no_watcher(
    server: EtcdServer, key_prefix: bytes, turns: int
) -> None:
    async with connect(server.endpoint) as (client, _, _):
        watcher = Watcher(client)
        await watcher.add_callback(key_prefix, print)
        adding = asyncio.ensure_future(watcher.add_callback(key_prefix, print))
        for _ in range(turns):
            await asyncio.sleep(0)
        adding.cancel()
        await asyncio.wait([adding])
        left = 1 if adding.cancelled() else 2
        await until(lambda: watchers(server), lambda count: count == left)
        await watcher.shutdown()


async def test_callbacks_get_the_error_when_the_channel_is_closed(
    server: EtcdServer, key_prefix: bytes
) -> None:
    calls = Calls()
    async with connect(server.endpoint) as (client, _, _):
        watcher = Watcher(client)
        added = await watcher.add_callback(key_prefix, calls)
    assert isinstance(await calls.error(), ClientClosedError)
    assert isinstance(added.error, ClientClosedError)
    await watcher.shutdown()


async def test_the_metadata_go_with_each_opening_of_the_stream() -> None:
    seen: list[tuple[str, Any]] = []

    async def play(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        seen.extend(context.invocation_metadata() or ())
        await requests.__anext__()
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "seen")
        yield b""

    async with (
        PlayedEtcd({"Watch.Watch": play}) as played,
        connect(played.endpoint) as (client, *_),
    ):
        watcher = Watcher(client, None, [("x-tenant", "blue")])
        with pytest.raises(ClientError, match="seen"):
            await watcher.add_callback(b"k", print)
    assert ("x-tenant", "blue") in seen
    assert ("hasleader", "true") in seen
