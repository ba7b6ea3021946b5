"""One watch as a state machine: where it is in history, and what waits for its reader.

No I/O: it is told what the server said and answers what is to be done.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence

from etcd_channel import ClientError, RevisionCompactedError, error_from_words
from etcd_channel.errors import (
    AuthOldRevisionError,
    EmptyUserNameError,
    InvalidAuthTokenError,
    PermissionDeniedError,
    WatchCanceledError,
)
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.requests import WatchSpec

__all__ = ["Batch", "Outcome", "State", "Subscription"]

Batch = tuple[pb.WatchResponse, Sequence[pb.Event]]
"""A response's header, in its message, and all events that belong to it."""

# A watch that is refused for its token is asked for again with a fresh one; so is one
# that is denied, once, because servers before 3.6 say that of an expired token too.
_TOKEN_ERRORS = (AuthOldRevisionError, EmptyUserNameError, InvalidAuthTokenError)
_MOST_REFUSALS = 3
_MOST_DENIALS = 1


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


class Outcome(enum.Enum):
    """What is to be done after a response was taken."""

    NOTHING = enum.auto()
    PARK = enum.auto()
    """Cancel the watch on the server; `wants_more` says when to create it again."""
    REOPEN = enum.auto()
    """Open the stream again, with a fresh token."""
    FORGET = enum.auto()
    """The watch is over."""


class Subscription:
    """One watch: its position in history, and the events that wait for its reader.

    `next_revision` is the first revision of which nothing was taken; 0 while the watch
    begins at "now" and the server has not said when that is. It moves by whole revisions
    only, so that a watch created again from there loses and repeats nothing. Events below
    it are dropped: a member that was restored or is behind may send some.
    """

    def __init__(self, spec: WatchSpec, wake: Callable[[], None]) -> None:
        self.spec = spec
        self.state = State.WAITING
        self.error: ClientError | None = None
        self.created = False
        """Whether the server ever created it."""
        self.next_revision = spec.start_revision
        self.start_revision = spec.start_revision
        self.wants_progress = 0
        """How many answers to a request for progress are awaited."""
        self.dropped = 0
        """How many events came that lay before the watch's position."""
        self._wake = wake
        self._batches: deque[tuple[Batch, int]] = deque()
        self._buffered = 0
        # The events of a response that came in pieces so far.
        self._fragments: list[pb.Event] = []
        self._refusals = 0

    # What the server says --------------------------------------------------------------

    def take(self, response: pb.WatchResponse) -> Outcome:
        """Take a response that is for this watch."""
        if self.state is State.ENDED:
            return Outcome.NOTHING
        # Also a refusal says `created`: it must be looked at first.
        if response.canceled:
            return self._take_cancel(response)
        if response.created:
            self._take_created(response)
            return Outcome.NOTHING
        if self.state is not State.OPEN:
            return Outcome.NOTHING
        if not response.events and not response.fragment and not self._fragments:
            self._take_progress(response)
            return Outcome.NOTHING
        return self._take_events(response)

    def take_shared_progress(self, response: pb.WatchResponse) -> None:
        """Take a progress response that is for all watches of the stream.

        It never moves the position: servers before 3.4.25 and 3.5.8 send it without
        regard to events that are still under way (etcd issue 15220).
        """
        if self.state is State.OPEN and self.wants_progress:
            self.wants_progress -= 1
            self._append((response, ()), 0)

    def take_break(self) -> None:
        """Take note that the stream broke: what had come in pieces comes again, whole."""
        if self.state is State.OPEN:
            self.state = State.WAITING
        self._fragments = []

    def end(self, error: ClientError | None) -> None:
        """End the watch; its reader gets what waits, then `error`."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self.error = error
        self._fragments = []
        if error is None:
            self._batches.clear()
            self._buffered = 0
        self._wake()

    def _take_created(self, response: pb.WatchResponse) -> None:
        self.state = State.OPEN
        self._refusals = 0
        if not self.next_revision:
            # "Now" is the revision that the server names; with events up to it dropped
            # this holds whether the server registers the watch before or after it looks.
            self.next_revision = self.start_revision = response.header.revision + 1
        self.created = True
        self._wake()

    def _take_cancel(self, response: pb.WatchResponse) -> Outcome:
        error = _cancel_error(response)
        if isinstance(error, (*_TOKEN_ERRORS, PermissionDeniedError)):
            self._refusals += 1
            most = _MOST_REFUSALS if isinstance(error, _TOKEN_ERRORS) else _MOST_DENIALS
            if self._refusals <= most:
                self.state = State.WAITING
                return Outcome.REOPEN
        self.end(error)
        return Outcome.FORGET

    def _take_progress(self, response: pb.WatchResponse) -> None:
        # Sent for this watch alone, in order with its events: all before it have come.
        self.next_revision = max(self.next_revision, response.header.revision + 1)
        if self.spec.progress_notify:
            self._append((response, ()), 0)

    def _take_events(self, response: pb.WatchResponse) -> Outcome:
        events: Sequence[pb.Event] = response.events
        if response.fragment or self._fragments:
            self._fragments.extend(events)
            if response.fragment:
                return Outcome.NOTHING
            events, self._fragments = self._fragments, []
        if events[0].kv.mod_revision < self.next_revision:
            kept = [event for event in events if event.kv.mod_revision >= self.next_revision]
            self.dropped += len(events) - len(kept)
            events = kept
            if not events:
                return Outcome.NOTHING
        self.next_revision = events[-1].kv.mod_revision + 1
        self._append((response, events), response.ByteSize())
        if self._buffered < self.spec.buffer_bytes:
            return Outcome.NOTHING
        self.state = State.PARKED
        return Outcome.PARK

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

    @property
    def wants_more(self) -> bool:
        """Whether a parked watch's reader has caught up enough to go on."""
        return self.state is State.PARKED and self._buffered <= self.spec.buffer_bytes // 2

    def unpark(self) -> None:
        """Go on from the position at which the watch was parked."""
        self.state = State.WAITING


def _cancel_error(response: pb.WatchResponse) -> ClientError:
    if response.compact_revision:
        return RevisionCompactedError(response.compact_revision, method="Watch.Watch")
    reason = response.cancel_reason or "the server canceled the watch"
    error = error_from_words(reason, method="Watch.Watch")
    return error if error is not None else WatchCanceledError(reason, method="Watch.Watch")
