"""One watch as a state machine: where it is in history, and what waits for its reader.

No I/O: it is told what the server said, and keeps whole revisions for its reader.
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
"""A response's header, in its message, and the events that are told with it."""


class State(enum.Enum):
    """Where a watch is in its life."""

    WAITING = enum.auto()
    """To be created on the server, or being created."""
    OPEN = enum.auto()
    """The server sends its events."""
    PARKED = enum.auto()
    """Given back to the server until the reader has caught up."""
    ENDED = enum.auto()
    """Over: `error` says why, None that its reader ended it."""


class Subscription:
    """One watch: its position in history, and the events that wait for its reader.

    `next_revision` is the first revision of which nothing was taken; 0 while the watch
    begins at "now" and the server has not said when that is. It moves by whole revisions
    only, so that a watch created again from there loses and repeats nothing. Events that lie
    before the start, or that were told, are dropped: a member that was restored or is behind
    may send some (etcd issues 15271 and 20221).
    """

    def __init__(self, spec: WatchSpec, wake: Callable[[], None]) -> None:
        self.spec = spec
        self.state = State.WAITING
        self.error: ClientError | None = None
        self.next_revision = spec.start_revision
        self.start_revision = spec.start_revision
        self.created = False
        """Whether the server ever created it."""
        self.watch_id = 0
        """The number of its first creation; 0 before."""
        self.progress_wanted = 0
        """How many answers to a request for progress are awaited."""
        self.refusals = 0
        """How often in a row it was to be created in vain, for want of a good token."""
        self.dropped = 0
        """How many events came that were dropped."""
        # What lies below is dropped. Not raised by progress: should a server ever say too early
        # how far it is, the events that follow are still told.
        self._floor = spec.start_revision
        self._wake = wake
        self._batches: deque[tuple[Batch, int]] = deque()
        self._buffered = 0
        # Whose history it is; 0 while the server has not said it.
        self._cluster_id = 0
        # Where the store was at the last creation, and how many answers to requests for progress
        # may come on the stream that were made before it.
        self._created_at = 0
        self._outdated_answers = 0
        # The events of the last revision of a response that comes in pieces, whose next piece
        # may hold more of it; and the bytes of those pieces that no batch accounts for.
        self._unfinished: list[pb.Event] = []
        self._unfinished_bytes = 0

    # What the server says --------------------------------------------------------------

    def take_created(
        self, number: int, header: common_pb2.ResponseHeader, outdated_answers: int = 0
    ) -> None:
        """Take note that the server created the watch when its store was at a revision.

        Of the answers to requests for progress on its stream, counted from the opening, so
        many may be from before.
        """
        revision = header.revision
        if self.state is not State.WAITING:
            return
        self.state = State.OPEN
        self._cluster_id = header.cluster_id or self._cluster_id
        self._created_at = revision
        self._outdated_answers = outdated_answers
        self.refusals = 0
        if not self.next_revision:
            # "Now" is the revision that the server names; with events up to it dropped
            # this holds whether the server registers the watch before or after it looks.
            self.next_revision = self.start_revision = self._floor = revision + 1
        if not self.created:
            self.created = True
            self.watch_id = number
        if self.progress_wanted and self.is_ahead:
            # So the store is no further than what was told: that is an answer too, and the
            # only one until something is written (see `is_ahead`).
            self._answer_progress(pb.WatchResponse(header=header, watch_id=-1))
        self._wake()

    def is_of_another_cluster(self, header: common_pb2.ResponseHeader) -> bool:
        """Whether a server that created the watch has not the history that was told so far."""
        # etcd's grpc-proxy may leave it open.
        known = self._cluster_id and header.cluster_id
        return bool(known) and header.cluster_id != self._cluster_id

    def take(self, response: pb.WatchResponse) -> None:
        """Take events, or word of how far the watch is, that are for this watch alone."""
        if self.state is not State.OPEN:
            return
        if response.events or response.fragment or self._unfinished:
            self._take_events(response)
        else:
            # In order with the events: all before it have come.
            self._append_progress(response, keep_older=False)
            self.next_revision = max(self.next_revision, response.header.revision + 1)

    def take_shared_progress(self, response: pb.WatchResponse, answers: int = 1) -> None:
        """Take word of how far all watches of the stream are, the so many-th on it.

        It never moves the position: servers before 3.4.25 and 3.5.8 send it without
        regard to events that are still under way (etcd issue 15220).
        """
        if self.state is not State.OPEN or not self.progress_wanted:
            return
        revision = response.header.revision
        if (
            revision >= self.next_revision
            and revision <= self._created_at
            and answers <= self._outdated_answers
        ):
            # It may be from before the creation, when this watch was parked or not there, and
            # speak of events that are yet to come. An answer will come that surely is not.
            return
        self._answer_progress(response)

    @property
    def is_ahead(self) -> bool:
        """Whether the watch was created ahead of the store, as after a break in a quiet hour.

        A server since 3.4.38, 3.5.22 and 3.6.2 tells of no progress before its store is there
        (etcd issue 20221).
        """
        return self.next_revision > self._created_at

    def take_break(self) -> None:
        """Take note that the stream broke, or is about to be given up."""
        if self.state is State.OPEN:
            self.state = State.WAITING
        self._interrupt()

    def end(self, error: ClientError | None) -> None:
        """End the watch; its reader gets what waits, then `error`."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self.error = error
        self._interrupt()
        if error is None:
            self._batches.clear()
            self._buffered = 0
        self._wake()
        # The reader and this hold each other, and megabytes of events maybe: not until the
        # garbage collector comes by.
        self._wake = _wake_nobody

    def _interrupt(self) -> None:
        # The rest of a revision that had begun to come comes again, whole; of the requests
        # for progress that are under way, one answer to a later one is an answer to all.
        self._unfinished = []
        self._unfinished_bytes = 0
        self.progress_wanted = min(self.progress_wanted, 1)

    def _answer_progress(self, response: pb.WatchResponse) -> None:
        self.progress_wanted -= 1
        self._append_progress(response, keep_older=True)

    def _take_events(self, response: pb.WatchResponse) -> None:
        events: Sequence[pb.Event] = response.events
        size = memory_of(response)
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
            # By a member that is behind the last one. Who notes down how far the watch is
            # must not be sent back by it; and that far, all events were told.
            ahead = pb.WatchResponse()
            ahead.CopyFrom(response)
            ahead.header.revision = self.next_revision - 1
            response = ahead
        if not keep_older and self._batches:
            # One that nobody has read yet is outdated: a reader that is slow, or gone, must
            # not make a heap of them.
            (_, events), _ = self._batches[-1]
            if not events:
                self._batches.pop()
        self._append((response, ()), 0)

    def _append(self, batch: Batch, size: int) -> None:
        self._batches.append((batch, size))
        self._buffered += size
        self._wake()

    # What the reader does --------------------------------------------------------------

    @property
    def has_batch(self) -> bool:
        """Whether something waits for the reader."""
        return bool(self._batches)

    def pop(self) -> Batch:
        """Hand the reader the oldest of what waits."""
        batch, size = self._batches.popleft()
        self._buffered -= size
        return batch

    # When the reader is slow -----------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether so much waits that an open watch is to be parked."""
        return self.state is State.OPEN and self._buffered >= self.spec.buffer_bytes

    def park(self) -> None:
        """Take note that the watch is given back to the server, to go on from its position."""
        self.state = State.PARKED
        self._interrupt()

    @property
    def is_drained(self) -> bool:
        """Whether a parked watch's reader has caught up enough to go on."""
        return self.state is State.PARKED and self._buffered <= self.spec.buffer_bytes // 2

    def unpark(self) -> None:
        """Go on from the position at which the watch was parked."""
        self.state = State.WAITING


def _wake_nobody() -> None:
    """Stand in for the reader of a watch that is over."""


def memory_of(response: pb.WatchResponse) -> int:
    """About how many bytes of memory a response takes, once it is parsed.

    What it takes beyond its bytes on the wire is measured: for a response with one small event
    it is ten times as much as those.
    """
    return response.ByteSize() + 1000 + 100 * len(response.events)


def _whole_revisions(events: Sequence[pb.Event]) -> int:
    """How many of the events are of revisions that surely have no more of them."""
    last = events[-1].kv.mod_revision if events else 0
    count = len(events)
    while count and events[count - 1].kv.mod_revision == last:
        count -= 1
    return count
