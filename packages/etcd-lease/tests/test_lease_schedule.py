"""The schedule of keep-alives, driven without a server: what is sent when, and what is lost."""

from __future__ import annotations

import pytest

from etcd_lease._life import Ending, Life
from etcd_lease._schedule import Due, Schedule

NOTHING = Due([], False)


def latest(low: float, high: float) -> float:
    """Stands for chance: a keep-alive goes out exactly after a third of the time to live."""
    return high


def granted(lease_id: int, ttl: int, sent: float) -> Life:
    life = Life(lease_id, ttl, sent)
    assert life.renewed(sent, ttl, sent)
    return life


def opened(members: int = 1) -> Schedule:
    schedule = Schedule(members, latest)
    assert schedule.opened(0.0) == []
    return schedule


def test_a_keep_alive_goes_out_after_a_third_of_the_time_to_live() -> None:
    schedule = opened()
    schedule.keep(granted(1, 30, 0.0), 0.0)
    assert schedule.wake_at() == 10.0
    assert schedule.due(9.9) == NOTHING
    assert schedule.due(10.0) == Due([1], False)
    schedule.answered(1, 30, 10.1)
    assert schedule.wake_at() == 20.0


def test_leases_that_were_granted_at_once_do_not_beat_together() -> None:
    schedule = Schedule(1)
    schedule.opened(0.0)
    for number in range(100):
        schedule.keep(granted(number + 1, 30, 0.0), 0.0)
    counts = []
    for tenth in range(11):
        now = 9.0 + tenth / 10
        sent = schedule.due(now).send
        for lease_id in sent:
            schedule.answered(lease_id, 30, now)
        counts.append(len(sent))
    assert sum(counts) == 100
    assert max(counts) < 50


def test_the_deadline_counts_from_when_the_acknowledged_keep_alive_was_sent() -> None:
    schedule = opened()
    life = granted(1, 30, 0.0)
    schedule.keep(life, 0.0)
    schedule.due(10.0)
    schedule.answered(1, 30, 14.0)
    assert life.deadline == 40.0
    assert life.remaining(14.0) == 26.0


def test_what_is_not_answered_is_sent_again_after_half_a_second() -> None:
    schedule = opened()
    schedule.keep(granted(1, 30, 0.0), 0.0)
    schedule.due(10.0)
    assert schedule.due(10.4) == NOTHING
    assert schedule.due(10.5) == Due([1], False)


def test_a_stream_is_given_up_after_another_half_second_and_the_next_begins_with_what_is_due() -> (
    None
):
    schedule = opened()
    schedule.keep(granted(1, 30, 0.0), 0.0)
    schedule.keep(granted(2, 60, 0.0), 0.0)
    schedule.due(10.0)
    schedule.due(10.5)
    assert schedule.due(11.0) == Due([], True)
    assert schedule.due(11.5) == NOTHING
    schedule.broken()
    assert schedule.opened(12.0) == [1]


def test_a_lease_that_lives_short_is_asked_for_more_impatiently() -> None:
    schedule = opened()
    schedule.keep(granted(1, 1, 0.0), 0.0)
    assert schedule.due(1 / 3) == Due([1], False)
    assert schedule.due(1 / 2) == Due([1], False)
    assert schedule.due(2 / 3) == Due([], True)
    assert schedule.opened(0.7) == [1]


def test_a_member_that_answers_slowly_but_answers_is_not_given_up() -> None:
    schedule = opened()
    for number in range(1, 11):
        schedule.keep(granted(number, 30, 0.0), 0.0)
    assert len(schedule.due(10.0).send) == 10
    for number in range(1, 11):
        now = 10.0 + number * 0.4
        assert schedule.due(now) == NOTHING
        schedule.answered(number, 30, now)


def test_each_answer_belongs_to_the_oldest_request_of_the_stream() -> None:
    schedule = opened()
    life = granted(1, 30, 0.0)
    schedule.keep(life, 0.0)
    schedule.due(10.0)
    schedule.due(10.5)
    schedule.answered(1, 30, 10.8)
    assert life.deadline == 40.0
    schedule.answered(1, 30, 10.9)
    assert life.deadline == 40.5
    schedule.answered(1, 30, 10.9)  # to nothing that was asked
    assert life.deadline == 40.5


def test_an_answer_of_a_new_stream_is_not_taken_for_one_of_the_old() -> None:
    schedule = opened()
    life = granted(1, 30, 0.0)
    schedule.keep(life, 0.0)
    schedule.due(10.0)
    schedule.broken()
    assert schedule.opened(15.0) == [1]
    schedule.answered(1, 30, 15.1)
    assert life.deadline == 45.0


