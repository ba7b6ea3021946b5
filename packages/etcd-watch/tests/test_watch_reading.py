"""A watch is awaited, entered and iterated over, by several tasks too; cancellation loses no
event."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest
from watch_support import connect, read, read_responses, streams, until, values, watchers, within

from etcd_channel import ClientClosedError
from etcd_channel.errors import WatchCanceledError
from etcd_testing import EtcdServer
from etcd_watch import Event, EventKind, Watch, WatchClient


async def watchers_left(server: EtcdServer, count: int = 0) -> None:
    await until(lambda: watchers(server), lambda found: found == count)


# Forms -------------------------------------------------------------------------------------


async def test_a_watch_is_iterated_over_as_it_is(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        start = await writer.put(key_prefix, b"1")
        async for event in client.watch(key_prefix, start_revision=start):
            assert isinstance(event, Event)
            assert event.kv.value == b"1"
            break


async def test_a_watch_is_awaited_and_iterated_over(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        start = await writer.put(key_prefix, b"1")
        async for event in await client.watch(key_prefix, start_revision=start):
            assert event.kv.value == b"1"
            break


async def test_an_awaited_watch_misses_nothing_that_is_put_after(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        watch = await client.watch(key_prefix)
        assert isinstance(watch, Watch)
        await writer.put(key_prefix, b"1")
        assert values(await read(watch, 1)) == [b"1"]
        assert await watch is watch


async def test_leaving_the_block_ends_the_watch(server: EtcdServer) -> None:
    async with connect(server.endpoint) as (client, _, _):
        async with client.watch(b"k") as watch:
            assert await watchers(server) == 1
        await watchers_left(server)
        with pytest.raises(StopAsyncIteration):
            await watch.__anext__()


async def test_a_watch_shows_its_id_and_its_start(etcd_endpoint: str) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        watch = client.watch(b"k", watch_id=8, start_revision=1)
        assert repr(watch) == "Watch(watch_id=0, start_revision=1)"
        assert await watch is watch
        assert repr(watch) == "Watch(watch_id=8, start_revision=1)"


async def test_nothing_is_sent_before_a_watch_begins(server: EtcdServer) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        watch = client.watch(b"k")
        await writer.put(b"k")
        assert await streams(server) == 0
        await watch.cancel()
        assert await streams(server) == 0


async def test_the_documented_watch_has_an_iterator_and_a_function_that_cancels() -> None:
    canceled = []

    async def iterator() -> object:
        yield "event"

    async def cancel() -> None:
        canceled.append(True)

    watch = Watch(iterator, cancel, 7)  # type: ignore[arg-type] # it tells what it is told
    assert watch.watch_id == 7
    assert [event async for event in watch] == ["event"]
    await watch.cancel()
    assert canceled
    with pytest.raises(TypeError, match="made of an iterator"):
        await watch.__anext__()


# Responses ---------------------------------------------------------------------------------


async def test_responses_hold_whole_revisions(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch_prefix(key_prefix) as watch:
            one = await writer.put_together((key_prefix + b"a", b"1"), (key_prefix + b"b", b"2"))
            two = await writer.delete(key_prefix + b"a", key_prefix + b"c")
            responses = await read_responses(watch, 2)
    assert [[event.kv.mod_revision for event in each.events] for each in responses] == [
        [one, one],
        [two, two],
    ]
    assert [each.kind for each in responses[1].events] == [EventKind.DELETE] * 2
    assert responses[0].header.revision >= one
    assert not any(each.is_progress for each in responses)


async def test_responses_end_with_a_cancel(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        watch = await client.watch(key_prefix)
        reading = asyncio.create_task(_collect(watch))
        await asyncio.sleep(0)
        await watch.cancel()
        assert await within(reading) == []


async def _collect(watch: Watch) -> list[int]:
    return [response.header.revision async for response in watch.responses()]


async def test_what_single_events_left_of_a_response_is_not_lost(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch_prefix(key_prefix) as watch:
            await writer.put_together(*((key_prefix + b"%d" % i, b"%d" % i) for i in range(4)))
            await writer.put(key_prefix, b"last")
            assert values(await read(watch, 1)) == [b"0"]
            rest, last = await read_responses(watch, 2)
    assert values(rest.events) == [b"1", b"2", b"3"]
    assert values(last.events) == [b"last"]


async def test_a_second_loop_continues_where_the_first_was_left(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch_prefix(key_prefix) as watch:
            await writer.put_together(*((key_prefix + b"%d" % i, b"%d" % i) for i in range(3)))
            seen = []
            for _ in range(3):
                async for event in watch:
                    seen.append(event.kv.value)
                    break
    assert seen == [b"0", b"1", b"2"]


# Several readers ---------------------------------------------------------------------------


async def test_several_tasks_share_the_events_of_a_watch(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    seen: list[bytes] = []

    async def take(watch: Watch, count: int) -> None:
        for _ in range(count):
            seen.append((await watch.__anext__()).kv.value)
            await asyncio.sleep(0)

    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch_prefix(key_prefix) as watch:
            readers = [asyncio.create_task(take(watch, 10)) for _ in range(3)]
            for number in range(10):
                put = [(key_prefix + b"%d" % i, b"%d.%d" % (number, i)) for i in range(3)]
                await writer.put_together(*put)
            await within(asyncio.gather(*readers))
    assert sorted(seen) == sorted(b"%d.%d" % (number, i) for number in range(10) for i in range(3))
    assert len(set(seen)) == 30


async def test_several_tasks_may_await_a_watch(server: EtcdServer) -> None:
    async with connect(server.endpoint) as (client, _, _):
        watch = client.watch(b"k")
        await within(asyncio.gather(*(watch.__aenter__() for _ in range(5))))
        assert await watchers(server) == 1


async def test_each_reader_gets_its_own_copy_of_the_error_that_ends_a_watch(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        watch = await client.watch(key_prefix)
        readers = [asyncio.ensure_future(watch.__anext__()) for _ in range(3)]
        await asyncio.sleep(0)
    raised = await within(asyncio.gather(*readers, return_exceptions=True))
    assert [type(each) for each in raised] == [ClientClosedError] * 3
    assert len({id(each) for each in raised}) == 3
    again = []
    for _ in range(3):
        with pytest.raises(ClientClosedError) as caught:
            await watch.__anext__()
        again.append(len(caught.traceback))
    assert len(set(again)) == 1


# Cancellation ------------------------------------------------------------------------------


async def test_a_reader_that_is_cancelled_loses_nothing(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    # Cancelled in every state: before the event, while it is in flight, after it.
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch(key_prefix) as watch:
            seen: list[bytes] = []

            async def take() -> None:
                while True:
                    event = await watch.__anext__()
                    seen.append(event.kv.value)

            for number in range(60):
                reader = asyncio.ensure_future(take())
                put = asyncio.ensure_future(writer.put(key_prefix, b"%d" % number))
                for _ in range(number % 12):
                    await asyncio.sleep(0)
                if number % 3 == 0:
                    await put
                reader.cancel()
                await asyncio.wait([reader, put])
                assert reader.cancelled()
            reader = asyncio.ensure_future(take())
            await until(lambda: _length(seen), lambda length: length == 60)
            reader.cancel()
            await asyncio.wait([reader])
    assert seen == [b"%d" % number for number in range(60)]


async def _length(seen: list[bytes]) -> int:
    return len(seen)


@pytest.mark.parametrize("turns", range(12))
async def test_cancellation_while_a_watch_is_created_leaves_no_watcher(
    server: EtcdServer, turns: int
) -> None:
    async with connect(server.endpoint) as (client, _, _):
        async with client.watch(b"first"):
            pass
        watch = client.watch(b"k")
        beginning = asyncio.ensure_future(watch.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        beginning.cancel()
        await asyncio.wait([beginning])
        if beginning.cancelled():
            await watchers_left(server)
            if turns:
                with pytest.raises(WatchCanceledError):
                    _ = await within(watch)
        else:  # It had begun by then, on a machine that has little else to do.
            assert beginning.result() is watch


async def test_cancellation_while_a_watch_is_created_ends_it_for_other_tasks_with_an_error(
    server: EtcdServer,
) -> None:
    async with connect(server.endpoint) as (client, _, _):
        watch = client.watch(b"k")
        one, other = (asyncio.ensure_future(watch.__aenter__()) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        with pytest.raises(WatchCanceledError, match="while it was being created"):
            _ = await within(other)
        await watchers_left(server)


async def test_a_reader_cancelled_before_the_watch_began_does_not_end_it(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        watch = client.watch(key_prefix)
        for turns in range(10):
            reader = asyncio.ensure_future(watch.__anext__())
            for _ in range(turns):
                await asyncio.sleep(0)
            reader.cancel()
            await asyncio.wait([reader])
        assert await watch is watch
        await writer.put(key_prefix, b"told")
        assert values(await read(watch, 1)) == [b"told"]


async def test_a_watch_canceled_before_its_creation_is_never_created(server: EtcdServer) -> None:
    async with connect(server.endpoint) as (client, _, _):
        watch = client.watch(b"k")
        await watch.cancel()
        with pytest.raises(WatchCanceledError):
            _ = await watch
        with pytest.raises(StopAsyncIteration):
            await watch.__anext__()
        assert await streams(server) == 0


async def test_a_watch_canceled_during_its_creation_raises(server: EtcdServer) -> None:
    async with connect(server.endpoint) as (client, _, _):
        watch = client.watch(b"k")
        beginning = asyncio.ensure_future(watch.__aenter__())
        await asyncio.sleep(0)
        await watch.cancel()
        with pytest.raises(WatchCanceledError):
            _ = await within(beginning)
        await watchers_left(server)


async def test_a_cancel_ends_the_wait_of_a_reader(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        watch = await client.watch(key_prefix)
        reader = asyncio.ensure_future(watch.__anext__())
        await asyncio.sleep(0)
        await watch.cancel()
        with pytest.raises(StopAsyncIteration):
            await within(reader)
        await watch.cancel()


# Watches without references ----------------------------------------------------------------


async def _read_one_and_leave(client: WatchClient, start: int) -> None:
    async for _ in client.watch(b"k", start_revision=start):
        break


async def test_a_watch_whose_loop_was_left_is_canceled_on_the_server(server: EtcdServer) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        start = await writer.put(b"k")
        await within(_read_one_and_leave(client, start))
        await watchers_left(server)


async def test_a_watch_without_references_is_canceled_on_the_server(server: EtcdServer) -> None:
    async with connect(server.endpoint) as (client, _, _):
        held = await client.watch(b"k")
        cycle: list[object] = [await client.watch(b"k")]
        cycle.append(cycle)
        del cycle
        gc.collect()
        await watchers_left(server, 1)
        await held.cancel()


async def test_a_watch_may_be_dropped_in_another_thread(server: EtcdServer) -> None:
    async with connect(server.endpoint) as (client, _, _):
        holder = [await client.watch(b"k")]
        await asyncio.to_thread(holder.clear)
        await watchers_left(server)


def test_a_watch_dropped_after_its_loop_has_ended_writes_nothing(
    server: EtcdServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    async def begin() -> Watch:
        async with connect(server.endpoint) as (client, _, _):
            return await client.watch(b"k")

    watch = asyncio.run(begin())
    del watch
    gc.collect()
    assert not unraisable
    assert capfd.readouterr().err == ""
