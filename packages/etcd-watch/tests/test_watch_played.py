"""Responses that no real server sends on demand, sent by a small server in the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from watch_model import event, response
from watch_support import connect, read, read_responses, within

from etcd_channel import ClientError, ConnectionFailedError, RevisionCompactedError
from etcd_channel.errors import NoLeaderError, PermissionDeniedError, WatchCanceledError
from etcd_testing.played import PlayedEtcd
from etcd_watch import Watch, WatchTimeoutError
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.rpcs import WATCH

Script = Callable[["Conversation"], Awaitable[None]]


class Conversation:
    """The server's side of one stream."""

    def __init__(self, requests: AsyncIterator[pb.WatchRequest], context: Any, turn: int) -> None:
        self.turn = turn
        """The number of the stream, from 1."""
        self.context = context
        self._requests = requests

    async def creation(self) -> pb.WatchCreateRequest:
        """Return the next creation request; skip others."""
        async for request in self._requests:
            if request.HasField("create_request"):
                return request.create_request
        raise asyncio.CancelledError

    async def tell(self, *responses: pb.WatchResponse) -> None:
        for each in responses:
            await self.context.write(each)

    async def create(self, revision: int = 10) -> pb.WatchCreateRequest:
        """Answer the next creation request as a server does."""
        create = await self.creation()
        await self.tell(response(create.watch_id, created=True, revision=revision))
        return create

    async def stay(self) -> None:
        """Keep the stream open, and send nothing more."""
        async for _ in self._requests:
            pass


class Played(PlayedEtcd):
    """A server whose watch streams follow a script."""

    def __init__(self, script: Script) -> None:
        super().__init__({WATCH: self._play})
        self._script = script

    @property
    def turns(self) -> int:
        return self.calls[WATCH.name]

    async def _play(self, requests: AsyncIterator[pb.WatchRequest], context: Any) -> None:
        await self._script(Conversation(requests, context, self.turns))


# Refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("etcdserver: permission denied", PermissionDeniedError),
        ("mvcc: duplicate watch ID provided on the WatchStream", WatchCanceledError),
        ("something new", WatchCanceledError),
        ("", WatchCanceledError),
    ],
)
async def test_a_response_both_created_and_canceled_is_a_refusal(
    reason: str, error: type[ClientError]
) -> None:
    async def script(stream: Conversation) -> None:
        await stream.creation()
        refusal = response(-1, created=True, canceled=True, cancel_reason=reason, revision=10)
        await stream.tell(refusal)
        await stream.stay()

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        with pytest.raises(error, match=reason or "the server canceled the watch"):
            _ = await within(client.watch(b"k"))
        assert server.turns == 1


async def test_a_response_both_created_and_compacted_is_a_refusal() -> None:
    async def script(stream: Conversation) -> None:
        create = await stream.creation()
        refusal = response(create.watch_id, created=True, canceled=True, compact_revision=7)
        await stream.tell(refusal)
        await stream.stay()

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        with pytest.raises(RevisionCompactedError) as caught:
            _ = await within(client.watch(b"k", start_revision=3))
        assert caught.value.compacted_revision == 7


@pytest.mark.parametrize("number", [-1, None])
async def test_a_watch_that_loses_its_member_continues_on_another(number: int | None) -> None:
    async def script(stream: Conversation) -> None:
        create = await stream.create()
        if stream.turn == 1:
            given = create.watch_id if number is None else number
            await stream.tell(
                response(create.watch_id, [event(11)]),
                response(given, canceled=True, cancel_reason="etcdserver: no leader"),
            )
        else:
            assert create.start_revision == 12
            await stream.tell(response(create.watch_id, [event(12)]))
        await stream.stay()

    reconnects: list[Exception] = []
    async with Played(script) as server:
        async with connect(
            server.endpoint, on_reconnect=lambda reconnect: reconnects.append(reconnect.error)
        ) as (client, _, _):
            events = await read(client.watch(b"k"), 2)
    assert [each.kv.mod_revision for each in events] == [11, 12]
    assert [type(error) for error in reconnects] == [NoLeaderError]


async def test_a_server_that_cancels_all_watches_repeatedly_is_asked_with_growing_pauses() -> None:
    async def script(stream: Conversation) -> None:
        await stream.create()
        await stream.tell(response(-1, canceled=True))
        await stream.stay()

    attempts: list[int] = []
    many = asyncio.Event()

    def note(reconnect: Any) -> None:
        attempts.append(reconnect.attempt)
        if len(attempts) == 4:
            many.set()

    async with Played(script) as server:
        async with connect(server.endpoint, on_reconnect=note) as (client, _, _):
            watch = await client.watch(b"k")
            await within(many.wait())
            await watch.cancel()
    # The count of attempts is not reset, so the pauses between them grow.
    assert attempts[:4] == [1, 2, 3, 4]


# Breaks ------------------------------------------------------------------------------------


async def _end_cleanly(stream: Conversation) -> None:
    return


async def _end_without_a_word(stream: Conversation) -> None:
    await stream.context.abort(grpc.StatusCode.UNAVAILABLE, "")


