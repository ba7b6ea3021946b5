"""Assigns the watches to streams and watch IDs: many watches share few streams."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from etcd_channel import ChannelLike, ClientError, Stream
from etcd_watch._creations import Creation, Creations
from etcd_watch._metrics import PARKED_WATCHES, WATCH_LAG
from etcd_watch._refusals import can_retry, cancel_error
from etcd_watch._subscription import Batch, State, Subscription
from etcd_watch.errors import ClusterChangedError, WatchTimeoutError
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.rpcs import WATCH

__all__ = ["WATCHES_PER_STREAM", "WatchStream", "WatchStreams"]

WATCHES_PER_STREAM = 64
"""The maximum number of watches on a stream. A server serves the watches of one stream in turn:
hundreds on one delay each other by minutes (etcd issue 17529)."""

# IDs for watches without an ID of the caller's choice start here, so that they do not collide with
# the IDs that other callers on the same channel choose.
_FIRST_ID = 1 << 32


class WatchStreams:
    """The watch streams of a channel.

    A watch stays on its stream; a new one is added to the first stream with room. A stream
    without watches stays open if it is the only one and not broken, for the next watch.
    """

    def __init__(self, channel: ChannelLike, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._channel = channel
        self._metadata = metadata
        self._streams: list[WatchStream] = []
        self._ids = itertools.count(_FIRST_ID)

    def check_usable(self) -> None:
        """Raise a `ClientError` in another process or event loop than the channel's."""
        self._channel.check_usable()

    def subscribe(self, subscription: Subscription) -> WatchStream:
        """Put a watch on a stream. Raises `ValueError` if its ID is in use."""
        self._streams = [stream for stream in self._streams if not stream.is_over]
        if self._streams:
            self.check_usable()
        wanted = subscription.spec.watch_id
        if wanted and any(stream.uses(wanted) for stream in self._streams):
            raise ValueError(f"watch_id {wanted} is in use by another watch of this client")
        for stream in self._streams:
            if stream.has_room_for(wanted):
                break
        else:
            stream = WatchStream(self._channel, self._metadata, self._ids, self._on_empty)
            self._streams.append(stream)
        stream.add(subscription)
        return stream

    async def close(self) -> None:
        """End all streams, and the watches on them."""
        streams, self._streams = self._streams, []
        for stream in streams:
            await stream.close()

    def _on_empty(self, empty: WatchStream) -> None:
        """Stop a stream without watches, unless it is kept for the next watch."""
        if not empty.is_broken and self._streams == [empty]:
            return
        self._streams = [stream for stream in self._streams if stream is not empty]
        empty.stop()


