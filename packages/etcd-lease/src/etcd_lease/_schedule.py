"""When to send which keep-alive, and when to give a stream up; no I/O."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from etcd_lease._life import Ending, Life

__all__ = ["Due", "Schedule"]

# Seconds after which an unanswered keep-alive is sent again, and once more after which its
# stream is given up; less for a lease that lives too short for it.
_PATIENCE = 0.5
_PATIENCE_OF_TTL = 1 / 6
# Where every member was tried in vain it may be that all are slow: then patience doubles, at
# most so many times.
_MOST_DOUBLINGS = 3
# A keep-alive goes out after this part of the time to live, give or take: leases that were
# granted at once do not beat together for ever.
_BEAT = 1 / 3
_EARLIEST_BEAT = 0.9
# What is due so soon is sent now: many leases need few wakings.
_SLACK = 0.02

_GONE = Ending("the server has it no more: it expired, or was revoked", gone=True)


class Due(NamedTuple):
    """What is to be done now."""

    send: list[int]
    """The ids of the leases to send keep-alives for."""
    give_up: bool
    """Whether the open stream is not answered, and another is to be opened."""


class _Beat:
    """The keep-alives of one lease."""

    __slots__ = ("attempts", "life", "next", "sent", "wake")

    def __init__(self, life: Life) -> None:
        self.life = life
        self.next = 0.0
        """When the next one is to be sent."""
        self.sent = 0.0
        """When the last one was sent."""
        self.attempts = 0
        """How often it was sent on the open stream without an answer."""
        self.wake = 0.0
        """When to look at it again; an entry of the heap with another time is void."""


class Schedule:
    """Keeps many leases alive on one stream, told of what happens and when, and asked what to do.

    The server answers the requests of a stream in their order, so an answer belongs to the
    oldest unanswered request for its lease. A stream is silent while nothing at all is heard
    on it: a member that is slow to answer many requests, but does answer, is not sent more.

    `members` is the number of members to choose from.
    """

    def __init__(
        self, members: int, between: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._members = members
        self._between = between
        self._beats: dict[int, _Beat] = {}
        self._heap: list[tuple[float, int, _Beat]] = []
        self._numbers = itertools.count()
        # Of the open stream: when requests were sent that have no answer yet, by lease.
        self._open = False
        self._unanswered: dict[int, deque[float]] = {}
        self._opened_at = 0.0
        self._heard = 0.0
        # Streams that were given up without a word from them.
        self._fruitless = 0

    def __len__(self) -> int:
        return len(self._beats)

    # What the caller wants -------------------------------------------------------------

    def keep(self, life: Life, now: float) -> None:
        """Keep a lease alive whose deadline is known; again and again is as once."""
        known = self._beats.get(life.id)
        if known is not None and known.life is life:
            return
        beat = self._beats[life.id] = _Beat(life)
        beat.next = life.deadline - life.ttl + self._interval(life.ttl)
        self._wake(beat, min(beat.next, life.deadline))

    def release(self, lease_id: int) -> None:
        """Keep a lease alive no longer."""
        self._beats.pop(lease_id, None)

    # What happens to the stream --------------------------------------------------------

    def opened(self, now: float) -> list[int]:
        """Take note of a new stream; return the ids to send keep-alives for at once."""
        self._broken()
        self._open = True
        self._opened_at = self._heard = now
        due: list[_Beat] = []
        for beat in list(self._beats.values()):
            if beat.life.lost(now) is not None:
                self.release(beat.life.id)
            elif beat.next <= now + _SLACK:
                due.append(beat)
            else:
                self._wake(beat, beat.next)
        due.sort(key=lambda beat: beat.life.deadline)
        for beat in due:
            self._send(beat, now)
        return [beat.life.id for beat in due]

    def broken(self) -> None:
        """Take note that the stream is no more; what had no answer is due on the next."""
        self._broken()

    def _broken(self) -> None:
        self._open = False
        self._unanswered.clear()
        for beat in self._beats.values():
            if beat.attempts:
                beat.attempts = 0
                beat.next = beat.sent

    def answered(self, lease_id: int, ttl: int, now: float) -> None:
        """Take an answer of the open stream."""
        self._heard = now
        self._fruitless = max(0, self._fruitless - self._members)
        times = self._unanswered.get(lease_id)
        if times is None:
            return  # to nothing that was asked
        sent = times.popleft()
        if not times:
            del self._unanswered[lease_id]
        beat = self._beats.get(lease_id)
        if beat is None or sent < beat.life.since:
            return  # released meanwhile; or about an earlier lease of this id
        life = beat.life
        if ttl <= 0:
            life.lose(_GONE)
        elif life.renewed(sent, ttl, now):
            beat.attempts = 0
            beat.next = sent + self._interval(ttl)
            self._wake(beat, min(beat.next, life.deadline))
            return
        self.release(lease_id)

    def end(self, ending: Ending) -> None:
        """Lose all leases: there will be no further stream."""
        beats = list(self._beats.values())
        self._broken()
        self._beats.clear()
        self._heap.clear()
        for beat in beats:
            beat.life.lose(ending)

    # What is to be done ----------------------------------------------------------------

    def due(self, now: float) -> Due:
        """Say what to do now; leases whose time is up are lost by it."""
        beats: list[_Beat] = []
        while (head := self._head()) is not None and head.wake <= now + _SLACK:
            heapq.heappop(self._heap)
            beats.append(head)
        send: list[int] = []
        give_up = False
        for beat in beats:
            if self._beats.get(beat.life.id) is not beat:
                continue  # released by somebody who was told of another's loss
            if beat.life.lost(now) is not None:
                self.release(beat.life.id)
            elif not self._open:
                self._wake(beat, beat.life.deadline)
            elif beat.attempts == 0 and beat.next > now + _SLACK:
                self._wake(beat, min(beat.next, beat.life.deadline))
            elif beat.attempts and (until := self._patient_until(beat)) > now + _SLACK:
                self._wake(beat, min(until, beat.life.deadline))
            elif beat.attempts < 2:
                self._send(beat, now)
                send.append(beat.life.id)
            else:
                give_up = True
                if self._heard == self._opened_at:
                    self._fruitless += 1
                self._broken()
                self._wake(beat, beat.life.deadline)
        return Due([] if give_up else send, give_up)

    def wake_at(self) -> float | None:
        """When to ask again what is due; None for never."""
        head = self._head()
        return None if head is None else head.wake

    def _head(self) -> _Beat | None:
        while self._heap:
            wake, _, beat = self._heap[0]
            if beat.wake == wake and self._beats.get(beat.life.id) is beat:
                return beat
            heapq.heappop(self._heap)
        return None

    def _send(self, beat: _Beat, now: float) -> None:
        beat.attempts += 1
        beat.sent = now
        self._unanswered.setdefault(beat.life.id, deque()).append(now)
        self._wake(beat, min(self._patient_until(beat), beat.life.deadline))

    def _patient_until(self, beat: _Beat) -> float:
        patience = min(_PATIENCE, beat.life.ttl * _PATIENCE_OF_TTL)
        doublings = min(self._fruitless // self._members, _MOST_DOUBLINGS)
        return max(beat.sent, self._heard) + patience * (1 << doublings)

    def _interval(self, ttl: int) -> float:
        return ttl * _BEAT * self._between(_EARLIEST_BEAT, 1.0)

    def _wake(self, beat: _Beat, when: float) -> None:
        beat.wake = when
        heapq.heappush(self._heap, (when, next(self._numbers), beat))
