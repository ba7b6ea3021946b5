"""The schedule of keep-alives, without a server."""

from __future__ import annotations

import weakref

import pytest

from etcd_channel import Channel
from etcd_lease._keep_alive_stream import KeepAliveStream
from etcd_lease._schedule import Due, Schedule
from etcd_lease._state import LeaseState, LossReason

NOTHING = Due([], False)


def latest(low: float, high: float) -> float:
    """Replaces the random spread: the first keep-alive is sent as late as the later ones."""
    return high


def granted(lease_id: int, ttl: int, sent: float) -> LeaseState:
    state = LeaseState(lease_id, ttl, sent)
    assert state.renewed(sent, ttl, sent)
    return state


def opened(members: int = 1) -> Schedule:
    schedule = Schedule(lambda: members, latest)
    assert schedule.opened(0.0) == []
    return schedule


@pytest.mark.parametrize(
    ("ttl", "interval"), [(3, 1), (6, 2), (8, 3), (9, 4), (10, 5), (30, 15), (3600, 1800)]
)
def test_a_keep_alive_is_sent_while_half_of_the_ttl_is_left_and_five_seconds_if_it_can(
    ttl: int, interval: int
) -> None:
    schedule = opened()
    schedule.keep(granted(1, ttl, 0.0), 0.0)
    sent = 0.0
    for _ in range(3):
        now = sent
        while not schedule.due(now).send:
            now = schedule.wake_at() or now
        # A little earlier, together with others: a quarter of a second at most.
        assert max(interval * 15 / 16, interval - 0.25) <= now - sent <= interval
        schedule.answered(1, ttl, now)
        sent = now


def test_leases_granted_at_the_same_time_are_not_renewed_together() -> None:
    schedule = Schedule(lambda: 1)
    schedule.opened(0.0)
    for number in range(200):
        schedule.keep(granted(number + 1, 30, 0.0), 0.0)
    for begin in (0.0, 15.0, 30.0):
        counts = []
        for quarter in range(1, 61):
            now = begin + quarter / 4
            sent = schedule.due(now).send
            for lease_id in sent:
                schedule.answered(lease_id, 30, now)
            counts.append(len(sent))
        assert sum(counts) == 200
        assert max(counts) < 50


def test_leases_that_a_new_stream_renews_together_are_not_renewed_together_after_that() -> None:
    schedule = Schedule(lambda: 1)
    for number in range(200):
        schedule.keep(granted(number + 1, 30, 0.0), 0.0)
    assert len(schedule.opened(20.0)) == 200
    for number in range(200):
        schedule.answered(number + 1, 30, 20.1)
    counts = []
    for quarter in range(81, 140):
        sent = schedule.due(quarter / 4).send
        for lease_id in sent:
            schedule.answered(lease_id, 30, quarter / 4)
        counts.append(len(sent))
    assert sum(counts) == pytest.approx(200, abs=20)
    assert max(counts) < 50


def test_leases_that_are_due_at_nearly_the_same_time_are_renewed_together() -> None:
    schedule = opened()
    for number in range(10):
        schedule.keep(granted(number + 1, 30, number / 50), 0.0)
    assert schedule.wake_at() == 15.0
    assert len(schedule.due(15.0).send) == 10


def test_the_deadline_counts_from_when_the_acknowledged_keep_alive_was_sent() -> None:
    schedule = opened()
    state = granted(1, 30, 0.0)
    schedule.keep(state, 0.0)
    schedule.due(15.0)
    schedule.answered(1, 30, 19.0)
    assert state.deadline == 45.0
    assert state.remaining(19.0) == 26.0


def test_an_unanswered_keep_alive_is_sent_again_after_half_a_second() -> None:
    schedule = opened()
    schedule.keep(granted(1, 30, 0.0), 0.0)
    schedule.due(15.0)
    assert schedule.due(15.4) == NOTHING
    assert schedule.due(15.5) == Due([1], False)


def test_a_silent_stream_is_replaced_and_the_next_one_starts_with_the_due_leases() -> None:
    schedule = opened()
    schedule.keep(granted(1, 30, 0.0), 0.0)
    schedule.keep(granted(2, 60, 0.0), 0.0)
    schedule.due(15.0)
    schedule.due(15.5)
    assert schedule.due(16.0) == Due([], True)
    assert schedule.due(16.5) == NOTHING
    schedule.broken()
    assert schedule.opened(17.0) == [1]


def test_a_keep_alive_is_repeated_to_a_proxy_until_its_answer_is_due() -> None:
    # The proxy answers at its own interval, all requests together.
    schedule = Schedule(lambda: 1, latest)
    schedule.opened(0.0, through_proxy=True)
    state = granted(1, 30, 0.0)
    schedule.keep(state, 0.0)
    assert schedule.due(10.0) == Due([1], False)
    for asked in (10.5, 11.0, 15.0, 20.9):
        assert schedule.due(asked) == Due([1], False)
    for _ in range(5):
        schedule.answered(1, 30, 20.9)
    # The newest request counts.
    assert state.deadline == 50.9
    # Through a proxy, the next one is sent after a third of the ttl: the answer may take another.
    assert schedule.due(30.7) == NOTHING
    assert schedule.due(30.9) == Due([1], False)
    assert schedule.due(41.8) == Due([1], False)
    assert schedule.due(42.4) == Due([], True)


