"""Many watches on few streams: who is on which, under which number."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from etcd_channel import Channel, ClientError, Stream
from etcd_channel.errors import ConnectionFailedError
from etcd_watch._subscription import Outcome, State, Subscription
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.rpcs import WATCH

__all__ = ["WatchStream", "WatchStreams"]

WATCHES_PER_STREAM = 64
"""How many watches share a stream: a server works through one stream's watches in turn, and
hundreds on one delay each other by minutes (etcd issue 17529)."""


class WatchStreams:
    """The streams of a channel, and the watches on them.

    A watch stays on its stream; a new one goes to the first with room.
    """

    def __init__(self, channel: Channel, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._channel = channel
        self._metadata = metadata
        self._streams: list[WatchStream] = []

    def subscribe(self, subscription: Subscription) -> WatchStream:
        """Put a watch on a stream; a `ValueError` if its id is one in use."""
        self._streams = [stream for stream in self._streams if not stream.is_over]
        wanted = subscription.spec.watch_id
        if wanted and any(stream.uses(wanted) for stream in self._streams):
            raise ValueError(f"watch_id {wanted} is in use by another watch of this client")
        for stream in self._streams:
            if stream.has_room:
                break
        else:
            stream = WatchStream(self._channel, self._metadata)
            self._streams.append(stream)
        stream.add(subscription)
        return stream

    async def close(self) -> None:
        """End all streams, and the watches on them."""
        streams, self._streams = self._streams, []
        for stream in streams:
            await stream.close()


class WatchStream:
    """The watches of one stream; what `etcd_channel.Stream` serves.

    Each creation of a watch on the server gets a number that this stream has not used
    before, also when a watch is created again: what is still under way for an earlier
    creation must not be taken for the later one's. Only a number that the caller chose is
    used as it is, for the first creation on a stream.
    """

    def __init__(self, channel: Channel, metadata: Sequence[tuple[str, str]]) -> None:
        self._subscriptions: dict[Subscription, int] = {}
        """Every watch that is not over, with its number on the open stream, or 0."""
        self._by_number: dict[int, Subscription] = {}
        # Creations that the server has not answered, in their order: a refusal may come
        # without a number.
        self._creating: deque[tuple[int, Subscription]] = deque()
        self._next_number = 1
        self._used: set[int] = set()
        self.last_error: ClientError | None = None
        """Why the stream broke last."""
        self._stream: Stream[pb.WatchRequest, pb.WatchResponse] = channel.stream(
            WATCH, self, metadata=metadata
        )

    @property
    def is_over(self) -> bool:
        """Whether the stream will tell nothing more."""
        return self._stream.ended

    async def close(self) -> None:
        """End the stream, and the watches on it."""
        await self._stream.close()

    @property
    def has_room(self) -> bool:
        return len(self._subscriptions) < WATCHES_PER_STREAM

    def uses(self, watch_id: int) -> bool:
        """Whether a watch of this stream goes by the number."""
        return watch_id in self._by_number or any(
            subscription.spec.watch_id == watch_id for subscription in self._subscriptions
        )

    # What the watches ask for ----------------------------------------------------------

    def add(self, subscription: Subscription) -> None:
        """Take a watch, and create it on the server."""
        self._subscriptions[subscription] = 0
        self._stream.send(self._create(subscription))

    def remove(self, subscription: Subscription) -> None:
        """Give a watch up, here and on the server; nothing if it is not here."""
        number = self._subscriptions.pop(subscription, None)
        if number:
            self._cancel(number)
        subscription.end(None)

    def drained(self, subscription: Subscription) -> None:
        """Create a parked watch again, now that its reader has caught up."""
        if subscription.wants_more and subscription in self._subscriptions:
            subscription.unpark()
            self._stream.send(self._create(subscription))

    def request_progress(self, subscription: Subscription) -> None:
        """Ask the server how far the stream's watches are."""
        subscription.wants_progress += 1
        self._stream.send(_PROGRESS)

    def number(self, subscription: Subscription) -> int:
        """The number of a watch on the open stream; 0 if it has none now."""
        return self._subscriptions.get(subscription, 0)

    def _create(self, subscription: Subscription) -> pb.WatchRequest:
        number = subscription.spec.watch_id
        if not number or number in self._used:
            number = self._next_number
            while number in self._used or self._is_wanted(number):
                number += 1
            self._next_number = number + 1
        self._used.add(number)
        self._subscriptions[subscription] = number
        self._by_number[number] = subscription
        self._creating.append((number, subscription))
        return subscription.spec.create_request(number, subscription.next_revision)

    def _is_wanted(self, number: int) -> bool:
        return any(subscription.spec.watch_id == number for subscription in self._subscriptions)

    def _cancel(self, number: int) -> None:
        self._by_number.pop(number, None)
        self._stream.send(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=number)))

    # What the stream tells -------------------------------------------------------------

    def opened(self) -> Iterable[pb.WatchRequest]:
        self._by_number.clear()
        self._creating.clear()
        self._used.clear()
        self._next_number = 1
        requests = []
        for subscription in self._subscriptions:
            self._subscriptions[subscription] = 0
            if subscription.state is State.WAITING:
                requests.append(self._create(subscription))
        if any(subscription.wants_progress for subscription in self._subscriptions):
            requests.append(_PROGRESS)
        return requests

    def received(self, response: pb.WatchResponse) -> None:
        number = response.watch_id
        if response.created and self._creating:
            number, subscription = self._creating.popleft()
        elif number == -1 and response.canceled:
            self._stream.reopen(
                ConnectionFailedError("the server canceled all watches", method=WATCH.name)
            )
            return
        elif number == -1:
            for each in tuple(self._subscriptions):
                each.take_shared_progress(response)
            return
        else:
            found = self._by_number.get(number)
            if found is None:
                return  # of a creation that was given up
            subscription = found
        if self._by_number.get(number) is not subscription:
            return  # given up before the server had created it
        outcome = subscription.take(response)
        if outcome is Outcome.PARK:
            self._subscriptions[subscription] = 0
            self._cancel(number)
        elif outcome is Outcome.REOPEN:
            self._stream.reopen(ConnectionFailedError(response.cancel_reason, method=WATCH.name))
        elif outcome is Outcome.FORGET:
            self._by_number.pop(number, None)
            self._subscriptions.pop(subscription, None)

    def broken(self, error: ClientError) -> None:
        self.last_error = error
        for subscription in self._subscriptions:
            subscription.take_break()

    def ended(self, error: ClientError) -> None:
        subscriptions, self._subscriptions = self._subscriptions, {}
        self._by_number.clear()
        for subscription in subscriptions:
            subscription.end(error)


_PROGRESS = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
