"""The judge of recipes, on histories known to be good or bad."""

from __future__ import annotations

from judged import said, stored
from programme.history import History, Outcome, Used

COUNTER = "recipes/counter"


def add(history: History, number: int, outcome: Outcome = "ok") -> None:
    history.add(Used("c", "counter", "add", str(number) if outcome == "ok" else "", outcome))


def queue(history: History, kind: str, item: str, outcome: Outcome = "ok") -> None:
    history.add(Used("c", "queue", kind, item, outcome))


def job(history: History, kind: str, item: str, outcome: Outcome = "ok") -> None:
    history.add(Used("c", "work queue", kind, item, outcome))


def test_each_addition_is_there_once() -> None:
    history = stored((COUNTER, "1"), (COUNTER, "2"), (COUNTER, "3"))
    add(history, 1)
    add(history, 2)
    add(history, 0, "indefinite")
    add(history, 0, "definite")
    assert said("recipes", history) == []


def test_an_addition_that_is_lost_or_repeated_is_seen() -> None:
    lost = stored((COUNTER, "1"), (COUNTER, "1"))
    add(lost, 1)
    add(lost, 1)
    assert said("recipes", lost) == ["lost", "repeated"]
    gone = stored((COUNTER, "1"))
    add(gone, 1)
    add(gone, 2)
    assert said("recipes", gone) == ["lost"]
    repeated = stored((COUNTER, "1"), (COUNTER, "2"))
    add(repeated, 1)
    add(repeated, 0, "definite")
    assert said("recipes", repeated) == ["repeated"]


def test_an_item_is_returned_at_most_once() -> None:
    history = stored()
    queue(history, "put", "a")
    queue(history, "put", "b", "indefinite")
    queue(history, "put", "c")
    queue(history, "get", "a")
    queue(history, "get", "b")
    queue(history, "get", "")
    assert said("recipes", history) == ["lost"]
    # It may have been taken by this call.
    queue(history, "get", "", "indefinite")
    assert said("recipes", history) == []
    queue(history, "get", "a")
    assert said("recipes", history) == ["repeated"]


def test_an_item_that_nobody_has_put_is_seen() -> None:
    history = stored()
    queue(history, "put", "a", "definite")
    queue(history, "get", "a")
    queue(history, "get", "b")
    assert said("recipes", history) == ["failed but applied"] * 2


def test_a_job_is_worked_on_and_ends_once() -> None:
    # It may be worked on twice, if the first claim is lost before the end.
    history = stored(("recipes/done/a", "c1"), ("recipes/done/a", "c2"), ("recipes/done/b", "c1"))
    job(history, "put", "a")
    job(history, "put", "b", "indefinite")
    job(history, "put", "c", "definite")
    job(history, "done", "a")
    job(history, "done", "", "indefinite")
    assert said("recipes", history) == []
    job(history, "put", "d")
    assert said("recipes", history) == ["lost"]


def test_a_job_that_ends_twice_or_without_work_is_seen() -> None:
    history = stored(("recipes/done/a", "c1"), ("recipes/done/c", "c1"))
    job(history, "put", "a")
    job(history, "done", "a")
    job(history, "done", "a")
    job(history, "done", "b")
    assert said("recipes", history) == ["repeated", "lost", "failed but applied"]