async def _end_by_an_unknown_error(stream: Conversation) -> None:
    await stream.context.abort(grpc.StatusCode.INTERNAL, "stream terminated by RST_STREAM")


async def _end_as_canceled(stream: Conversation) -> None:
    await stream.context.abort(grpc.StatusCode.CANCELLED, "etcdserver: watch canceled")


@pytest.mark.parametrize(
    "end", [_end_cleanly, _end_without_a_word, _end_by_an_unknown_error, _end_as_canceled]
)
async def test_a_watch_continues_however_its_stream_ends(end: Script) -> None:
    async def script(stream: Conversation) -> None:
        create = await stream.create(revision=10)
        revision = create.start_revision or 11
        if revision < 15:
            await stream.tell(response(create.watch_id, [event(revision), event(revision, 1)]))
            await end(stream)
        else:
            await stream.stay()

    async with Played(script) as server, connect(server.endpoint) as (client, _, channel):
        watch = await client.watch(b"k")
        events = await read(watch, 8)
        assert channel.reconnects >= 3
    assert [each.kv.value for each in events] == [
        b"%d.%d" % (revision, index) for revision in range(11, 15) for index in (0, 1)
    ]


async def test_a_watch_without_events_continues_from_its_start() -> None:
    starts: list[int] = []

    async def script(stream: Conversation) -> None:
        create = await stream.create(revision=10 * stream.turn)
        starts.append(create.start_revision)
        if stream.turn < 3:
            return
        await stream.tell(response(create.watch_id, [event(12)]))
        await stream.stay()

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        watch = await client.watch(b"k")
        assert watch.start_revision == 11
        assert (await read(watch, 1))[0].kv.mod_revision == 12
    assert starts == [0, 11, 11]


async def test_a_stream_that_ends_before_the_creation_is_answered_is_reopened() -> None:
    async def script(stream: Conversation) -> None:
        if stream.turn < 3:
            await stream.creation()
            return
        await stream.create()
        await stream.stay()

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        watch = await within(client.watch(b"k"))
        assert watch.start_revision == 11


async def test_a_permanent_error_ends_the_watch() -> None:
    async def script(stream: Conversation) -> None:
        if stream.turn == 1:
            create = await stream.create()
            await stream.tell(response(create.watch_id, [event(11)]))
        else:
            await stream.creation()
        await stream.context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such thing")

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        watch = await client.watch(b"k")
        assert (await read(watch, 1))[0].kv.mod_revision == 11
        with pytest.raises(ClientError, match="no such thing"):
            await read(watch, 1)
        with pytest.raises(ClientError, match="no such thing"):
            _ = await within(client.watch(b"k"))


async def test_a_revision_whose_fragments_a_break_interrupts_is_delivered_whole() -> None:
    async def script(stream: Conversation) -> None:
        create = await stream.create()
        pieces = [event(11), event(12)], [event(12, 1)], [event(12, 2), event(13)]
        if stream.turn == 1:
            await stream.tell(
                response(create.watch_id, pieces[0], fragment=True),
                response(create.watch_id, pieces[1], fragment=True),
            )
            return
        assert create.start_revision == 12
        await stream.tell(
            response(create.watch_id, pieces[0][1:], fragment=True),
            response(create.watch_id, pieces[1], fragment=True),
            response(create.watch_id, pieces[2]),
        )
        await stream.stay()

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        watch = await client.watch(b"k", fragment=True)
        responses = await read_responses(watch, 2)
    told = [[each.kv.value for each in one.events] for one in responses]
    assert told == [[b"11.0"], [b"12.0", b"12.1", b"12.2", b"13.0"]]


# Silence -----------------------------------------------------------------------------------


async def test_a_creation_that_is_not_answered_times_out() -> None:
    async def script(stream: Conversation) -> None:
        await stream.stay()

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        with pytest.raises(WatchTimeoutError):
            _ = await within(client.watch(b"k", timeout=0.2))


async def test_a_break_is_the_cause_of_a_creation_that_takes_too_long() -> None:
    async def script(stream: Conversation) -> None:
        await stream.creation()
        await stream.context.abort(grpc.StatusCode.UNAVAILABLE, "not today")

    async with Played(script) as server, connect(server.endpoint) as (client, _, channel):
        await channel.connect()
        with pytest.raises(WatchTimeoutError) as caught:
            _ = await within(client.watch(b"k", timeout=3))
    assert isinstance(caught.value.__cause__, ConnectionFailedError)
    assert caught.value.__cause__.message == "not today"


async def test_closing_the_channel_ends_a_watch_that_is_being_created() -> None:
    # The task of the stream is cancelled before it takes its first step.
    async with (
        Played(Conversation.stay) as server,
        connect(server.endpoint) as (
            client,
            _,
            channel,
        ),
    ):
        watch: Watch = client.watch(b"k")
        beginning = asyncio.ensure_future(watch.__aenter__())
        await asyncio.sleep(0)
        await channel.close()
        with pytest.raises(ClientError, match="closed"):
            _ = await within(beginning)
