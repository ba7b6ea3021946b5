"""In any order of events, a watch delivers each event once, in order, in whole revisions.

Hypothesis chooses the order: of puts, requests that are processed, events that are sent whole or
in pieces, responses that arrive, breaks, members that are behind or go back in time, watches that
are parked, readers that read and that leave. `watch_model` is what it happens to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from watch_model import ModelServer, make_stream

from etcd_watch._subscription import State, Subscription
from etcd_watch.requests import WatchSpec


class _Reader:
    """A watch, and everything that was read from it."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.batches: list[list[tuple[int, bytes]]] = []
        self.progress: list[tuple[int, int]] = []
        """The revisions of progress responses, and how many events were delivered before each."""

    def read(self) -> None:
        header, events = self.subscription.pop()
        if events:
            self.batches.append([(each.kv.mod_revision, each.kv.value) for each in events])
        else:
            self.progress.append((header.header.revision, len(self.told)))

    @property
    def told(self) -> list[tuple[int, bytes]]:
        return [event for batch in self.batches for event in batch]


class _World:
    """A program with its watches on one stream, the server, and the network between them.

    Each method is one thing that may happen; where it cannot, nothing does.
    """

    def __init__(self) -> None:
        self.watches, self.stream = make_stream()
        self.server = ModelServer(self.stream)
        self.readers: list[_Reader] = []
        self.left: list[_Reader] = []

    # The program ---------------------------------------------------------------------

    def join(self, start: int, fragment: bool, buffer_bytes: int, watch_id: int) -> None:
        if len(self.readers) == 3:
            return
        spec = WatchSpec(
            b"k",
            start_revision=start,
            fragment=fragment,
            progress_notify=True,
            buffer_bytes=buffer_bytes,
            watch_id=watch_id if self.watches.has_room_for(watch_id) else 0,
        )
        reader = _Reader(Subscription(spec, lambda: None))
        self.watches.add(reader.subscription)
        self.readers.append(reader)

    def leave(self, which: int) -> None:
        if len(self.readers) > 1:
            reader = self.readers.pop(which % len(self.readers))
            self.watches.remove(reader.subscription)
            self.left.append(reader)

    def read(self, which: int, count: int) -> None:
        if self.readers:
            reader = self.readers[which % len(self.readers)]
            for _ in range(count):
                if reader.subscription.has_batch:
                    reader.read()
                    self.watches.resume(reader.subscription)

    def ask_for_progress(self, which: int) -> None:
        if self.readers:
            self.readers[which % len(self.readers)].subscription.want_progress()
            self.watches.request_progress()

    # The server ----------------------------------------------------------------------

    def put(self, *counts: int) -> None:
        for count in counts:
            self.server.put(count)

    def serve(self, requests: int, revisions: int, pieces: Sequence[int]) -> None:
        for _ in range(requests):
            self.server.process()
        for number in self.server.watchers:
            self.server.sync(number, revisions, pieces)

    def notify(self) -> None:
        for number in self.server.watchers:
            self.server.notify(number)

    def travel_back(self, back: int) -> None:
        for number in self.server.watchers:
            self.server.travel_back(number, back)

    def catch_up(self) -> None:
        self.server.behind = 0

    # The network ---------------------------------------------------------------------

    def deliver(self, count: int, answers_first: bool) -> None:
        for _ in range(count):
            self.server.deliver(answers_first=answers_first)

    def break_(self) -> None:
        if self.stream.is_open:
            self.stream.break_()
            self.server.forget_all()

    def open(self, behind: int) -> None:
        if not self.stream.is_open:
            self.server.behind = behind
            self.stream.open()

    def break_and_open(self, behind: int) -> None:
        self.break_()
        self.open(behind)

    # What holds ----------------------------------------------------------------------

    def check(self) -> None:
        for reader in (*self.readers, *self.left):
            expected = self.expected(reader)
            assert reader.told == expected[: len(reader.told)]
            lasts = [batch[-1][0] for batch in reader.batches]
            firsts = [batch[0][0] for batch in reader.batches[1:]]
            assert all(last < first for last, first in zip(lasts, firsts, strict=False))
            assert reader.progress == sorted(reader.progress)
            for progress, told in reader.progress:
                assert all(revision > progress for revision, _ in expected[told:])
        here = {reader.subscription for reader in self.readers}
        assert set(self.watches._subscriptions) == here
        assert set(self.watches._by_id.values()) <= here

    def expected(self, reader: _Reader) -> list[tuple[int, bytes]]:
        start = reader.subscription.start_revision
        return [
            (revision, each.kv.value)
            for revision, events in self.server.history.items()
            if revision >= start
            for each in events
        ]

    def calm_down(self) -> None:
        """Deliver everything, and let every reader read."""
        self.open(0)
        self.catch_up()
        busy = True
        while busy:
            busy = self.server.process() or self.server.deliver(answers_first=True)
            for number, watcher in list(self.server.watchers.items()):
                if watcher.next_revision <= self.server.revision:
                    self.server.sync(number, 2, [1, 2])
                    busy = True
            for which, reader in enumerate(self.readers):
                if reader.subscription.has_batch:
                    self.read(which, 1)
                    busy = True


_WHICH = st.integers(0, 2)
_COUNTS = st.lists(st.integers(0, 3), min_size=1, max_size=4)
_PIECES = st.lists(st.integers(1, 3), max_size=4)
_BEHIND = st.sampled_from([0, 0, 1, 3])
_JOIN = st.tuples(
    st.just(_World.join),
    st.integers(0, 8),
    st.booleans(),
    st.sampled_from([1 << 20, 5000, 2500, 1]),
    st.sampled_from([0, 7]),
)


def _step(method: Any, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(method), *arguments)


_PUT = _COUNTS.map(lambda counts: (_World.put, *counts))
_SERVE = _step(_World.serve, st.integers(0, 9), st.integers(0, 5), _PIECES)
_DELIVER = _step(_World.deliver, st.integers(1, 6), st.booleans())
_READ = _step(_World.read, _WHICH, st.integers(1, 4))
_ANYTHING = st.one_of(
    # What happens most stands here more than once.
    _PUT,
    _PUT,
    _SERVE,
    _SERVE,
    _SERVE,
    _DELIVER,
    _DELIVER,
    _DELIVER,
    _READ,
    _READ,
    _JOIN,
    _step(_World.leave, _WHICH),
    _step(_World.ask_for_progress, _WHICH),
    _step(_World.ask_for_progress, _WHICH),
    _step(_World.notify),
    _step(_World.travel_back, st.integers(0, 4)),
    _step(_World.catch_up),
    _step(_World.break_),
    _step(_World.open, _BEHIND),
    _step(_World.break_and_open, _BEHIND),
    _step(_World.break_and_open, _BEHIND),
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    # To make a failure smaller takes minutes: add Phase.shrink for that.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    before=_COUNTS,
    joins=st.lists(_JOIN, min_size=1, max_size=3),
    steps=st.lists(_ANYTHING, min_size=30, max_size=80),
)
def test_each_event_is_delivered_once_in_order_and_its_revision_whole(
    before: list[int], joins: list[tuple[Any, ...]], steps: list[tuple[Any, ...]]
) -> None:
    world = _World()
    world.put(*before)
    for method, *arguments in (*joins, *steps):
        method(world, *arguments)
        world.check()
    world.calm_down()
    world.check()
    for reader in world.readers:
        assert reader.subscription.state is State.OPEN
        assert reader.told == world.expected(reader)
    numbers = {world.watches._subscriptions[reader.subscription] for reader in world.readers}
    assert set(world.server.watchers) == numbers
