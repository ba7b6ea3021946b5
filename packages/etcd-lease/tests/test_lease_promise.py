"""The guarantee of `Lease.is_lost`, on a model of the network and the server.

The server must have every lease that the client does not report as lost. In the model, requests
and answers are delayed, streams break or become silent, and the process is stopped.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from etcd_lease._schedule import Schedule
from etcd_lease._state import LeaseState


@dataclass
class Server:
    """Grants and renews by its own clock, as etcd does; an expired lease cannot be renewed."""

    expiries: dict[int, float] = field(default_factory=dict)

    def alive(self, lease_id: int, now: float) -> bool:
        return self.expiries.get(lease_id, -math.inf) > now

    def renew(self, lease_id: int, ttl: int, now: float) -> int:
        if not self.alive(lease_id, now):
            return 0
        self.expiries[lease_id] = now + ttl
        return ttl


class World:
    """A client, a server, and one stream between them; `now` is the only clock."""

    def __init__(self, ttls: list[int], members: int) -> None:
        self.now = 100.0
        self.server = Server()
        self.schedule = Schedule(lambda: members)
        self.states: list[LeaseState] = []
        self.delay = 0.01
        self.silent = False
        self.stopped = False
        self.lost: set[int] = set()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        # The number of the open stream; messages on an earlier one are dropped.
        self._stream = 0
        self._last_arrival = {"there": 0.0, "back": 0.0}
        self._undelivered: list[Callable[[], None]] = []
        for number, ttl in enumerate(ttls, 1):
            state = LeaseState(number, ttl, self.now)
            self.server.expiries[number] = self.now + self.delay + ttl
            state.renewed(self.now, ttl, self.now)
            self.states.append(state)
            self.schedule.keep(state, self.now)
        self.open()

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), what))

    def _arrival(self, way: str) -> float:
        """Return when a message sent now arrives: after those that were sent before it."""
        self._last_arrival[way] = max(self._last_arrival[way], self.now + self.delay)
        return self._last_arrival[way]

    def open(self) -> None:
        self._stream += 1
        self._last_arrival = dict.fromkeys(self._last_arrival, 0.0)
        for lease_id in self.schedule.opened(self.now):
            self._send(lease_id)

    def break_stream(self, reopen_after: float) -> None:
        self._stream += 1
        self.schedule.broken()
        self.at(self.now + reopen_after, lambda: self._deliver(self.open))

    def _deliver(self, what: Callable[[], None]) -> None:
        """Deliver an event to the client now, or when it runs again."""
        if self.stopped:
            self._undelivered.append(what)
        else:
            what()

    def _send(self, lease_id: int) -> None:
        if not self.silent:
            stream = self._stream
            self.at(self._arrival("there"), lambda: self._serve(stream, lease_id))

    def _serve(self, stream: int, lease_id: int) -> None:
        # The server may handle requests of a stream that broke meanwhile.
        ttl = self.server.renew(lease_id, self.states[lease_id - 1].ttl, self.now)
        if stream == self._stream and not self.silent:
            self.at(self._arrival("back"), lambda: self._answer(stream, lease_id, ttl))

    def _answer(self, stream: int, lease_id: int, ttl: int) -> None:
        def take() -> None:
            if stream == self._stream:
                self.schedule.answered(lease_id, ttl, self.now)

        self._deliver(take)

    def run(self, seconds: float) -> None:
        """Advance the clock, and check the guarantee at every event."""
        end = self.now + seconds
        while True:
            wake = None if self.stopped else self.schedule.wake_at()
            event = self._events[0][0] if self._events else math.inf
            if min(event, math.inf if wake is None else wake) > end:
                break
            if wake is not None and wake < event:
                self.now = max(self.now, wake)
                self._work()
            else:
                when, _, what = heapq.heappop(self._events)
                self.now = max(self.now, when)
                what()
            self.check()
        self.now = end
        self.check()

    def _work(self) -> None:
        due = self.schedule.due(self.now)
        for lease_id in due.send:
            self._send(lease_id)
        if due.give_up:
            self.break_stream(0.05)

    def resume(self, answers_first: bool) -> None:
        """Resume the client: the event loop processes either the answers or the timer first."""
        self.stopped = False
        self.check()
        undelivered, self._undelivered = self._undelivered, []
        if not answers_first:
            self._work()
        for what in undelivered:
            what()
            self.check()

    def check(self) -> None:
        """Check every lease that the client does not report as lost against the server."""
        if self.stopped:
            return  # A stopped client reports nothing.
        for state in self.states:
            if state.lost(self.now) is not None:
                self.lost.add(state.id)
                assert state.remaining(self.now) == 0.0
            else:
                assert state.id not in self.lost, "a lost lease is not lost any more"
                assert self.server.alive(state.id, self.now), (
                    "the server does not have a lease that is not lost"
                )
                assert self.server.alive(state.id, self.now + state.remaining(self.now) - 1e-6)


SECONDS = st.floats(0.0, 12.0)
STEPS = st.one_of(
    st.tuples(st.just("run"), SECONDS),
    st.tuples(st.just("delay"), st.floats(0.0, 3.0)),
    st.tuples(st.just("break"), st.floats(0.0, 6.0)),
    st.tuples(st.just("silent"), st.booleans()),
    st.tuples(st.just("stop"), SECONDS, st.booleans()),
)
TTLS = st.lists(st.integers(1, 20), min_size=1, max_size=4)


@settings(deadline=None, max_examples=300)
@given(ttls=TTLS, members=st.integers(1, 3), steps=st.lists(STEPS, max_size=25))
def test_the_server_has_every_lease_that_is_not_lost(
    ttls: list[int], members: int, steps: list[tuple[object, ...]]
) -> None:
    world = World(ttls, members)
    for step in steps:
        match step:
            case ("run", float(seconds)):
                world.run(seconds)
            case ("delay", float(seconds)):
                world.delay = seconds
            case ("break", float(seconds)):
                world.break_stream(seconds)
            case ("silent", bool(silent)):
                world.silent = silent
            case ("stop", float(seconds), bool(answers_first)):
                world.stopped = True
                world.run(seconds)
                world.resume(answers_first)
    world.run(1.0)


@settings(deadline=None, max_examples=100)
@given(
    ttls=TTLS,
    breaks=st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 0.2)), max_size=10),
    delay=st.floats(0.0, 0.05),
)
def test_no_lease_is_lost_over_short_breaks(
    ttls: list[int], breaks: list[tuple[float, float]], delay: float
) -> None:
    world = World(ttls, 1)
    world.delay = delay
    for pause, down in breaks:
        world.run(pause)
        world.break_stream(down)
        world.run(down + 3 * delay + 0.1)
    world.run(60.0)
    assert not world.lost


@settings(deadline=None, max_examples=100)
@given(ttl=st.integers(15, 60), delay=st.floats(0.0, 0.75), members=st.integers(1, 3))
def test_no_lease_is_lost_while_the_cluster_answers_slowly(
    ttl: int, delay: float, members: int
) -> None:
    world = World([ttl], members)
    world.delay = delay
    world.run(300.0)
    assert not world.lost
