"""Watches through etcd's grpc-proxy, which answers in any order and assigns IDs of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from watch_model import ModelStream, event, make_stream, response
from watch_support import HANG, connect, read, until, within

from etcd_channel import ClientError
from etcd_testing.played import PlayedEtcd
from etcd_watch import WatchClient, WatchTimeoutError
from etcd_watch._creations import Creation, Creations
from etcd_watch._streams import WatchStream
from etcd_watch._subscription import State, Subscription
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.requests import WatchSpec
from etcd_watch.rpcs import WATCH


def make_proxied() -> tuple[WatchStream, ModelStream]:
    watches, stream = make_stream()
    stream.is_through_grpc_proxy = True
    return watches, stream


def watch(watches: WatchStream, key: bytes = b"k", **arguments: Any) -> Subscription:
    subscription = Subscription(WatchSpec(key, **arguments), lambda: None)
    watches.add(subscription)
    return subscription


def requested(stream: ModelStream) -> list[bytes]:
    """Take the keys of the creations that were requested since the last call."""
    return [create.key for create in stream.created()]


def answer(stream: ModelStream, number: int) -> None:
    stream.answer(response(number, created=True, revision=10))


# One creation at a time --------------------------------------------------------------------


async def test_a_watch_is_created_when_the_one_before_was_answered() -> None:
    watches, stream = make_proxied()
    subscriptions = [watch(watches, b"%d" % number) for number in range(3)]
    for number, subscription in enumerate(subscriptions):
        assert requested(stream) == [b"%d" % number]
        assert not subscription.created
        answer(stream, number)
        assert subscription.created
    assert requested(stream) == []
    for number, subscription in enumerate(subscriptions):
        stream.answer(response(number, [event(11 + number)]))
        assert subscription.next_revision == 12 + number


async def test_watches_are_created_again_one_at_a_time() -> None:
    watches, stream = make_proxied()
    for number in range(3):
        watch(watches, b"%d" % number)
        answer(stream, number)
    stream.break_()
    watch(watches, b"3")
    stream.open()
    for number in range(4):
        assert requested(stream) == [b"%d" % number]
        answer(stream, number)
    assert requested(stream) == []


async def test_a_refusal_lets_the_next_watch_be_created() -> None:
    watches, stream = make_proxied()
    refused, other = watch(watches, b"0"), watch(watches, b"1")
    assert requested(stream) == [b"0"]
    stream.answer(response(-1, created=True, canceled=True))
    assert refused.state is State.ENDED
    assert requested(stream) == [b"1"]
    answer(stream, 0)
    assert other.state is State.OPEN


async def test_a_watch_that_ended_before_its_turn_is_not_created() -> None:
    watches, stream = make_proxied()
    _, gone, _ = [watch(watches, b"%d" % number) for number in range(3)]
    watches.remove(gone)
    assert requested(stream) == [b"0"]
    answer(stream, 0)
    assert requested(stream) == [b"2"]


async def test_the_answer_to_a_canceled_creation_is_not_taken_for_the_next() -> None:
    watches, stream = make_proxied()
    gone, other = watch(watches, b"0"), watch(watches, b"1")
    watches.remove(gone)
    assert requested(stream) == [b"0"]
    answer(stream, 0)
    assert other.state is State.WAITING
    stream.answer(response(0, [event(11)]))
    assert requested(stream) == [b"1"]
    answer(stream, 1)
    stream.answer(response(0, [event(12)]), response(1, [event(13)]))
    _, events = other.pop()
    assert [each.kv.mod_revision for each in events] == [13]


async def test_a_watch_canceled_during_its_creation_is_canceled_by_the_id_of_the_answer() -> None:
    watches, stream = make_proxied()
    gone = watch(watches, watch_id=7)
    watches.remove(gone)
    # The proxy may have another watch with the ID of the request.
    assert stream.canceled() == []
    answer(stream, 3)
    assert stream.canceled() == [3]
    gone = watch(watches)
    watches.remove(gone)
    stream.answer(response(-1, created=True, canceled=True))
    assert stream.canceled() == []


async def test_an_id_that_the_caller_chose_may_be_one_that_the_proxy_assigns_to_another() -> None:
    watches, stream = make_proxied()
    other = watch(watches, b"0")
    answer(stream, 7)
    chosen = watch(watches, b"1", watch_id=7)
    stream.answer(response(7, [event(11)]))
    assert other.next_revision == 12
    answer(stream, 8)
    stream.answer(response(7, [event(12)]), response(8, [event(13)]))
    assert (other.next_revision, chosen.next_revision) == (13, 14)


# No answer ---------------------------------------------------------------------------------


async def silence(stream: ModelStream) -> None:
    """Wait until the watch stream demands another opening, and open it again."""

    async def demanded() -> ClientError | None:
        return stream.demanded

    error = await until(demanded, lambda error: error is not None)
    assert isinstance(error, WatchTimeoutError)
    assert "not answered in 1 s" in str(error)
    stream.break_()
    stream.open()


async def test_a_creation_without_an_answer_holds_up_no_other_for_long() -> None:
    watches, stream = make_proxied()
    for key in (b"silent", b"0", b"1"):
        watch(watches, key)
    assert requested(stream) == [b"silent"]
    await silence(stream)
    for number, key in enumerate((b"0", b"1", b"silent")):
        assert requested(stream) == [key]
        answer(stream, number)


async def test_a_canceled_creation_without_an_answer_holds_up_no_other_for_long() -> None:
    watches, stream = make_proxied()
    gone, other = watch(watches, b"0"), watch(watches, b"1")
    watches.remove(gone)
    await silence(stream)
    assert requested(stream) == [b"1"]
    answer(stream, 0)
    assert other.state is State.OPEN


async def test_a_creation_without_an_answer_is_no_loss_of_the_proxy() -> None:
    watches, stream = make_proxied()
    watch(watches)
    await silence(stream)
    assert isinstance(watches.last_error, WatchTimeoutError)


async def test_a_creation_without_an_answer_gets_more_time_until_it_is_answered() -> None:
    watches, stream = make_proxied()
    subscription = watch(watches)
    first = watches._creations.answer_time(subscription)
    for number in range(1, 20):
        subscription.unanswered = number
        assert watches._creations.answer_time(subscription) == min(first * 2**number, 300)
    answer(stream, 0)
    assert watches._creations.answer_time(subscription) == first


async def test_an_answer_in_time_leaves_the_stream_open() -> None:
    silent: asyncio.Queue[Subscription] = asyncio.Queue()
    creations = Creations(2, silent.put_nowait)
    one, two = (Subscription(WatchSpec(b"k"), lambda: None) for _ in range(2))
    creations.sent(Creation(1, one, False, 0), through_proxy=True)
    assert creations.answered() is not None
    creations.sent(Creation(2, two, False, 0), through_proxy=True)
    # The time of the first one would end before.
    assert await within(silent.get()) is two
    assert silent.empty()


async def test_both_watches_get_events_after_a_creation_without_an_answer() -> None:
    calls = 0

    async def play(requests: AsyncIterator[pb.WatchRequest], context: Any) -> None:
        nonlocal calls
        calls += 1
        silent, number = calls == 1, 0
        async for request in requests:
            if request.HasField("create_request") and not silent:
                made = event(20)
                made.kv.key = request.create_request.key
                await context.write(response(number, created=True, revision=10))
                await context.write(response(number, [made]))
                number += 1

    async def key_of_the_first_event(client: WatchClient, key: bytes) -> bytes:
        async with client.watch(key, timeout=HANG) as watch:
            (first,) = await read(watch, 1)
            return first.kv.key

    keys = [b"0", b"1"]
    async with (
        PlayedEtcd({WATCH: play}) as proxy,
        connect(proxy.endpoint, timeout=2) as (client, *_),
    ):
        got = await asyncio.gather(*(key_of_the_first_event(client, key) for key in keys))
    assert got == keys
    assert calls > 1