def test_a_lease_is_lost_at_its_deadline_and_an_answer_after_it_changes_nothing() -> None:
    schedule = opened()
    life = granted(1, 30, 0.0)
    schedule.keep(life, 0.0)
    schedule.due(10.0)
    assert life.lost(29.99) is None
    schedule.answered(1, 30, 30.0)
    assert life.lost(30.0) is not None
    assert life.lost(10.0) is not None
    assert len(schedule) == 0
    assert schedule.due(40.0) == NOTHING
    assert schedule.wake_at() is None


def test_while_no_stream_is_open_nothing_is_sent_and_the_deadline_is_kept() -> None:
    schedule = Schedule(1, latest)
    life = granted(1, 30, 0.0)
    schedule.keep(life, 0.0)
    assert schedule.due(10.0) == NOTHING
    assert schedule.wake_at() == 30.0
    assert schedule.due(30.0) == NOTHING
    assert life.lost(30.0) is not None
    assert schedule.opened(31.0) == []


def test_the_server_has_the_last_word_on_a_lease_that_is_gone() -> None:
    schedule = opened()
    life, other = granted(1, 30, 0.0), granted(2, 30, 0.0)
    schedule.keep(life, 0.0)
    schedule.keep(other, 0.0)
    schedule.due(10.0)
    schedule.answered(1, 0, 10.1)
    schedule.answered(2, 30, 10.1)
    ending = life.lost(10.1)
    assert ending is not None
    assert ending.gone
    assert other.lost(10.1) is None
    assert schedule.due(20.0) == Due([2], False)


def test_what_is_answered_about_an_earlier_lease_of_the_id_does_not_concern_the_new_one() -> None:
    schedule = opened()
    schedule.keep(granted(1, 30, 0.0), 0.0)
    schedule.due(10.0)
    life = granted(1, 30, 10.1)
    schedule.keep(life, 10.1)
    schedule.answered(1, 0, 10.2)
    assert life.lost(10.2) is None
    assert schedule.due(20.1) == Due([1], False)


def test_a_released_lease_is_asked_for_no_more_and_lives_to_its_deadline() -> None:
    schedule = opened()
    life = granted(1, 30, 0.0)
    schedule.keep(life, 0.0)
    schedule.due(10.0)
    schedule.release(1)
    schedule.answered(1, 30, 10.1)
    assert schedule.wake_at() is None
    assert life.deadline == 30.0
    schedule.release(1)


def test_to_keep_what_is_kept_changes_nothing_and_a_lease_half_gone_is_asked_for_at_once() -> None:
    schedule = opened()
    life = granted(1, 30, 0.0)
    schedule.keep(life, 0.0)
    schedule.keep(life, 5.0)
    assert len(schedule) == 1
    late = granted(2, 30, 0.0)
    schedule.keep(late, 15.0)
    assert sorted(schedule.due(15.0).send) == [1, 2]


def test_patience_doubles_when_every_member_was_tried_in_vain_and_comes_back() -> None:
    schedule = opened(members=2)
    schedule.keep(granted(1, 600, 0.0), 0.0)

    def gives_up_after(start: float) -> float:
        now = start
        while not schedule.due(now).give_up:
            now = schedule.wake_at() or 0.0
        schedule.broken()
        return now - start

    patience = [gives_up_after(200.0)]
    for start in (300.0, 310.0, 320.0):
        assert schedule.opened(start) == [1]
        patience.append(gives_up_after(start))
    assert patience == pytest.approx([1.0, 1.0, 2.0, 2.0])
    schedule.opened(330.0)
    schedule.answered(1, 600, 330.1)
    assert schedule.due(530.0) == Due([1], False)
    assert gives_up_after(530.0) == pytest.approx(2.0)


def test_the_end_of_the_stream_for_good_loses_all_leases_and_says_why() -> None:
    schedule = opened()
    lives = [granted(number, 30, 0.0) for number in range(1, 4)]
    for life in lives:
        schedule.keep(life, 0.0)
    ending = Ending("the channel is closed")
    schedule.end(ending)
    assert [life.lost(1.0) for life in lives] == [ending] * 3
    assert schedule.wake_at() is None


def test_those_whose_time_is_up_first_go_first_on_a_new_stream() -> None:
    schedule = Schedule(1, latest)
    for number, ttl in ((1, 60), (2, 30), (3, 45)):
        schedule.keep(granted(number, ttl, 0.0), 0.0)
    assert schedule.opened(25.0) == [2, 3, 1]


def test_many_leases_need_few_wakings() -> None:
    schedule = Schedule(1)
    schedule.opened(0.0)
    for number in range(10_000):
        schedule.keep(granted(number + 1, 30, 0.0), 0.0)
    wakings = sent = 0
    now = schedule.wake_at() or 0.0
    while now < 10.0:
        due = schedule.due(now)
        wakings += 1
        sent += len(due.send)
        for lease_id in due.send:
            schedule.answered(lease_id, 30, now)
        now = schedule.wake_at() or 0.0
    assert sent == 10_000
    assert wakings <= 100
