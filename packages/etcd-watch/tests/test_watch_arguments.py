"""Every documented argument of a watch has its effect on a real server."""

from __future__ import annotations

import asyncio

import pytest
from watch_support import connect, read, read_responses, values, within

from etcd_testing.plugin import ServerFactory
from etcd_watch import Event, EventKind
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.requests import WatchSpec
from etcd_watch.rpcs import WATCH


async def test_a_watch_of_a_key_has_events_of_that_key_only(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch(key_prefix + b"a") as watch:
            await writer.put(key_prefix + b"ab", b"no")
            put = await writer.put(key_prefix + b"a", b"yes")
            deleted = await writer.delete(key_prefix + b"a")
            first, second = await read(watch, 2)
    assert (first.kind, first.kv.key, first.kv.value) == (EventKind.PUT, key_prefix + b"a", b"yes")
    assert (first.kv.mod_revision, first.kv.version, first.prev_kv) == (put, 1, None)
    assert (second.kind, second.kv.key) == (EventKind.DELETE, key_prefix + b"a")
    assert (second.kv.mod_revision, second.kv.value, second.kv.version) == (deleted, b"", 0)


async def test_range_end_ends_the_range(etcd_endpoint: str, key_prefix: bytes) -> None:
    a, b, c = (key_prefix + name for name in (b"a", b"b", b"c"))
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch(a, c) as watch:
            await writer.put_together((c, b"c"), (a, b"a"), (b, b"b"))
            await writer.put(b, b"last")
            assert values(await read(watch, 3)) == [b"a", b"b", b"last"]


async def test_a_range_end_of_zero_is_the_end_of_all_keys(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch(key_prefix, range_end=b"\0") as watch:
            await writer.put(b"\xff" + key_prefix, b"far behind")
            assert values(await read(watch, 1)) == [b"far behind"]


async def test_watch_prefix_has_events_of_the_keys_that_begin_with_it(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch_prefix(key_prefix + b"\xff") as watch:
            await writer.put(key_prefix + b"\xfe", b"before")
            await writer.put(key_prefix + b"\xff", b"itself")
            await writer.put(key_prefix + b"\xff\xff\xff", b"longer")
            await writer.put(key_prefix[:-1] + b"0", b"behind")
            await writer.put(key_prefix + b"\xff!", b"last")
            assert values(await read(watch, 3)) == [b"itself", b"longer", b"last"]


async def test_the_empty_prefix_matches_every_key(
    etcd_server_factory: ServerFactory,
) -> None:
    async with connect(etcd_server_factory().endpoint) as (client, writer, _):
        async with client.watch_prefix(b"") as watch:
            await writer.put(b"\0", b"first")
            await writer.put(b"\xff\xff", b"last")
            assert values(await read(watch, 2)) == [b"first", b"last"]


async def test_watch_prefix_takes_another_end(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch_prefix(key_prefix, range_end=key_prefix + b"b") as watch:
            await writer.put(key_prefix + b"b", b"no")
            await writer.put(key_prefix + b"a", b"yes")
            assert values(await read(watch, 1)) == [b"yes"]


async def test_start_revision_begins_in_the_past(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        await writer.put(key_prefix, b"1")
        revision = await writer.put(key_prefix, b"2")
        await writer.put(key_prefix, b"3")
        async with client.watch(key_prefix, start_revision=revision) as watch:
            assert watch.start_revision == revision
            assert values(await read(watch, 2)) == [b"2", b"3"]


async def test_start_revision_may_lie_in_the_future(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        revision = await writer.put(key_prefix, b"1")
        async with client.watch_prefix(key_prefix, start_revision=revision + 3) as watch:
            for value in (b"2", b"3", b"4", b"5"):
                await writer.put(key_prefix, value)
            assert values(await read(watch, 1))[0] in (b"4", b"5")  # others write meanwhile


@pytest.mark.parametrize("start_revision", [None, 0])
async def test_without_start_revision_a_watch_starts_after_its_creation(
    etcd_endpoint: str, key_prefix: bytes, start_revision: int | None
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        before = await writer.put(key_prefix, b"before")
        watch = await client.watch(key_prefix, start_revision=start_revision)
        assert watch.start_revision > before
        after = await writer.put(key_prefix, b"after")
        (event,) = await read(watch, 1)
        assert (event.kv.value, event.kv.mod_revision) == (b"after", after)
        assert watch.start_revision <= after
        await watch.cancel()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (None, [EventKind.PUT, EventKind.DELETE, EventKind.PUT]),
        (EventKind.PUT, [EventKind.PUT, EventKind.PUT]),
        (EventKind.DELETE, [EventKind.DELETE, EventKind.DELETE]),
    ],
)
async def test_kind_leaves_the_other_kind_out(
    etcd_endpoint: str, key_prefix: bytes, kind: EventKind | None, told: list[EventKind]
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch(key_prefix, kind=kind) as watch:
            for _ in range(2):
                await writer.put(key_prefix)
                await writer.delete(key_prefix)
            assert [event.kind for event in await read(watch, len(told))] == told


async def test_prev_kv_is_the_previous_key_value_pair(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch(key_prefix, prev_kv=True) as watch:
            first = await writer.put(key_prefix, b"1")
            await writer.put(key_prefix, b"2")
            await writer.delete(key_prefix)
            created, changed, deleted = await read(watch, 3)
    assert created.prev_kv is None
    assert changed.prev_kv is not None
    assert (changed.prev_kv.value, changed.prev_kv.mod_revision) == (b"1", first)
    assert deleted.prev_kv is not None
    assert deleted.prev_kv.value == b"2"


async def test_without_prev_kv_there_is_none(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        await writer.put(key_prefix, b"1")
        async with client.watch(key_prefix) as watch:
            await writer.put(key_prefix, b"2")
            assert (await read(watch, 1))[0].prev_kv is None


async def test_watch_id_is_the_id_of_the_watch_on_the_server(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch(key_prefix, watch_id=5) as watch:
            assert watch.watch_id == 5
            await writer.put(key_prefix, b"told")
            assert values(await read(watch, 1)) == [b"told"]


async def test_watch_id_can_be_used_again_after_the_watch_ended(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        for value in (b"1", b"2", b"3"):
            async with client.watch(key_prefix, watch_id=5) as watch:
                assert watch.watch_id == 5
                await writer.put(key_prefix, value)
                assert values(await read(watch, 1)) == [value]


async def test_without_watch_id_every_watch_has_an_id_of_its_own(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        watches = [await client.watch(key_prefix) for _ in range(70)]
        assert len({watch.watch_id for watch in watches}) == 70
        assert all(watch.watch_id for watch in watches)


async def test_fragments_of_a_large_revision_are_put_together(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    # A transaction is at most 1.5 MiB, the size of a fragment; with the previous key-value pairs
    # of `prev_kv` the response is twice as large.
    large = bytes(250_000)
    keys = [key_prefix + str(number).encode() for number in range(5)]
    async with connect(etcd_server_factory().endpoint) as (client, writer, _):
        await writer.put_together(*((key, large) for key in keys))
        async with client.watch_prefix(key_prefix, prev_kv=True, fragment=True) as watch:
            revision = await writer.put_together(*((key, large) for key in keys))
            (response,) = await read_responses(watch, 1)
    assert [event.kv.key for event in response.events] == keys
    assert {event.kv.mod_revision for event in response.events} == {revision}
    assert all(event.prev_kv and len(event.prev_kv.value) == 250_000 for event in response.events)


class _Witness:
    """Handles a stream itself, to see what the server sends."""

    def __init__(self, request: pb.WatchRequest) -> None:
        self._request = request
        self.pieces: list[bool] = []
        self.complete = asyncio.Event()

    def opened(self) -> list[pb.WatchRequest]:
        return [self._request]

    def received(self, response: pb.WatchResponse) -> None:
        if response.events:
            self.pieces.append(response.fragment)
            if not response.fragment:
                self.complete.set()

    def broken(self, error: Exception) -> None:
        raise AssertionError(error)

    def ended(self, error: Exception) -> None:
        pass


async def test_the_server_really_sends_such_a_revision_in_pieces(
    etcd_server_factory: ServerFactory,
) -> None:
    # The test above needs this: a response in one piece would prove nothing there.
    large = bytes(250_000)
    async with connect(etcd_server_factory().endpoint) as (_, writer, channel):
        for _ in range(2):
            await writer.put_together(*((b"k%d" % number, large) for number in range(5)))
        spec = WatchSpec(b"k", b"l", start_revision=3, prev_kv=True, fragment=True)
        witness = _Witness(spec.create_request(1, 3))
        stream = channel.stream(WATCH, witness)
        await within(witness.complete.wait())
        await stream.close()
    assert len(witness.pieces) > 1


async def test_all_documented_arguments_may_be_given_by_position(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        start = await writer.put(key_prefix + b"a", b"1")
        arguments = (key_prefix + b"b", start, True, EventKind.PUT, True, 9, True)
        async with client.watch(key_prefix + b"a", *arguments) as watch:
            assert watch.watch_id == 9
            assert values(await read(watch, 1)) == [b"1"]
        async with client.watch_prefix(key_prefix, *arguments) as watch:
            assert values(await read(watch, 1)) == [b"1"]
        once = await client.watch_once(key_prefix + b"a", 5, *arguments)
        assert once.kv.value == b"1"
        once = await client.watch_prefix_once(key_prefix, 5, *arguments)
        assert isinstance(once, Event)


def test_every_argument_is_sent() -> None:
    spec = WatchSpec(b"a", b"b", 3, True, EventKind.DELETE, True, 7, True)
    assert spec.create_request(7, 4).create_request == pb.WatchCreateRequest(
        key=b"a",
        range_end=b"b",
        start_revision=4,
        progress_notify=True,
        filters=[pb.WatchCreateRequest.NOPUT],
        prev_kv=True,
        watch_id=7,
        fragment=True,
    )
    plain = WatchSpec(b"a").create_request(1, 0).create_request
    assert plain == pb.WatchCreateRequest(key=b"a", watch_id=1)