def test_leases_are_renewed_earlier_after_a_change_to_a_proxy() -> None:
    schedule = opened()
    schedule.keep(granted(1, 30, 0.0), 0.0)
    schedule.broken()
    assert schedule.opened(1.0, through_proxy=True) == []
    assert schedule.wake_at() == 10.0


def test_a_keep_alive_is_repeated_less_often_to_a_proxy_for_a_long_ttl() -> None:
    schedule = Schedule(lambda: 1, latest)
    schedule.opened(0.0, through_proxy=True)
    schedule.keep(granted(1, 3600, 0.0), 0.0)
    assert schedule.due(1200.0) == Due([1], False)
    assert schedule.due(1259.0) == NOTHING
    assert schedule.due(1260.0) == Due([1], False)


def test_a_member_after_a_proxy_is_given_up_after_the_usual_time() -> None:
    schedule = Schedule(lambda: 2, latest)
    schedule.opened(0.0, through_proxy=True)
    schedule.keep(granted(1, 30, 0.0), 0.0)
    schedule.due(10.0)
    schedule.broken()
    assert schedule.opened(10.1) == [1]
    assert schedule.due(10.6) == Due([1], False)
    assert schedule.due(11.1) == Due([], True)


def test_a_short_ttl_has_a_shorter_answer_timeout() -> None:
    schedule = opened()
    schedule.keep(granted(1, 1, 0.0), 0.0)
    assert schedule.due(1 / 3) == Due([1], False)
    assert schedule.due(1 / 2) == Due([1], False)
    assert schedule.due(2 / 3) == Due([], True)
    assert schedule.opened(0.7) == [1]


def test_a_member_that_answers_slowly_is_not_given_up() -> None:
    schedule = opened()
    for number in range(1, 11):
        schedule.keep(granted(number, 30, 0.0), 0.0)
    assert len(schedule.due(15.0).send) == 10
    for number in range(1, 11):
        now = 15.0 + number * 0.4
        assert schedule.due(now) == NOTHING
        schedule.answered(number, 30, now)


def test_each_answer_belongs_to_the_oldest_request_of_the_stream() -> None:
    schedule = opened()
    state = granted(1, 30, 0.0)
    schedule.keep(state, 0.0)
    schedule.due(15.0)
    schedule.due(15.5)
    schedule.answered(1, 30, 15.8)
    assert state.deadline == 45.0
    schedule.answered(1, 30, 15.9)
    assert state.deadline == 45.5
    schedule.answered(1, 30, 15.9)  # there was no request for it
    assert state.deadline == 45.5


def test_an_answer_on_a_new_stream_is_not_matched_to_a_request_on_the_old_one() -> None:
    schedule = opened()
    state = granted(1, 30, 0.0)
    schedule.keep(state, 0.0)
    schedule.due(15.0)
    schedule.broken()
    assert schedule.opened(20.0) == [1]
    schedule.answered(1, 30, 20.1)
    assert state.deadline == 50.0


def test_a_lease_is_lost_at_its_deadline_and_an_answer_after_it_changes_nothing() -> None:
    schedule = opened()
    state = granted(1, 30, 0.0)
    schedule.keep(state, 0.0)
    schedule.due(15.0)
    assert state.lost(29.99) is None
    schedule.answered(1, 30, 30.0)
    assert state.lost(30.0) is not None
    assert state.lost(10.0) is not None
    assert len(schedule) == 0
    assert schedule.due(40.0) == NOTHING
    assert schedule.wake_at() is None


def test_while_no_stream_is_open_nothing_is_sent_and_the_deadline_is_kept() -> None:
    schedule = Schedule(lambda: 1, latest)
    state = granted(1, 30, 0.0)
    schedule.keep(state, 0.0)
    assert schedule.due(15.0) == NOTHING
    assert schedule.wake_at() == 30.0
    assert schedule.due(30.0) == NOTHING
    assert state.lost(30.0) is not None
    assert schedule.opened(31.0) == []


def test_a_lease_is_lost_when_the_server_no_longer_has_it() -> None:
    schedule = opened()
    state, other = granted(1, 30, 0.0), granted(2, 30, 0.0)
    schedule.keep(state, 0.0)
    schedule.keep(other, 0.0)
    schedule.due(15.0)
    schedule.answered(1, 0, 15.1)
    schedule.answered(2, 30, 15.1)
    reason = state.lost(15.1)
    assert reason is not None
    assert reason.gone
    assert other.lost(15.1) is None
    assert schedule.due(30.0) == Due([2], False)


def test_an_answer_about_an_earlier_lease_of_the_same_id_is_ignored() -> None:
    schedule = opened()
    schedule.keep(granted(1, 30, 0.0), 0.0)
    schedule.due(15.0)
    state = granted(1, 30, 15.1)
    schedule.keep(state, 15.1)
    schedule.answered(1, 0, 15.2)
    assert state.lost(15.2) is None
    assert schedule.due(30.1) == Due([1], False)


