"""Many watches on a stream: IDs, refusals, breaks, and which watch gets which response."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from watch_model import ModelChannel, ModelStream, event, make_stream, response

from etcd_channel import ClientError, ConnectionFailedError, RevisionCompactedError
from etcd_channel.errors import (
    InvalidAuthTokenError,
    NoLeaderError,
    PermissionDeniedError,
    WatchCanceledError,
)
from etcd_watch._streams import WATCHES_PER_STREAM, WatchStream, WatchStreams
from etcd_watch._subscription import State, Subscription
from etcd_watch.requests import WatchSpec

OLD_TOKEN = "etcdserver: invalid auth token"
DENIED = "etcdserver: permission denied"


def watch(watches: WatchStream, **arguments: Any) -> Subscription:
    subscription = Subscription(WatchSpec(b"k", **arguments), lambda: None)
    watches.add(subscription)
    return subscription


def create_all(stream: ModelStream, revision: int = 10) -> list[int]:
    """Answer all creations; return their IDs."""
    numbers = [create.watch_id for create in stream.created()]
    stream.answer(*(response(number, created=True, revision=revision) for number in numbers))
    return numbers


def refuse(stream: ModelStream, reason: str, number: int = -1) -> None:
    stream.answer(response(number, created=True, canceled=True, cancel_reason=reason))


# IDs ---------------------------------------------------------------------------------------


def test_every_creation_has_an_id_of_its_own() -> None:
    watches, stream = make_stream()
    first, second = watch(watches, buffer_bytes=1), watch(watches)
    numbers = create_all(stream)
    stream.answer(response(numbers[0], [event(11)]))
    first.pop()
    watches.resume(first)
    numbers += create_all(stream)
    stream.break_()
    stream.open()
    numbers += create_all(stream)
    assert len(numbers) == len(set(numbers)) == 5
    assert second.state is first.state is State.OPEN


def test_an_id_that_the_caller_chose_is_used_after_every_break() -> None:
    watches, stream = make_stream()
    watch(watches, watch_id=7)
    assert create_all(stream) == [7]
    stream.break_()
    stream.open()
    assert create_all(stream) == [7]


def test_an_id_that_the_caller_chose_is_used_once_on_an_open_stream() -> None:
    watches, stream = make_stream()
    subscription = watch(watches, watch_id=7, buffer_bytes=1)
    create_all(stream)
    stream.answer(response(7, [event(11)]))
    assert stream.canceled() == [7]
    subscription.pop()
    watches.resume(subscription)
    (number,) = create_all(stream)
    assert number != 7
    assert subscription.watch_id == 7
    assert not watches.has_room_for(7)


def test_a_late_response_to_an_earlier_creation_is_ignored() -> None:
    watches, stream = make_stream()
    subscription = watch(watches, buffer_bytes=1)
    (old,) = create_all(stream)
    stream.answer(response(old, [event(11)]))
    subscription.pop()
    watches.resume(subscription)
    stream.answer(response(old, [event(14)]), response(old, canceled=True))
    (new,) = create_all(stream)
    stream.answer(response(old, [event(15)]), response(new, [event(12)]))
    _, events = subscription.pop()
    assert [each.kv.mod_revision for each in events] == [12]


def test_an_id_that_a_proxy_assigned_is_used() -> None:
    watches, stream = make_stream()
    first, second = watch(watches), watch(watches)
    assert len(stream.created()) == 2
    stream.answer(response(0, created=True, revision=10), response(1, created=True, revision=10))
    stream.answer(response(0, [event(11)]), response(1, [event(12)]))
    assert (first.next_revision, second.next_revision) == (12, 13)
    watches.remove(first)
    assert stream.canceled() == [0]


def test_a_watch_removed_before_it_was_created_is_canceled() -> None:
    watches, stream = make_stream()
    gone, other = watch(watches), watch(watches)
    number = stream.requests[0].create_request.watch_id
    watches.remove(gone)
    assert stream.canceled() == [number]
    stream.answer(response(number, created=True, revision=10))
    stream.answer(response(number, canceled=True, revision=10))
    assert other.state is State.WAITING
    assert not gone.created


# Breaks ------------------------------------------------------------------------------------


def test_watches_are_created_again_from_their_own_positions() -> None:
    watches, stream = make_stream()
    first, _, third = watch(watches), watch(watches), watch(watches, start_revision=3)
    numbers = create_all(stream)
    stream.answer(response(numbers[0], [event(20)]))
    watches.remove(third)
    stream.break_()
    stream.open()
    assert [create.start_revision for create in stream.created()] == [21, 11]
    assert first.state is State.WAITING


def test_a_watch_added_to_a_broken_stream_is_created_when_it_is_open() -> None:
    watches, stream = make_stream()
    stream.break_()
    watch(watches)
    assert not stream.requests
    stream.open()
    assert len(stream.created()) == 1


def test_a_parked_watch_is_not_created_again_before_its_reader_has_caught_up() -> None:
    watches, stream = make_stream()
    subscription = watch(watches, buffer_bytes=1)
    (number,) = create_all(stream)
    stream.answer(response(number, [event(11)]))
    stream.break_()
    stream.open()
    assert not stream.created()
    subscription.pop()
    watches.resume(subscription)
    assert [create.start_revision for create in stream.created()] == [12]


def test_a_watch_drained_on_a_broken_stream_is_created_once_when_it_is_open() -> None:
    watches, stream = make_stream()
    subscription = watch(watches, buffer_bytes=1)
    (number,) = create_all(stream)
    stream.answer(response(number, [event(11)]))
    stream.break_()
    subscription.pop()
    watches.resume(subscription)
    stream.open()
    assert create_all(stream)
    assert subscription.state is State.OPEN


def test_the_end_of_the_stream_is_the_end_of_all_its_watches() -> None:
    watches, stream = make_stream()
    created = watch(watches)
    create_all(stream)
    waiting = watch(watches)
    stream.end(ConnectionFailedError("for good"))
    assert created.error is waiting.error
    assert isinstance(created.error, ConnectionFailedError)
    assert created.error.message == "for good"


# Refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 1000])
def test_a_refusal_is_for_the_oldest_unanswered_creation(number: int) -> None:
    watches, stream = make_stream()
    refused, other = watch(watches), watch(watches)
    create = stream.created()[1]
    refuse(stream, "mvcc: watcher range is empty", number)
    stream.answer(response(create.watch_id, created=True, revision=10))
    assert isinstance(refused.error, WatchCanceledError)
    assert refused.error.message == "mvcc: watcher range is empty"
    assert other.state is State.OPEN
    assert stream.demanded is None


def test_the_error_of_a_compacted_start_has_the_first_revision_that_is_left() -> None:
    watches, stream = make_stream()
    subscription, _ = watch(watches, start_revision=2), watch(watches)
    number, _ = create_all(stream)
    stream.answer(response(number, canceled=True, compact_revision=9))
    assert isinstance(subscription.error, RevisionCompactedError)
    assert subscription.error.compacted_revision == 9
    assert stream.canceled() == [number]


def test_an_outdated_token_reopens_the_stream_with_a_new_one() -> None:
    watches, stream = make_stream(username="u")
    waiting = watch(watches)
    stream.created()
    refuse(stream, OLD_TOKEN)
    assert isinstance(stream.demanded, InvalidAuthTokenError)
    stream.break_()
    stream.open()
    create_all(stream)
    assert waiting.state is State.OPEN


def test_a_token_that_stays_invalid_ends_all_waiting_watches_after_a_few_openings() -> None:
    watches, stream = make_stream(username="u")
    well = watch(watches)
    create_all(stream)
    waiting = [watch(watches) for _ in range(5)]
    openings = 0
    while any(each.state is not State.ENDED for each in waiting):
        # The healthy one is first in line, and the server keeps accepting it.
        numbers = [create.watch_id for create in stream.created()]
        if openings:
            stream.answer(response(numbers[0], created=True, revision=10))
        for _ in waiting:
            if stream.demanded is None:
                refuse(stream, OLD_TOKEN)
        if stream.demanded is not None:
            stream.break_()
            stream.open()
            openings += 1
    assert openings == 3
    assert all(isinstance(each.error, InvalidAuthTokenError) for each in waiting)
    assert well.state is not State.ENDED


def test_a_denial_with_a_fresh_token_is_final() -> None:
    watches, stream = make_stream(username="u")
    stream.break_()
    denied, other = watch(watches), watch(watches)
    stream.open()
    refuse(stream, DENIED)
    assert isinstance(denied.error, PermissionDeniedError)
    assert stream.demanded is None
    assert other.state is State.WAITING


def test_a_denial_with_a_token_that_may_be_outdated_is_retried() -> None:
    watches, stream = make_stream(username="u")
    denied = watch(watches)
    stream.created()
    refuse(stream, DENIED)
    assert isinstance(stream.demanded, PermissionDeniedError)
    stream.break_()
    stream.open()
    refuse(stream, DENIED)
    assert isinstance(denied.error, PermissionDeniedError)
    assert stream.demanded is None


@pytest.mark.parametrize("reason", [DENIED, OLD_TOKEN, "etcdserver: user name is empty"])
def test_a_refusal_without_a_user_is_final(reason: str) -> None:
    watches, stream = make_stream()
    subscription = watch(watches)
    refuse(stream, reason)
    assert isinstance(subscription.error, ClientError)
    assert stream.demanded is None


def test_a_watch_that_a_member_cannot_serve_moves_to_another() -> None:
    watches, stream = make_stream()
    subscription, other = watch(watches), watch(watches)
    number, _ = create_all(stream)
    stream.answer(response(number, canceled=True, cancel_reason="etcdserver: no leader"))
    assert isinstance(stream.demanded, NoLeaderError)
    stream.break_()
    stream.open()
    create_all(stream)
    assert subscription.state is other.state is State.OPEN


def test_a_watch_that_the_server_canceled_without_a_reason_says_so() -> None:
    watches, stream = make_stream()
    subscription = watch(watches)
    (number,) = create_all(stream)
    stream.answer(response(number, canceled=True))
    assert isinstance(subscription.error, WatchCanceledError)


def test_the_stream_is_reopened_when_the_server_cancels_all_watches() -> None:
    watches, stream = make_stream()
    subscription = watch(watches)
    create_all(stream)
    stream.answer(response(-1, canceled=True))
    assert stream.demanded is not None
    assert subscription.state is State.OPEN


# Streams -----------------------------------------------------------------------------------


def spread(count: int, **arguments: Any) -> tuple[WatchStreams, ModelChannel, list[WatchStream]]:
    channel: Any = ModelChannel()
    streams = WatchStreams(channel)
    placed = [
        streams.subscribe(Subscription(WatchSpec(b"k", **arguments), lambda: None))
        for _ in range(count)
    ]
    return streams, channel, placed


async def test_watches_are_spread_when_a_stream_is_full() -> None:
    _, channel, placed = spread(2 * WATCHES_PER_STREAM + 1)
    assert len(channel.streams) == 3
    assert placed.count(placed[0]) == WATCHES_PER_STREAM


async def test_ids_differ_between_streams() -> None:
    _, channel, _ = spread(WATCHES_PER_STREAM + 10)
    for stream in channel.streams:
        stream.open()
    numbers = [create.watch_id for stream in channel.streams for create in stream.created()]
    assert len(numbers) == len(set(numbers)) == WATCHES_PER_STREAM + 10


async def test_an_id_in_use_is_refused_on_any_stream() -> None:
    streams, _, _ = spread(WATCHES_PER_STREAM)
    seven = Subscription(WatchSpec(b"k", watch_id=7), lambda: None)
    stream = streams.subscribe(seven)
    with pytest.raises(ValueError, match="watch_id 7 is in use"):
        streams.subscribe(Subscription(WatchSpec(b"k", watch_id=7), lambda: None))
    stream.remove(seven)
    streams.subscribe(Subscription(WatchSpec(b"k", watch_id=7), lambda: None))


async def test_an_id_that_is_free_again_is_used_on_another_stream() -> None:
    # On the same stream, events in flight for the first could be taken for the second's.
    streams, channel, (first,) = spread(1)
    channel.streams[0].open()
    one, two = (Subscription(WatchSpec(b"k", watch_id=7), lambda: None) for _ in range(2))
    assert streams.subscribe(one) is first
    first.remove(one)
    second = streams.subscribe(two)
    assert second is not first
    channel.streams[1].open()
    assert [create.watch_id for create in channel.streams[1].created()] == [7]


async def test_a_stream_without_watches_is_kept_while_it_is_the_only_one() -> None:
    streams, channel, (stream,) = spread(1)
    channel.streams[0].open()
    subscription = next(iter(stream._subscriptions))
    stream.remove(subscription)
    assert not channel.streams[0].stopped
    again = Subscription(WatchSpec(b"k"), lambda: None)
    assert streams.subscribe(again) is stream


async def test_a_stream_without_watches_is_stopped_if_there_is_another() -> None:
    _, channel, placed = spread(WATCHES_PER_STREAM + 1)
    last = placed[-1]
    last.remove(next(iter(last._subscriptions)))
    assert [stream.stopped for stream in channel.streams] == [False, True]


async def test_a_stream_without_watches_is_not_opened_again_when_it_breaks() -> None:
    streams, channel, (stream,) = spread(1)
    channel.streams[0].open()
    stream.remove(next(iter(stream._subscriptions)))
    channel.streams[0].break_()
    assert channel.streams[0].stopped
    streams.subscribe(Subscription(WatchSpec(b"k"), lambda: None))
    assert len(channel.streams) == 2


async def test_a_stream_that_ended_gets_no_new_watches() -> None:
    streams, channel, _ = spread(1)
    channel.streams[0].end(ConnectionFailedError("for good"))
    streams.subscribe(Subscription(WatchSpec(b"k"), lambda: None))
    assert len(channel.streams) == 2


def test_a_stream_of_another_loop_is_refused() -> None:
    channel: Any = ModelChannel()
    streams = WatchStreams(channel)

    async def subscribe() -> None:
        streams.subscribe(Subscription(WatchSpec(b"k"), lambda: None))

    asyncio.run(subscribe())
    with pytest.raises(ClientError, match="another event loop"):
        asyncio.run(subscribe())