class WatchStream:
    """The watches of one stream; the handler of an `etcd_channel.Stream`.

    Each creation of a watch gets an ID that this stream has not used before, also when the
    watch is created again: responses to an earlier creation that arrive late must not be
    taken for responses to the later one. An ID that the caller chose is used for the first
    creation after each opening of the stream.
    """

    def __init__(
        self,
        channel: ChannelLike,
        metadata: Sequence[tuple[str, str]],
        ids: Iterator[int],
        on_empty: Callable[[WatchStream], None],
    ) -> None:
        self.last_error: ClientError | None = None
        """Why the stream broke last."""
        self.is_broken = False
        """Whether it is broken, and being reopened."""
        self._has_user = channel.username is not None
        self.observer = channel.observer
        # Known while a view receives reports; and the watches that were reported as parked.
        self._newest_revision = 0
        self._parked: set[Subscription] = set()
        self._ids = ids
        self._on_empty = on_empty
        # Every watch that has not ended, with its ID on the open stream if it has one.
        self._subscriptions: dict[Subscription, int | None] = {}
        self._by_id: dict[int, Subscription] = {}
        # Creations that the server has not answered, in order: a refusal may come without an ID.
        self._creations = Creations(channel.timeout, self._reopen_without)
        # IDs that callers chose and that were used since the stream was opened.
        self._used: set[int] = set()
        # Progress requests since the stream was opened, and answers to them. A server may
        # leave some unanswered, so the n-th answer is to the n-th request or a later one.
        self._progress_requests = 0
        self._progress_answers = 0
        self._stream: Stream[pb.WatchRequest, pb.WatchResponse] = channel.stream(
            WATCH, self, metadata=metadata
        )

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended for good."""
        return self._stream.ended

    def stop(self) -> None:
        """Begin to end the stream; the channel waits for its end."""
        self._stream.stop()

    async def close(self) -> None:
        """End the stream, and the watches on it."""
        await self._stream.close()

    def has_room_for(self, watch_id: int) -> bool:
        """Whether a watch can be added; `watch_id` is the ID that its caller chose, or 0."""
        return watch_id not in self._used and len(self._subscriptions) < WATCHES_PER_STREAM

    def uses(self, watch_id: int) -> bool:
        """Whether a watch of this stream has the ID, or asks for it."""
        if not self._stream.is_through_grpc_proxy and watch_id in self._by_id:
            return True
        return any(
            watch_id in (subscription.spec.watch_id, subscription.watch_id)
            for subscription in self._subscriptions
        )

    # Requests of the watches -----------------------------------------------------------

    def add(self, subscription: Subscription) -> None:
        """Add a watch, and create it on the server."""
        self._subscriptions[subscription] = None
        self._create(subscription)

    def remove(self, subscription: Subscription, error: ClientError | None = None) -> None:
        """End a watch, and cancel it on the server if it is on this stream."""
        watch_id = self._subscriptions.get(subscription)
        # The proxy assigns an ID with its answer: `_take_answer` cancels the watch then.
        if watch_id is not None and self._by_id.get(watch_id) is subscription:
            self._cancel(watch_id)
        self._forget(subscription, error)

    def resume(self, subscription: Subscription) -> None:
        """Create a parked watch again if its reader has caught up."""
        if subscription.is_drained and subscription in self._subscriptions:
            subscription.unpark()
            self._measure_end_of_parking(subscription)
            self._create(subscription)

    def create_again(self, subscription: Subscription) -> None:
        """Cancel an open watch on the server and create it again from its position."""
        watch_id = self._subscriptions.get(subscription)
        if watch_id is not None and subscription.state is State.OPEN:
            self._cancel(watch_id)
            subscription.take_break()
            self._create(subscription)

    def request_progress(self) -> None:
        """Send a progress request for all watches of the stream."""
        self._progress_requests += 1
        self._stream.send(_PROGRESS)

    def _create(self, subscription: Subscription) -> None:
        """Create a watch on the server, now or after those that are not answered yet."""
        self._creations.add(subscription)
        self._create_next()

    def _create_next(self) -> None:
        for request in self._next_creations():
            self._stream.send(request)

    def _next_creations(self) -> list[pb.WatchRequest]:
        """Return the requests for all watches that may be created now."""
        through_proxy = self._stream.is_through_grpc_proxy
        requests = []
        while (found := self._creations.take_next(through_proxy=through_proxy)) is not None:
            subscription, opening = found
            if subscription in self._subscriptions:
                requests.append(self._request_creation(subscription, opening, through_proxy))
        return requests

    def _request_creation(
        self, subscription: Subscription, opening: bool, through_proxy: bool
    ) -> pb.WatchRequest:
        watch_id = subscription.spec.watch_id
        if not watch_id or watch_id in self._used:
            watch_id = next(self._ids)
            while self._is_requested(watch_id):
                watch_id = next(self._ids)
        else:
            self._used.add(watch_id)
        self._subscriptions[subscription] = watch_id
        if not through_proxy:
            # The proxy may have assigned this ID to another watch.
            self._by_id[watch_id] = subscription
        creation = Creation(watch_id, subscription, opening, self._progress_requests)
        self._creations.sent(creation, through_proxy=through_proxy)
        return subscription.spec.create_request(watch_id, subscription.next_revision)

    def _is_requested(self, watch_id: int) -> bool:
        return any(subscription.spec.watch_id == watch_id for subscription in self._subscriptions)

    def _cancel(self, watch_id: int) -> None:
        self._by_id.pop(watch_id, None)
        self._stream.send(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch_id)))

    def _release(self, watch_id: int, subscription: Subscription) -> None:
        if self._by_id.get(watch_id) is subscription:
            del self._by_id[watch_id]

    def _forget(self, subscription: Subscription, error: ClientError | None) -> None:
        if subscription in self._subscriptions:
            watch_id = self._subscriptions.pop(subscription)
            if watch_id is not None:
                self._release(watch_id, subscription)
            self._measure_end_of_parking(subscription)
            if not self._subscriptions:
                self._on_empty(self)
        subscription.end(error)

    # Events of the stream --------------------------------------------------------------

    def opened(self) -> Iterable[pb.WatchRequest]:
        self.is_broken = False
        self._by_id.clear()
        self._creations.clear()
        self._used.clear()
        self._progress_requests = self._progress_answers = 0
        for subscription in self._subscriptions:
            self._subscriptions[subscription] = None
            if subscription.state is State.WAITING:
                self._creations.add(subscription, opening=True)
        return self._next_creations()

    def received(self, response: pb.WatchResponse) -> None:
        if self.observer.listening and response.header.revision > self._newest_revision:
            self._newest_revision = response.header.revision
        if response.created and (creation := self._creations.answered()) is not None:
            self._take_answer(creation, response)
            self._create_next()
        elif response.watch_id == -1:
            self._take_for_all(response)
        else:
            subscription = self._by_id.get(response.watch_id)
            if subscription is None:
                pass  # for a creation that was canceled since
            elif response.canceled:
                # A watch that ended by compaction stays on the server until it is canceled.
                self._cancel(response.watch_id)
                self._take_cancel(subscription, response, with_fresh_token=False)
            else:
                subscription.take(response, self._stream.response_bytes)
                if subscription.is_full:
                    subscription.park()
                    self._subscriptions[subscription] = None
                    self._cancel(response.watch_id)
                    if self.observer.listening:
                        self._parked.add(subscription)
                        self.observer.measure(PARKED_WATCHES, 1)

    def _take_answer(self, creation: Creation, response: pb.WatchResponse) -> None:
        watch_id, subscription, with_fresh_token, progress_requests = creation
        if self._subscriptions.get(subscription) != watch_id:
            # Canceled before the server answered, by the ID of the request if that is its ID.
            is_assigned = self._stream.is_through_grpc_proxy or response.watch_id != watch_id
            if is_assigned and not response.canceled:
                self._cancel(response.watch_id)
            return
        # A refusal has `created` set too: check `canceled` first.
        if response.canceled:
            self._take_cancel(subscription, response, with_fresh_token=with_fresh_token)
        else:
            if response.watch_id != watch_id:
                # etcd's grpc-proxy assigns IDs of its own.
                self._release(watch_id, subscription)
                watch_id = response.watch_id
                self._subscriptions[subscription] = watch_id
            self._by_id[watch_id] = subscription
            if subscription.is_of_another_cluster(response.header):
                self._cancel(watch_id)
                self._forget(subscription, _another_cluster())
            else:
                subscription.take_created(creation.watch_id, response.header, progress_requests)

    def _take_cancel(
        self, subscription: Subscription, response: pb.WatchResponse, *, with_fresh_token: bool
    ) -> None:
        error = cancel_error(response, has_user=self._has_user)
        if not can_retry(
            error,
            refusals=subscription.refusals,
            fresh_token=with_fresh_token,
            has_user=self._has_user,
        ):
            self._forget(subscription, error)
            return
        subscription.take_refusal()
        # The creations that are not answered yet would have got the same refusal.
        for other in self._creations:
            other.take_refusal()
        self._stream.reopen(error)

    def _take_for_all(self, response: pb.WatchResponse) -> None:
        if response.canceled:
            self._stream.reopen(cancel_error(response, has_user=self._has_user))
            return
        self._progress_answers += 1
        for subscription in tuple(self._subscriptions):
            subscription.take_shared_progress(response, self._progress_answers)

    def _reopen_without(self, silent: Subscription) -> None:
        """Open the stream again: an answer that comes later could be for any creation."""
        if silent in self._subscriptions:
            # The others are created first then, so they do not wait for it again.
            self._subscriptions[silent] = self._subscriptions.pop(silent)
        seconds = self._creations.answer_time(silent)
        silent.unanswered += 1
        what = f"the creation of a watch was not answered in {seconds:g} s"
        # Not an error of the connection, which would be reported as an outage of the proxy.
        self._stream.reopen(WatchTimeoutError(what, method=WATCH.name))

    def broken(self, error: ClientError) -> None:
        self._creations.clear()
        self.last_error = _without_frames(error)
        self.is_broken = True
        for subscription in self._subscriptions:
            subscription.take_break()
        if not self._subscriptions:
            self._on_empty(self)

    def ended(self, error: ClientError) -> None:
        self._creations.clear()
        error = _without_frames(error)
        subscriptions, self._subscriptions = self._subscriptions, {}
        self._by_id.clear()
        for subscription in subscriptions:
            self._measure_end_of_parking(subscription)
            subscription.end(error)

    # Measurements ----------------------------------------------------------------------

    def measure_lag(self, batch: Batch) -> None:
        """Measure how far what a reader takes is behind."""
        response, events = batch
        read = events[-1].kv.mod_revision if events else response.header.revision
        self.observer.measure(WATCH_LAG, max(self._newest_revision - read, 0))

    def _measure_end_of_parking(self, subscription: Subscription) -> None:
        if subscription in self._parked:
            self._parked.remove(subscription)
            self.observer.measure(PARKED_WATCHES, -1)


def _without_frames(error: ClientError) -> ClientError:
    """Return a copy to be kept: the frames in the traceback would keep what they refer to."""
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own


def _another_cluster() -> ClientError:
    return ClusterChangedError(
        "the endpoints serve another cluster than before, with a different history",
        method=WATCH.name,
    )


_PROGRESS = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
