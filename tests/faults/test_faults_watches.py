"""The judge of watches, on histories that are known to be good or bad."""

from __future__ import annotations

import dataclasses

import pytest
from judged import said, stored, watched, watching
from programme.history import History, Operation, Response

CHANGES = [("k", "a"), [("k", "b"), ("l", "c")], ("k", None), ("k", "d"), ("l", "e")]


@pytest.fixture
def history() -> History:
    return stored(*CHANGES)  # type: ignore[arg-type]  # a list of both kinds


def test_a_watch_that_misses_nothing_is_right(history: History) -> None:
    watched(history, watching(history))
    assert said("watches", history) == []


def test_progress_between_the_events_is_right(history: History) -> None:
    responses = watching(history)
    responses.insert(2, Response(3.5, 3, []))
    responses.append(Response(9.0, 6, []))
    watched(history, responses)
    assert said("watches", history) == []


def test_an_event_of_another_key_is_seen(history: History) -> None:
    watched(history, watching(history), key="k", prefix=False, end="cancelled")
    assert set(said("watches", history)) == {"filter"}


def test_events_in_the_wrong_order_are_seen(history: History) -> None:
    responses = watching(history)
    responses[0], responses[2] = responses[2], responses[0]
    watched(history, responses)
    assert "ordered" in said("watches", history)


def test_an_event_that_comes_twice_is_seen(history: History) -> None:
    responses = watching(history)
    watched(history, [*responses[:2], *responses[1:]])
    assert "unique" in said("watches", history)


def test_a_revision_that_is_split_is_seen(history: History) -> None:
    responses = watching(history)
    whole = responses[1]
    parts = [dataclasses.replace(whole, events=[event]) for event in whole.events]
    watched(history, [responses[0], *parts, *responses[2:]])
    assert said("watches", history) == ["atomic"]


def test_an_event_that_progress_has_left_behind_is_seen(history: History) -> None:
    responses = watching(history)
    responses.insert(2, Response(3.5, 4, []))
    watched(history, responses)
    assert said("watches", history) == ["bookmarkable"]


def test_progress_that_goes_back_is_seen(history: History) -> None:
    responses = watching(history)
    responses[2:2] = [Response(3.5, 3, []), Response(3.6, 2, [])]
    watched(history, responses)
    assert said("watches", history) == ["bookmarkable"]


def test_progress_past_an_event_that_never_came_is_seen(history: History) -> None:
    responses = watching(history)
    watched(history, [*responses[:-1], Response(9.0, 6, [])], end="cancelled")
    assert said("watches", history) == ["bookmarkable"]


def test_an_event_before_the_start_is_seen(history: History) -> None:
    watched(history, watching(history), requested=3, start=3)
    assert said("watches", history) == ["resumable"]


def test_a_first_event_that_is_not_the_first_is_seen(history: History) -> None:
    watched(history, watching(history)[1:])
    assert said("watches", history) == ["resumable"]


def test_a_gap_is_seen(history: History) -> None:
    responses = watching(history)
    watched(history, responses[:2] + responses[3:])
    assert said("watches", history) == ["reliable"]


def test_half_a_transaction_is_seen(history: History) -> None:
    responses = watching(history)
    responses[1].events.pop()
    watched(history, responses)
    assert said("watches", history) == ["reliable"]


def test_a_wrong_value_is_seen(history: History) -> None:
    responses = watching(history)
    responses[0].events[0].value = "x"
    watched(history, responses)
    assert said("watches", history) == ["reliable"]


def test_a_wrong_value_of_before_is_seen(history: History) -> None:
    responses = watching(history)
    responses[1].events[0].previous = ("x", 2)
    watched(history, responses)
    assert said("watches", history) == ["previous"]
    responses[1].events[0].previous = None  # It may be compacted.
    assert said("watches", history) == []


def test_a_wrong_version_is_seen(history: History) -> None:
    responses = watching(history)
    responses[3].events[0].version = 2
    watched(history, responses)
    assert said("watches", history) == ["is-create"]


def test_silence_at_the_end_is_seen_if_the_watch_was_read_to_the_end(history: History) -> None:
    watched(history, watching(history)[:-1])
    assert said("watches", history) == ["complete"]
    history.watches[0].end = "cancelled"
    assert said("watches", history) == []


def test_a_compaction_before_the_position_is_no_reason_to_end(history: History) -> None:
    responses = watching(history)[:2]
    watched(history, responses, end="compacted", compacted=5)
    assert said("watches", history) == []
    history.watches[0].compacted = 3
    assert said("watches", history) == ["complete"]


def test_another_error_is_no_reason_to_end(history: History) -> None:
    watched(history, watching(history)[:2], end="ConnectionFailedError: reset")
    assert said("watches", history) == ["complete"]


def test_a_deletion_that_an_old_etcd_has_forgotten_is_known(history: History) -> None:
    """It is the first revision that a compaction has left (etcd issue 18089)."""
    responses = watching(history)[3:]
    watched(history, responses, requested=4, start=4)
    history.add(Operation("c", "compact", 4.1, 4.2, "ok", at=4))
    history.about["etcd"] = "3.5.30"
    assert said("watches", history) == ["resumable"]
    history.about["etcd"] = "3.4.23"
    assert said("watches", history) == []
    history.operations[0].at = 3
    assert said("watches", history) == ["resumable"]


def test_what_an_old_etcd_skips_at_a_compaction_is_known(history: History) -> None:
    """A watch that is behind a compaction goes on behind the newest one (etcd issue 17529)."""
    responses = watching(history)
    first, last = responses[0].revision, responses[-1].revision
    watched(history, [responses[0], responses[-1]])
    history.add(Operation("c", "compact", 4.1, 4.2, "ok", at=last - 1))
    history.about["etcd"] = "3.5.16"
    missing = said("watches", history)
    assert set(missing) == {"reliable"}
    history.about["etcd"] = "3.4.23"
    assert said("watches", history) == []
    # The next one was compacted, which is not behind it.
    history.operations[0].at = first + 1
    assert said("watches", history) == missing
