"""Deadlines on a clock that the tests move."""

from __future__ import annotations

import asyncio
import math

import pytest

from etcd_channel.deadline import Deadline


class MovableClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


def test_the_time_left_decreases(clock: MovableClock) -> None:
    deadline = Deadline.after(5, clock)
    assert deadline.remaining() == deadline.timeout() == 5
    clock.now += 2
    assert deadline.remaining() == deadline.timeout() == 3
    assert not deadline.passed


def test_it_passes_at_its_end_and_stays_passed(clock: MovableClock) -> None:
    deadline = Deadline.after(5, clock)
    clock.now += 5
    assert deadline.passed
    clock.now += 60
    assert deadline.passed
    assert deadline.remaining() == 0


def test_a_call_after_the_deadline_gets_a_short_timeout(
    clock: MovableClock,
) -> None:
    deadline = Deadline.after(5, clock)
    clock.now += 60
    assert deadline.timeout() == deadline.timeout(3.0) == 0.001


def test_a_deadline_of_none_never_passes(clock: MovableClock) -> None:
    deadline = Deadline.after(None, clock)
    clock.now = math.inf
    assert not deadline.passed
    assert deadline.at is deadline.remaining() is deadline.timeout() is None


def test_a_deadline_of_zero_seconds_has_passed(clock: MovableClock) -> None:
    deadline = Deadline.after(0, clock)
    assert deadline.passed
    assert deadline.remaining() == 0


def test_a_timeout_is_no_longer_than_its_own_maximum(clock: MovableClock) -> None:
    deadline = Deadline.after(5, clock)
    assert deadline.timeout(3.0) == 3
    clock.now += 4
    assert deadline.timeout(3.0) == 1
    assert Deadline.after(None, clock).timeout(3.0) == 3


def test_within_returns_the_earlier_deadline(clock: MovableClock) -> None:
    deadline = Deadline.after(5, clock)
    assert deadline.within(3).at == 1003
    assert deadline.within(7) is deadline
    assert Deadline.after(None, clock).within(3).at == 1003


def test_a_deadline_can_be_made_of_a_time_on_its_clock(clock: MovableClock) -> None:
    assert Deadline(1003, clock).remaining() == 3


@pytest.mark.parametrize("timeout", [0, -1, math.inf, math.nan])
def test_an_invalid_timeout_argument_is_refused_by_its_name(timeout: float) -> None:
    with pytest.raises(ValueError, match="patience must be a positive, finite number of seconds"):
        Deadline.of("patience", timeout)


def test_an_argument_of_another_type_is_refused_by_its_name() -> None:
    with pytest.raises(TypeError, match="patience must be a number of seconds, not str"):
        Deadline.of("patience", "5")


def test_an_argument_may_be_none(clock: MovableClock) -> None:
    assert Deadline.of("patience", None, clock).remaining() is None
    assert Deadline.of("patience", 5, clock).remaining() == 5


async def test_the_default_clock_is_that_of_the_running_loop() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    at = Deadline.after(5).at
    assert at is not None
    assert before + 5 <= at <= loop.time() + 5


def test_without_a_running_loop_there_is_no_default_clock() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        Deadline.after(5)


def test_the_repr_shows_the_time_left(clock: MovableClock) -> None:
    assert repr(Deadline.after(2.5, clock)) == "Deadline(2.500 s left)"
    assert repr(Deadline.after(None, clock)) == "Deadline(never)"
