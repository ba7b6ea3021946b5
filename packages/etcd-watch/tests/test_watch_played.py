"""What no real server can be made to send on demand, played by a small server in the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

import grpc
import pytest
from watch_model import event, response
from watch_support import connect, read, read_responses, within

from etcd_channel import ClientError, ConnectionFailedError, RevisionCompactedError
from etcd_channel.errors import NoLeaderError, PermissionDeniedError, WatchCanceledError
from etcd_watch import Watch, WatchTimeoutError
from etcd_watch.pb import watch_pb2 as pb

Script = Callable[["Conversation"], Awaitable[None]]


class Conversation:
    """One stream, as the server has it."""

    def __init__(self, requests: AsyncIterator[pb.WatchRequest], context: Any, turn: int) -> None:
        self.turn = turn
        """Which stream it is, from 1."""
        self.context = context
        self._requests = requests

    async def creation(self) -> pb.WatchCreateRequest:
        """The next request for a watch; others are skipped."""
        async for request in self._requests:
            if request.HasField("create_request"):
                return request.create_request
        raise asyncio.CancelledError

    async def tell(self, *responses: pb.WatchResponse) -> None:
        for each in responses:
            await self.context.write(each)

    async def create(self, revision: int = 10) -> pb.WatchCreateRequest:
        """Answer the next request for a watch as a server does."""
        create = await self.creation()
        await self.tell(response(create.watch_id, created=True, revision=revision))
        return create

    async def stay(self) -> None:
        """Keep the stream open, and say nothing more."""
        async for _ in self._requests:
            pass


class Played:
    """A server whose streams of watches go by a script."""

    def __init__(self, script: Script) -> None:
        self.turns = 0
        self._script = script
        self._server = grpc.aio.server()
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            self._play,
            request_deserializer=pb.WatchRequest.FromString,
            response_serializer=pb.WatchResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("etcdserverpb.Watch", {"Watch": handler})]
        )
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def _play(self, requests: AsyncIterator[pb.WatchRequest], context: Any) -> None:
        self.turns += 1
        await self._script(Conversation(requests, context, self.turns))

    async def __aenter__(self) -> Played:
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._server.stop(None)


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
async def test_created_and_canceled_in_one_is_no_success(
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


async def test_created_and_compacted_in_one_is_no_success() -> None:
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
async def test_a_watch_that_loses_its_member_goes_on_elsewhere(number: int | None) -> None:
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


async def test_a_server_that_cancels_everything_again_and_again_is_not_asked_at_full_speed() -> (
    None
):
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
    # The attempts are counted on, and so the pauses between them grow.
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
async def test_however_a_stream_ends_the_watch_goes_on(end: Script) -> None:
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


async def test_a_watch_that_nothing_came_for_goes_on_from_where_it_began() -> None:
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


async def test_an_end_before_the_creation_was_answered_is_ridden_out() -> None:
    async def script(stream: Conversation) -> None:
        if stream.turn < 3:
            await stream.creation()
            return
        await stream.create()
        await stream.stay()

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        watch = await within(client.watch(b"k"))
        assert watch.start_revision == 11


async def test_an_error_that_will_stay_ends_the_watch() -> None:
    async def script(stream: Conversation) -> None:
        if stream.turn == 1:
            create = await stream.create()
            await stream.tell(response(create.watch_id, [event(11)]))
        await stream.context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such thing")

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        watch = await client.watch(b"k")
        assert (await read(watch, 1))[0].kv.mod_revision == 11
        with pytest.raises(ClientError, match="no such thing"):
            await read(watch, 1)
        with pytest.raises(ClientError, match="no such thing"):
            _ = await within(client.watch(b"k"))


async def test_a_revision_whose_pieces_a_break_tears_apart_is_told_whole() -> None:
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


async def test_a_creation_that_is_not_answered_is_given_up() -> None:
    async def script(stream: Conversation) -> None:
        await stream.stay()

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        with pytest.raises(WatchTimeoutError):
            _ = await within(client.watch(b"k", timeout=0.2))


async def test_a_break_is_the_cause_of_a_creation_that_takes_too_long() -> None:
    async def script(stream: Conversation) -> None:
        await stream.context.abort(grpc.StatusCode.UNAVAILABLE, "not today")

    async with Played(script) as server, connect(server.endpoint) as (client, _, _):
        with pytest.raises(WatchTimeoutError) as caught:
            _ = await within(client.watch(b"k", timeout=0.2))
    assert isinstance(caught.value.__cause__, ConnectionFailedError)
    assert caught.value.__cause__.message == "not today"


async def test_a_channel_closed_at_once_ends_a_watch_that_has_only_begun() -> None:
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
