"""Many watches on few streams: who is on which, under which number."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from etcd_channel import Channel, ClientError, Stream, WrongEventLoopError
from etcd_watch._refusals import cancel_error, may_pass
from etcd_watch._subscription import State, Subscription
from etcd_watch.errors import ClusterChangedError
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.rpcs import WATCH

__all__ = ["WATCHES_PER_STREAM", "WatchStream", "WatchStreams"]

WATCHES_PER_STREAM = 64
"""How many watches share a stream: a server works through one stream's watches in turn, and
hundreds on one delay each other by minutes (etcd issue 17529)."""

# Numbers from here on are given to watches whose caller chose none: so that those that a caller
# chooses are free, whatever else goes on on its channel.
_FIRST_NUMBER = 1 << 32


class WatchStreams:
    """The streams of a channel, and the watches on them.

    A watch stays on its stream; a new one goes to the first with room. A stream without
    watches is kept while it is the only one, and well: the next watch has it at once.
    """

    def __init__(self, channel: Channel, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._channel = channel
        self._metadata = metadata
        self._streams: list[WatchStream] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._numbers = itertools.count(_FIRST_NUMBER)

    def subscribe(self, subscription: Subscription) -> WatchStream:
        """Put a watch on a stream; a `ValueError` if its id is one in use."""
        self._streams = [stream for stream in self._streams if not stream.is_over]
        if self._streams and self._loop is not asyncio.get_running_loop():
            raise WrongEventLoopError(
                "the channel belongs to another event loop: make one for each loop"
            )
        wanted = subscription.spec.watch_id
        if wanted and any(stream.uses(wanted) for stream in self._streams):
            raise ValueError(f"watch_id {wanted} is in use by another watch of this client")
        for stream in self._streams:
            if stream.has_room_for(wanted):
                break
        else:
            stream = WatchStream(self._channel, self._metadata, self._numbers, self._deserted)
            self._loop = asyncio.get_running_loop()
            self._streams.append(stream)
        stream.add(subscription)
        return stream

    async def close(self) -> None:
        """End all streams, and the watches on them."""
        streams, self._streams = self._streams, []
        for stream in streams:
            await stream.close()

    def _deserted(self, deserted: WatchStream) -> None:
        """Take note that a stream has no watches any more."""
        if not deserted.is_broken and self._streams == [deserted]:
            return
        self._streams = [stream for stream in self._streams if stream is not deserted]
        deserted.stop()


class _Creation(NamedTuple):
    """A watch that the server was asked to create."""

    number: int
    subscription: Subscription
    with_fresh_token: bool
    progress_requests: int
    """How many requests for progress went before it."""


class WatchStream:
    """The watches of one stream; what `etcd_channel.Stream` serves.

    Each creation of a watch on the server gets a number that this stream has not used
    before, also when a watch is created again: what is still under way for an earlier
    creation must not be taken for the later one's. Only a number that the caller chose is
    used as it is, for the first creation on each opening of the stream.
    """

    def __init__(
        self,
        channel: Channel,
        metadata: Sequence[tuple[str, str]],
        numbers: Iterator[int],
        deserted: Callable[[WatchStream], None],
    ) -> None:
        self.last_error: ClientError | None = None
        """Why the stream broke last."""
        self.is_broken = False
        """Whether it is being opened again."""
        self._has_user = channel.username is not None
        self._numbers = numbers
        self._deserted = deserted
        # Every watch that is not over, with its number on the open stream if it has one.
        self._subscriptions: dict[Subscription, int | None] = {}
        self._by_number: dict[int, Subscription] = {}
        # Creations that the server has not answered, in their order: a refusal may come
        # without a number.
        self._creating: deque[_Creation] = deque()
        # Numbers that callers chose and that were used since the stream was opened.
        self._used: set[int] = set()
        # Requests for progress since the stream was opened, and answers to them. A server may
        # leave some unanswered; so the n-th answer is to the n-th request or a later one.
        self._progress_requests = 0
        self._progress_answers = 0
        self._stream: Stream[pb.WatchRequest, pb.WatchResponse] = channel.stream(
            WATCH, self, metadata=metadata
        )

    @property
    def is_over(self) -> bool:
        """Whether the stream will tell nothing more."""
        return self._stream.ended

    def stop(self) -> None:
        """Begin to end the stream; the channel awaits it."""
        self._stream.stop()

    async def close(self) -> None:
        """End the stream, and the watches on it."""
        await self._stream.close()

    def has_room_for(self, watch_id: int) -> bool:
        """Whether a watch with this number of its caller's, or 0, may join."""
        return watch_id not in self._used and len(self._subscriptions) < WATCHES_PER_STREAM

    def uses(self, watch_id: int) -> bool:
        """Whether a watch of this stream goes by the number."""
        return watch_id in self._by_number or any(
            watch_id in (subscription.spec.watch_id, subscription.watch_id)
            for subscription in self._subscriptions
        )

    # What the watches ask for ----------------------------------------------------------

    def add(self, subscription: Subscription) -> None:
        """Take a watch, and create it on the server."""
        self._subscriptions[subscription] = None
        self._stream.send(self._create(subscription))

    def remove(self, subscription: Subscription, error: ClientError | None = None) -> None:
        """End a watch, here and on the server; nothing if it is not here."""
        number = self._subscriptions.get(subscription)
        if number is not None:
            self._cancel(number)
        self._forget(subscription, error)

    def go_on(self, subscription: Subscription) -> None:
        """Create a parked watch again if its reader has caught up."""
        if subscription.is_drained and subscription in self._subscriptions:
            subscription.unpark()
            self._stream.send(self._create(subscription))

    def create_again(self, subscription: Subscription) -> None:
        """Have the server create an open watch anew, from its position."""
        number = self._subscriptions.get(subscription)
        if number is not None and subscription.state is State.OPEN:
            self._cancel(number)
            subscription.take_break()
            self._stream.send(self._create(subscription))

    def request_progress(self) -> None:
        """Ask the server how far the stream's watches are."""
        self._progress_requests += 1
        self._stream.send(_PROGRESS)

    def _create(self, subscription: Subscription, *, opening: bool = False) -> pb.WatchRequest:
        number = subscription.spec.watch_id
        if not number or number in self._used:
            number = next(self._numbers)
            while self._is_wanted(number):
                number = next(self._numbers)
        else:
            self._used.add(number)
        self._subscriptions[subscription] = number
        self._by_number[number] = subscription
        self._creating.append(_Creation(number, subscription, opening, self._progress_requests))
        return subscription.spec.create_request(number, subscription.next_revision)

    def _is_wanted(self, number: int) -> bool:
        return any(subscription.spec.watch_id == number for subscription in self._subscriptions)

    def _cancel(self, number: int) -> None:
        self._by_number.pop(number, None)
        self._stream.send(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=number)))

    def _forget(self, subscription: Subscription, error: ClientError | None) -> None:
        if subscription in self._subscriptions:
            number = self._subscriptions.pop(subscription)
            if number is not None:
                self._by_number.pop(number, None)
            if not self._subscriptions:
                self._deserted(self)
        subscription.end(error)

    # What the stream tells -------------------------------------------------------------

    def opened(self) -> Iterable[pb.WatchRequest]:
        self.is_broken = False
        self._by_number.clear()
        self._creating.clear()
        self._used.clear()
        self._progress_requests = self._progress_answers = 0
        requests = []
        for subscription in self._subscriptions:
            self._subscriptions[subscription] = None
            if subscription.state is State.WAITING:
                requests.append(self._create(subscription, opening=True))
        return requests

    def received(self, response: pb.WatchResponse) -> None:
        if response.created and self._creating:
            self._take_answer(self._creating.popleft(), response)
        elif response.watch_id == -1:
            self._take_for_all(response)
        else:
            subscription = self._by_number.get(response.watch_id)
            if subscription is None:
                pass  # of a creation that was given up
            elif response.canceled:
                # One that it says to be compacted the server still has, until it is canceled.
                self._cancel(response.watch_id)
                self._take_cancel(subscription, response, with_fresh_token=False)
            else:
                subscription.take(response)
                if subscription.is_full:
                    subscription.park()
                    self._subscriptions[subscription] = None
                    self._cancel(response.watch_id)

    def _take_answer(self, creation: _Creation, response: pb.WatchResponse) -> None:
        number, subscription, with_fresh_token, progress_requests = creation
        if self._subscriptions.get(subscription) != number:
            return  # given up before the server had answered
        # Also a refusal says `created`: whether it is one must be looked at first.
        if response.canceled:
            self._take_cancel(subscription, response, with_fresh_token=with_fresh_token)
        else:
            if response.watch_id != number:
                # etcd's grpc-proxy numbers watches as it likes.
                self._by_number.pop(number, None)
                number = response.watch_id
                self._by_number[number] = subscription
                self._subscriptions[subscription] = number
            if subscription.is_of_another_cluster(response.header):
                self._cancel(number)
                self._forget(subscription, _another_cluster())
            else:
                subscription.take_created(number, response.header, progress_requests)

    def _take_cancel(
        self, subscription: Subscription, response: pb.WatchResponse, *, with_fresh_token: bool
    ) -> None:
        error = cancel_error(response)
        if not may_pass(
            error,
            refusals=subscription.refusals,
            fresh_token=with_fresh_token,
            has_user=self._has_user,
        ):
            self._forget(subscription, error)
            return
        # Those that wait for an answer would have got the same.
        subscription.refusals += 1
        for creation in self._creating:
            creation.subscription.refusals += 1
        subscription.take_break()
        self._stream.reopen(error)

    def _take_for_all(self, response: pb.WatchResponse) -> None:
        if response.canceled:
            self._stream.reopen(cancel_error(response))
            return
        self._progress_answers += 1
        for subscription in tuple(self._subscriptions):
            subscription.take_shared_progress(response, self._progress_answers)

    def broken(self, error: ClientError) -> None:
        self.last_error = error
        self.is_broken = True
        for subscription in self._subscriptions:
            subscription.take_break()
        if not self._subscriptions:
            self._deserted(self)

    def ended(self, error: ClientError) -> None:
        subscriptions, self._subscriptions = self._subscriptions, {}
        self._by_number.clear()
        for subscription in subscriptions:
            subscription.end(error)


def _another_cluster() -> ClientError:
    return ClusterChangedError(
        "the endpoints serve another cluster than before: its history is not the one that was"
        " watched",
        method=WATCH.name,
    )


_PROGRESS = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