def test_a_released_lease_is_not_renewed_and_lasts_until_its_deadline() -> None:
    schedule = opened()
    state = granted(1, 30, 0.0)
    schedule.keep(state, 0.0)
    schedule.due(15.0)
    schedule.release(1)
    schedule.answered(1, 30, 15.1)
    assert schedule.wake_at() is None
    assert state.deadline == 30.0
    schedule.release(1)


def test_keeping_a_lease_twice_changes_nothing_and_an_overdue_lease_is_renewed_at_once() -> None:
    schedule = opened()
    state = granted(1, 30, 0.0)
    schedule.keep(state, 0.0)
    schedule.keep(state, 5.0)
    assert len(schedule) == 1
    late = granted(2, 30, 0.0)
    schedule.keep(late, 20.0)
    assert sorted(schedule.due(20.0).send) == [1, 2]


def test_an_answer_to_a_lease_that_was_released_meanwhile_is_not_matched_to_a_later_request() -> (
    None
):
    schedule = opened()
    state = granted(1, 30, 0.0)
    schedule.keep(state, 0.0)
    schedule.due(15.0)
    schedule.release(1)
    schedule.keep(state, 15.2)
    assert schedule.due(15.2) == Due([1], False)
    schedule.answered(1, 30, 15.3)
    assert state.deadline == 45.0
    schedule.answered(1, 30, 15.4)
    assert state.deadline == 45.2


def test_a_released_lease_is_not_held_in_memory() -> None:
    schedule = opened()
    state = granted(1, 3600, 0.0)
    schedule.keep(state, 0.0)
    schedule.release(1)
    gone = weakref.ref(state)
    del state
    assert gone() is None


def test_leases_released_long_before_their_next_keep_alive_leave_nothing_behind() -> None:
    schedule = opened()
    schedule.keep(granted(1, 60, 0.0), 0.0)
    for number in range(2, 2002):
        schedule.keep(granted(number, 10**8 + number, 0.0), 0.0)
        schedule.release(number)
    assert len(schedule._slots) == len(schedule._slot_times) < 100
    assert schedule.due(30.0) == Due([1], False)


def test_the_answer_timeout_doubles_when_no_member_answers_and_is_reset_by_an_answer() -> None:
    schedule = opened(members=2)
    schedule.keep(granted(1, 600, 0.0), 0.0)

    patience = [gives_up_after(schedule, 300.0)]
    for start in (400.0, 410.0, 420.0):
        assert schedule.opened(start) == [1]
        patience.append(gives_up_after(schedule, start))
    assert patience == pytest.approx([1.0, 1.0, 2.0, 2.0])
    schedule.opened(430.0)
    schedule.answered(1, 600, 430.1)
    assert schedule.due(730.0) == Due([1], False)
    assert gives_up_after(schedule, 730.0) == pytest.approx(2.0)


def gives_up_after(schedule: Schedule, start: float) -> float:
    """Return how long a silent stream is kept, from `start`, when a keep-alive is due."""
    now = start
    while not schedule.due(now).give_up:
        now = schedule.wake_at() or 0.0
    schedule.broken()
    return now - start


async def test_every_current_member_of_a_channel_is_tried_before_the_answer_timeout_doubles() -> (
    None
):
    channel = Channel("127.0.0.1:1")
    schedule = KeepAliveStream(channel, lambda stream: None)._schedule
    schedule.keep(granted(1, 600, 0.0), 0.0)
    channel.set_endpoints(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"])
    patience = []
    for start in (400.0, 410.0, 420.0, 430.0):
        assert schedule.opened(start) == [1]
        patience.append(gives_up_after(schedule, start))
    assert patience == pytest.approx([1.0, 1.0, 1.0, 2.0])
    await channel.close()


def test_the_end_of_the_stream_loses_all_leases_with_its_reason() -> None:
    schedule = opened()
    states = [granted(number, 30, 0.0) for number in range(1, 4)]
    for state in states:
        schedule.keep(state, 0.0)
    reason = LossReason("the channel is closed")
    schedule.end(reason)
    assert [state.lost(1.0) for state in states] == [reason] * 3
    assert schedule.wake_at() is None


def test_a_new_stream_starts_with_the_leases_that_expire_first() -> None:
    schedule = Schedule(lambda: 1, latest)
    for number, ttl in ((1, 55), (2, 40), (3, 50)):
        schedule.keep(granted(number, ttl, 0.0), 0.0)
    assert schedule.opened(28.0) == [2, 3, 1]


def test_many_leases_need_few_timers() -> None:
    schedule = Schedule(lambda: 1)
    schedule.opened(0.0)
    for number in range(10_000):
        schedule.keep(granted(number + 1, 30, 0.0), 0.0)
    wakings = sent = 0
    now = schedule.wake_at() or 0.0
    while now < 15.0:
        due = schedule.due(now)
        wakings += 1
        sent += len(due.send)
        for lease_id in due.send:
            schedule.answered(lease_id, 30, now)
        now = schedule.wake_at() or 0.0
    assert sent == 10_000
    assert wakings <= 100
