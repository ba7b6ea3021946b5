"""Decides which keep-alives to send, when, and when to replace a silent stream; no I/O."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from typing import NamedTuple

from etcd_lease._state import GONE, LeaseState, LossReason

__all__ = ["Due", "Schedule"]

# A keep-alive is sent when half of the time to live is over, or earlier, so that this many seconds
# are left: to find out that a member is silent, to elect a leader, and to try the next members. A
# lease that is too short for that is renewed after a third of its time to live.
_MARGIN = 5.0
_MAX_INTERVAL_OF_TTL = 1 / 2
_MIN_INTERVAL_OF_TTL = 1 / 3
# The first one, and the next one after the opening of a stream, is sent after this part of that
# time or later, at random, so that leases granted together are not renewed together.
_MIN_SPREAD = 0.25
# Keep-alives are sent together, at multiples of this time, or of a part of the interval if that is
# less: several streams that write at the same moment take less processor time for a message.
_SLOT = 0.25
_SLOTS_OF_INTERVAL = 16
# How many slots there may be, beside two for each lease, before the empty ones are dropped.
_SPARE_SLOTS = 64
# Seconds to wait for an answer: then the keep-alive is sent again, and after the same time once
# more the stream is replaced. Shorter for a lease with a short time to live.
_ANSWER_TIMEOUT = 0.5
_ANSWER_TIMEOUT_OF_TTL = 1 / 6
# When no member has answered, all of them may be slow: the timeout doubles, at most this often.
_MAX_DOUBLINGS = 3
# etcd's grpc-proxy renews each lease at its own interval (a third of the time to live, rounded up
# to half a second) for all its clients together, and answers requests only then. Requests are
# repeated until that interval is over: the proxy answers them together, and the newest one extends
# the deadline furthest. A silent stream is replaced early enough to try another member.
_PROXY_INTERVAL_OF_TTL = 1 / 3
_PROXY_MAX_ROUNDING = 1.0
_PROXY_RETRY_OF_TTL = 1 / 60
_PROXY_MAX_INTERVAL_OF_TTL = 1 / 2
# What is due within this time is done now: a timer may come a little early.
_TIMER_SLACK = 0.02


class Due(NamedTuple):
    """The actions that are due now."""

    send: list[int]
    """The ids of the leases to send keep-alives for."""
    give_up: bool
    """Whether to close the open stream, because it is silent, and open another."""


class _KeepAlive:
    """The keep-alives of one lease."""

    __slots__ = ("attempts", "next_at", "sent_at", "slot", "spread", "state")

    def __init__(self, state: LeaseState) -> None:
        self.state = state
        self.next_at = 0.0
        """When to send the next one."""
        self.slot: float | None = None
        """The slot in which it is to be sent; None if it is due."""
        self.sent_at = 0.0
        """When the last one was sent."""
        self.attempts = 0
        """How often it was sent on the open stream since the last answer."""
        self.spread = True
        """Whether the next interval is shortened at random."""


class Schedule:
    """Decides how to keep many leases alive on one stream.

    The caller reports each event with its time, and executes what `due` returns. The server
    answers the requests of a stream in order, so an answer belongs to the oldest unanswered
    request for its lease. A stream counts as silent only when it has received nothing at all: a
    slow member that still answers gets no additional requests.

    A lease is either in a slot, with the others that are to be renewed at the same time, or due:
    unanswered, or waiting for the next stream. Only the due ones are looked at while they wait, so
    that a renewal that is answered costs the same however many leases there are.

    `members` returns the current number of members to choose from.
    """

    def __init__(
        self, members: Callable[[], int], uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._members = members
        self._uniform = uniform
        self._kept: dict[int, _KeepAlive] = {}
        # The leases of each slot, and a heap of the slots.
        self._slots: dict[float, dict[int, _KeepAlive]] = {}
        self._slot_times: list[float] = []
        # The leases that are in no slot, and when to look at them again: too early perhaps, not
        # too late.
        self._due: dict[int, _KeepAlive] = {}
        self._check_due_at = math.inf
        self._open = False
        # For each lease, the times of the requests on the open stream that have no answer yet.
        self._unanswered: dict[int, list[float]] = {}
        # Unknown before the first opening. A proxy takes long to answer, so until then the leases
        # are renewed as early as through a proxy.
        self._through_proxy = True
        self._opened_at = 0.0
        self._last_answer_at = 0.0
        # How many streams were replaced without a single answer.
        self._silent_streams = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, lease_id: int) -> bool:
        return lease_id in self._kept

    def keeps(self, state: LeaseState) -> bool:
        """Whether it keeps this lease alive, and not another one with the same id."""
        known = self._kept.get(state.id)
        return known is not None and known.state is state

    def margin(self, lease_id: int, now: float) -> float | None:
        """Return the seconds until the deadline of a lease; None if it is not kept alive."""
        keep_alive = self._kept.get(lease_id)
        return None if keep_alive is None else max(keep_alive.state.deadline - now, 0.0)

    # Leases to keep --------------------------------------------------------------------

    def keep(self, state: LeaseState, now: float) -> None:
        """Keep a lease alive; its deadline must be known. Repeated calls have no effect."""
        if self.keeps(state):
            return
        self.release(state.id)
        keep_alive = self._kept[state.id] = self._due[state.id] = _KeepAlive(state)
        self._put_in_slot(keep_alive, state.deadline - state.ttl)

    def release(self, lease_id: int) -> None:
        """Stop keeping a lease alive."""
        keep_alive = self._kept.pop(lease_id, None)
        if keep_alive is not None:
            self._take_out(keep_alive)

    # Events of the stream --------------------------------------------------------------

    def opened(self, now: float, *, through_proxy: bool = False) -> list[int]:
        """Record that a stream was opened; return the ids to send keep-alives for at once.

        `through_proxy` says whether the stream goes to etcd's grpc-proxy.
        """
        self.broken()
        self._open = True
        self._through_proxy = through_proxy
        self._opened_at = self._last_answer_at = now
        due: list[_KeepAlive] = []
        for keep_alive in list(self._kept.values()):
            state = keep_alive.state
            if state.lost(now) is not None:
                self.release(state.id)
                continue
            if through_proxy and keep_alive.slot is not None:
                # It was put there without a proxy, perhaps.
                self._put_in_slot(keep_alive, state.deadline - state.ttl)
            if keep_alive.slot is None or keep_alive.next_at <= now + _TIMER_SLACK:
                due.append(keep_alive)
        due.sort(key=lambda keep_alive: keep_alive.state.deadline)
        for keep_alive in due:
            keep_alive.spread = True
            self._send(keep_alive, now)
        return [keep_alive.state.id for keep_alive in due]

    def broken(self) -> None:
        """Record that the stream broke; unanswered keep-alives are due on the next one."""
        self._open = False
        self._unanswered.clear()
        for keep_alive in self._due.values():
            keep_alive.attempts = 0

    def answered(self, lease_id: int, ttl: int, now: float) -> None:
        """Record an answer on the open stream."""
        self._last_answer_at = now
        if self._silent_streams:
            self._silent_streams = max(0, self._silent_streams - self._members())
        times = self._unanswered.get(lease_id)
        if times is None:
            return  # there was no request for it
        sent = times.pop(0)
        if not times:
            del self._unanswered[lease_id]
        keep_alive = self._kept.get(lease_id)
        if keep_alive is None or sent < keep_alive.state.created_at:
            return  # the lease was released, or the answer is about an earlier lease of this id
        state = keep_alive.state
        if ttl <= 0:
            state.lose(GONE)
        elif state.renewed(sent, ttl, now):
            self._put_in_slot(keep_alive, sent)
            return
        self.release(lease_id)

    def end(self, reason: LossReason) -> None:
        """Mark all leases as lost, because no further stream will be opened."""
        kept = list(self._kept.values())
        self.broken()
        for leases in (self._kept, self._slots, self._due):
            leases.clear()
        self._slot_times.clear()
        for keep_alive in kept:
            keep_alive.state.lose(reason)

    # Decisions -------------------------------------------------------------------------

    def is_due(self, now: float) -> bool:
        """Whether there is anything to do now."""
        wake = self.wake_at()
        return wake is not None and wake <= now + _TIMER_SLACK

    def due(self, now: float) -> Due:
        """Return the actions that are due now, and mark leases past their deadline as lost."""
        send: list[int] = []
        give_up = now + _TIMER_SLACK >= self._check_due_at and self._check_due(now, send)
        if give_up:
            send.clear()
        for keep_alive in self._take_slots(now + _TIMER_SLACK):
            state = keep_alive.state
            if self._kept.get(state.id) is not keep_alive:
                continue  # released by a callback for the loss of another lease
            if state.lost(now) is not None:
                self.release(state.id)
            elif self._open:
                self._send(keep_alive, now)
                send.append(state.id)
            else:
                self._check_due_at = min(self._check_due_at, state.deadline)
        return Due(send, give_up)

    def wake_at(self) -> float | None:
        """When to call `due` again; None for never."""
        if not self._kept:
            return None
        while self._slot_times and not self._slots[self._slot_times[0]]:
            del self._slots[heapq.heappop(self._slot_times)]
        slot = self._slot_times[0] if self._slot_times else math.inf
        return min(slot, self._check_due_at)

    def _check_due(self, now: float, send: list[int]) -> bool:
        """Look at the due leases, and add those to send again; return whether to give up."""
        self._check_due_at = math.inf
        give_up = False
        soon = now + _TIMER_SLACK
        for keep_alive in list(self._due.values()):
            state = keep_alive.state
            if self._kept.get(state.id) is not keep_alive:
                continue  # released by a callback for the loss of another lease
            if state.lost(now) is not None:
                self.release(state.id)
                continue
            check_at = state.deadline
            if not self._open:
                pass
            elif (until := self._answer_due_at(keep_alive)) > soon:
                check_at = min(until, check_at)
            elif keep_alive.attempts < 2 or now < self._proxy_answer_due_at(keep_alive):
                self._send(keep_alive, now)
                send.append(state.id)
            else:
                give_up = True
                if self._last_answer_at == self._opened_at:
                    self._silent_streams += 1
                self.broken()
            self._check_due_at = min(self._check_due_at, check_at)
        return give_up

    def _send(self, keep_alive: _KeepAlive, now: float) -> None:
        keep_alive.attempts += 1
        keep_alive.sent_at = now
        lease_id = keep_alive.state.id
        if keep_alive.slot is not None:
            self._take_out(keep_alive)
            self._due[lease_id] = keep_alive
        times = self._unanswered.get(lease_id)
        if times is None:
            self._unanswered[lease_id] = [now]
        else:
            times.append(now)
        # Its answer may be waited for longer, see `_answer_due_at`.
        timeout = min(_ANSWER_TIMEOUT, keep_alive.state.ttl * _ANSWER_TIMEOUT_OF_TTL)
        self._check_due_at = min(self._check_due_at, now + timeout, keep_alive.state.deadline)

    def _answer_due_at(self, keep_alive: _KeepAlive) -> float:
        timeout = min(_ANSWER_TIMEOUT, keep_alive.state.ttl * _ANSWER_TIMEOUT_OF_TTL)
        if self._through_proxy:
            timeout = max(timeout, keep_alive.state.ttl * _PROXY_RETRY_OF_TTL)
        if self._silent_streams:
            timeout *= 1 << min(self._silent_streams // self._members(), _MAX_DOUBLINGS)
        return max(keep_alive.sent_at, self._last_answer_at) + timeout

    def _proxy_answer_due_at(self, keep_alive: _KeepAlive) -> float:
        """Return when a proxy must have answered the oldest request; 0.0 without a proxy."""
        times = self._unanswered.get(keep_alive.state.id)
        if not self._through_proxy or not times:
            return 0.0
        ttl = keep_alive.state.ttl
        return times[0] + min(
            ttl * _PROXY_INTERVAL_OF_TTL + _PROXY_MAX_ROUNDING, ttl * _PROXY_MAX_INTERVAL_OF_TTL
        )

    # Slots -----------------------------------------------------------------------------

    def _put_in_slot(self, keep_alive: _KeepAlive, renewed_at: float) -> None:
        """Put a lease that was renewed in the slot for its next keep-alive."""
        self._take_out(keep_alive)
        ttl = keep_alive.state.ttl
        interval = ttl * _MIN_INTERVAL_OF_TTL
        if not self._through_proxy:
            interval = max(interval, min(ttl * _MAX_INTERVAL_OF_TTL, ttl - _MARGIN))
        width = min(_SLOT, interval / _SLOTS_OF_INTERVAL)
        if keep_alive.spread:
            keep_alive.spread = False
            interval *= self._uniform(_MIN_SPREAD, 1.0)
        keep_alive.attempts = 0
        keep_alive.next_at = renewed_at + interval
        slot = keep_alive.slot = keep_alive.next_at // width * width
        leases = self._slots.get(slot)
        if leases is None:
            if len(self._slots) > 2 * len(self._kept) + _SPARE_SLOTS:
                self._drop_empty_slots()
            leases = self._slots[slot] = {}
            heapq.heappush(self._slot_times, slot)
        leases[keep_alive.state.id] = keep_alive

    def _take_out(self, keep_alive: _KeepAlive) -> None:
        """Take a lease out of its slot, or from those that are due."""
        if keep_alive.slot is None:
            del self._due[keep_alive.state.id]
        else:
            del self._slots[keep_alive.slot][keep_alive.state.id]
            keep_alive.slot = None

    def _drop_empty_slots(self) -> None:
        # Those of leases that were released long before their next keep-alive.
        self._slots = {time: leases for time, leases in self._slots.items() if leases}
        self._slot_times = list(self._slots)
        heapq.heapify(self._slot_times)

    def _take_slots(self, until: float) -> list[_KeepAlive]:
        """Move the leases of all slots up to a time to those that are due, and return them."""
        ready: list[_KeepAlive] = []
        while self._slot_times and self._slot_times[0] <= until:
            leases = self._slots.pop(heapq.heappop(self._slot_times))
            self._due.update(leases)
            ready += leases.values()
        for keep_alive in ready:
            keep_alive.slot = None
        return ready
