"""One watch as a state machine: its position in the history, and its unread events.

It does no I/O: `WatchStream` passes the server's responses to it, and `Reader` takes whole
revisions from it.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence

from etcd_channel import ClientError
from etcd_channel.pb import common_pb2
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.requests import WatchSpec

__all__ = ["Batch", "State", "Subscription", "memory_of"]

Batch = tuple[pb.WatchResponse, Sequence[pb.Event]]
"""A response, for its header, and the events that are delivered with it."""


class State(enum.Enum):
    """The state of a watch."""

    WAITING = enum.auto()
    """To be created on the server, for the first time or again."""
    OPEN = enum.auto()
    """Created; the server sends its events."""
    PARKED = enum.auto()
    """Canceled on the server until the reader has caught up."""
    ENDED = enum.auto()
    """Ended: by `error`, or by its reader if that is None."""


class Subscription:
    """One watch: its position in the history, and its unread events.

    `next_revision` is the first revision without a received event; 0 while the watch starts at
    "now" and the server has not returned that revision. It advances only by whole revisions, so
    that a watch that is created again from there loses and repeats nothing. Events before the
    start, or before the position, are dropped: a member that was restored or lags behind may send
    such events (etcd issues 15271 and 20221).
    """

    def __init__(self, spec: WatchSpec, wake: Callable[[], None]) -> None:
        self.spec = spec
        self.state = State.WAITING
        self.error: ClientError | None = None
        self.next_revision = spec.start_revision
        self.start_revision = spec.start_revision
        self.created = False
        """Whether the server has ever created it."""
        self.watch_id = 0
        """The ID that its first creation asked for; 0 before that was answered.

        No other watch of the client has it, as opposed to those that etcd's grpc-proxy assigns.
        """
        self.unanswered = 0
        """How many creations in a row etcd's grpc-proxy has not answered."""
        self.dropped = 0
        """How many received events were dropped."""
        self._progress_wanted = 0
        self._refusals = 0
        # Events below this revision are dropped. Progress does not raise it: if a server reports
        # progress too early, the events that follow are still delivered.
        self._floor = spec.start_revision
        self._wake = wake
        self._batches: deque[tuple[Batch, int]] = deque()
        self._buffered = 0
        # The ID of the watched cluster; 0 until the server has returned it.
        self._cluster_id = 0
        # The store's revision at the last creation, and how many answers to progress requests
        # sent before it may still arrive on the stream.
        self._created_at = 0
        self._outdated_answers = 0
        # The last revision of a fragmented response: the next fragment may have more of its
        # events. And the bytes of the fragments that are in no batch yet.
        self._unfinished: list[pb.Event] = []
        self._unfinished_bytes = 0

    # Responses of the server -----------------------------------------------------------

    def take_created(
        self, watch_id: int, header: common_pb2.ResponseHeader, outdated_answers: int = 0
    ) -> None:
        """Record that the server created the watch; the header has its store's revision.

        `outdated_answers` is how many of the answers to progress requests on the stream,
        counted from its opening, may be from before the creation.
        """
        revision = header.revision
        if self.state is not State.WAITING:
            return
        self.state = State.OPEN
        self.unanswered = 0
        self._cluster_id = header.cluster_id or self._cluster_id
        self._created_at = revision
        self._outdated_answers = outdated_answers
        self._refusals = 0
        if not self.next_revision:
            # "Now" is the revision in the header. Events up to it are dropped, so this is right
            # whether the server registers the watch before or after it reads its revision.
            self.next_revision = self.start_revision = self._floor = revision + 1
        if not self.created:
            self.created = True
            self.watch_id = watch_id
        if self._progress_wanted and self.is_ahead:
            # The store is not ahead of the delivered events, which answers a progress request. No
            # other answer comes until the next write (see `is_ahead`).
            self._answer_progress(pb.WatchResponse(header=header, watch_id=-1))
        self._wake()

    def is_of_another_cluster(self, header: common_pb2.ResponseHeader) -> bool:
        """Whether the header comes from another cluster than the one watched so far."""
        # etcd's grpc-proxy may leave out the ID.
        known = self._cluster_id and header.cluster_id
        return bool(known) and header.cluster_id != self._cluster_id

    def take(self, response: pb.WatchResponse, wire_bytes: int | None = None) -> None:
        """Take a response for this watch alone: events, or progress.

        `wire_bytes` is its size on the wire; None means that it is not known, and is computed.
        """
        if self.state is not State.OPEN:
            return
        if response.events or response.fragment or self._unfinished:
            self._take_events(response, memory_of(response, wire_bytes))
        else:
            # It is ordered with the events: all events before it were received.
            self._append_progress(response, keep_older=False)
            self.next_revision = max(self.next_revision, response.header.revision + 1)

    def take_shared_progress(self, response: pb.WatchResponse, answers: int = 1) -> None:
        """Take a progress response for all watches of a stream; `answers` counts them on it.

        It never advances the position: servers before 3.4.25 and 3.5.8 send it ahead of
        events that are still to come (etcd issue 15220).
        """
        if self.state is not State.OPEN or not self._progress_wanted:
            return
        revision = response.header.revision
        if (
            revision >= self.next_revision
            and revision <= self._created_at
            and answers <= self._outdated_answers
        ):
            # It may be from before the creation, when the server did not have this watch, and
            # cover events that are still to come. A later answer is certain to be newer.
            return
        self._answer_progress(response)

    @property
    def is_ahead(self) -> bool:
        """Whether the watch was created ahead of the store, for example without recent writes.

        Servers since 3.4.38, 3.5.22 and 3.6.2 send no progress until their store has reached
        the position of the watch (etcd issue 20221).
        """
        return self.next_revision > self._created_at

    def take_break(self) -> None:
        """Record that the stream broke, or is about to be closed."""
        if self.state is State.OPEN:
            self.state = State.WAITING
        self._interrupt()

    def take_refusal(self) -> None:
        """Count a refusal after which the watch is created again, on another stream."""
        self._refusals += 1
        self.take_break()

    @property
    def refusals(self) -> int:
        """How many refusals there were since the server last created the watch."""
        return self._refusals

    def end(self, error: ClientError | None) -> None:
        """End the watch. Its reader gets the unread events and then `error`; neither if None."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self.error = error
        self._interrupt()
        if error is None:
            self._batches.clear()
            self._buffered = 0
        self._wake()
        # Break the reference cycle with the reader: the events, megabytes perhaps, are then freed
        # without the garbage collector.
        self._wake = _ignore_wake

    def _interrupt(self) -> None:
        # The server sends a partly received revision again as a whole. One answer to a later
        # progress request answers all earlier requests.
        self._unfinished = []
        self._unfinished_bytes = 0
        self._progress_wanted = min(self._progress_wanted, 1)

    def _answer_progress(self, response: pb.WatchResponse) -> None:
        self._progress_wanted -= 1
        self._append_progress(response, keep_older=True)

    def _take_events(self, response: pb.WatchResponse, size: int) -> None:
        events: Sequence[pb.Event] = response.events
        if response.fragment or self._unfinished:
            events = [*self._unfinished, *events]
            size += self._unfinished_bytes
            whole = _whole_revisions(events) if response.fragment else len(events)
            events, self._unfinished = events[:whole], events[whole:]
            self._unfinished_bytes = 0 if events else size
        if not events:
            return
        if events[0].kv.mod_revision < self._floor:
            kept = [event for event in events if event.kv.mod_revision >= self._floor]
            self.dropped += len(events) - len(kept)
            events = kept
            if not events:
                return
        self._floor = events[-1].kv.mod_revision + 1
        self.next_revision = max(self.next_revision, self._floor)
        self._append((response, events), size)

    def _append_progress(self, response: pb.WatchResponse, *, keep_older: bool) -> None:
        if response.header.revision < self.next_revision - 1:
            # From a member that lags behind the previous one. The revision must not go back for
            # a caller that stores it, and all events up to the position were delivered.
            ahead = pb.WatchResponse()
            ahead.CopyFrom(response)
            ahead.header.revision = self.next_revision - 1
            response = ahead
        if not keep_older and self._batches:
            # An unread progress response is outdated by this one. Replacing it bounds the memory
            # for a slow reader.
            (_, events), _ = self._batches[-1]
            if not events:
                self._batches.pop()
        self._append((response, ()), 0)

    def _append(self, batch: Batch, size: int) -> None:
        self._batches.append((batch, size))
        self._buffered += size
        self._wake()

    # Reading ---------------------------------------------------------------------------

    @property
    def has_batch(self) -> bool:
        """Whether there is an unread batch."""
        return bool(self._batches)

    def pop(self) -> Batch:
        """Return the oldest unread batch."""
        batch, size = self._batches.popleft()
        self._buffered -= size
        return batch

    def want_progress(self) -> None:
        """Wait for one more answer to a progress request."""
        if self.state is not State.ENDED:
            self._progress_wanted += 1

    @property
    def progress_wanted(self) -> int:
        """How many answers to progress requests the reader still waits for."""
        return self._progress_wanted

    # Parking ---------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether the watch is open and has so much unread that it should be parked."""
        return self.state is State.OPEN and self._buffered >= self.spec.buffer_bytes

    def park(self) -> None:
        """Park an open watch; the caller cancels it on the server."""
        if self.state is State.OPEN:
            self.state = State.PARKED
            self._interrupt()

    @property
    def is_drained(self) -> bool:
        """Whether the watch is parked and its reader has read half of the buffer."""
        return self.state is State.PARKED and self._buffered <= self.spec.buffer_bytes // 2

    def unpark(self) -> None:
        """Resume a parked watch; the caller creates it again from its position."""
        if self.state is State.PARKED:
            self.state = State.WAITING


def _ignore_wake() -> None:
    """Replace the wake-up of the reader when the watch has ended."""


def memory_of(response: pb.WatchResponse, wire_bytes: int | None = None) -> int:
    """Estimate the bytes of memory that a parsed response takes.

    The overhead over its size on the wire was measured: for a response with one small event
    it is ten times that size. Without `wire_bytes` the response is encoded again to count them,
    which takes a quarter of the time of a replay.
    """
    if wire_bytes is None:
        wire_bytes = response.ByteSize()
    return wire_bytes + 1000 + 100 * len(response.events)


def _whole_revisions(events: Sequence[pb.Event]) -> int:
    """Count the events of all revisions but the last, which may have more events."""
    last = events[-1].kv.mod_revision if events else 0
    count = len(events)
    while count and events[count - 1].kv.mod_revision == last:
        count -= 1
    return count
