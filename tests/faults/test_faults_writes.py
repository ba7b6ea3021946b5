"""The judge of writes, on histories that are known to be good or bad."""

from __future__ import annotations

from judged import put, said, stored
from programme.history import History, Operation


def history_of(stored_changes: History, *operations: Operation) -> History:
    for operation in operations:
        stored_changes.add(operation)
    return stored_changes


def test_an_acknowledged_write_is_there_once() -> None:
    assert said("writes", history_of(stored(("k", "a")), put("k", "a", 2))) == []


def test_an_acknowledged_write_that_is_nowhere_is_lost() -> None:
    history = history_of(stored(("k", "a")), put("k", "a", 2), put("k", "b", 3))
    assert said("writes", history) == ["lost"]


def test_a_write_that_is_there_twice_is_repeated_acknowledged_or_not() -> None:
    twice = [("k", "a"), ("k", "a")]
    assert "repeated" in said("writes", history_of(stored(*twice), put("k", "a", 3)))
    assert "repeated" in said("writes", history_of(stored(*twice), put("k", "a")))


def test_an_indefinite_write_may_be_there_or_not() -> None:
    assert said("writes", history_of(stored(("k", "a")), put("k", "a"))) == []
    assert said("writes", history_of(stored(("k", "a")), put("k", "a", 2), put("k", "b"))) == []


def test_a_definite_failure_must_not_be_there() -> None:
    failed = put("k", "a", 2, outcome="definite")
    assert "failed but applied" in said("writes", history_of(stored(("k", "a")), failed))
    assert said("writes", history_of(stored(), failed)) == []


def test_a_transaction_whose_compare_failed_must_not_be_there() -> None:
    failed = put("k", "a", 2, compare={"k": "x"}, succeeded=False)
    assert "failed but applied" in said("writes", history_of(stored(("k", "a")), failed))


def test_a_write_is_at_the_revision_that_was_acknowledged() -> None:
    history = history_of(stored(("k", "a"), ("k", "b")), put("k", "a", 2), put("k", "b", 4))
    assert len(said("writes", history)) == 2  # It is at another one, and so by nobody.


def test_a_transaction_is_there_as_a_whole() -> None:
    both = Operation("c", "txn", 1.5, 1.9, "ok", 2, writes={"k": "a", "l": "b"})
    assert said("writes", history_of(stored([("k", "a"), ("l", "b")]), both)) == []
    assert "in parts" in said("writes", history_of(stored([("k", "a")]), both))
    unknown = Operation("c", "txn", 1.5, 1.9, "indefinite", writes={"k": "a", "l": "b"})
    assert "in parts" in said("writes", history_of(stored([("k", "a")]), unknown))
    assert "repeated" in said("writes", history_of(stored([("k", "a")], [("l", "b")]), unknown))


def test_a_value_that_nobody_wrote_is_seen() -> None:
    assert said("writes", stored(("k", "a"))) == ["nobody wrote k=a at 2"]


def deletion(revision: int, outcome: str = "ok", deleted: int = 1) -> Operation:
    made = put("k", "", revision, outcome=outcome, deleted=deleted)
    made.writes = {"k": None}
    return made


def test_an_acknowledged_deletion_is_there_once() -> None:
    changes = stored(("k", "a"), ("k", None))
    assert said("writes", history_of(changes, put("k", "a", 2), deletion(3))) == []


def test_an_acknowledged_deletion_that_is_nowhere_is_lost() -> None:
    history = history_of(stored(("k", "a")), put("k", "a", 2), deletion(3))
    assert said("writes", history) == ["lost or repeated"]


def test_an_indefinite_deletion_explains_one_deletion_and_no_more() -> None:
    first = [("k", "a"), ("k", None)]
    again = [("k", "b"), ("k", None)]
    writes = [put("k", "a", 2), put("k", "b", 4)]
    once = history_of(stored(*first), writes[0], deletion(3, "indefinite"))
    assert said("writes", once) == []
    twice = history_of(stored(*first, *again), *writes, deletion(3, "indefinite"))
    assert said("writes", twice) == ["repeated or by nobody"]


def test_a_deletion_is_not_by_a_call_that_came_later() -> None:
    late = deletion(3, "indefinite")
    late.call = 50.0
    history = history_of(stored(("k", "a"), ("k", None)), put("k", "a", 2), late)
    assert said("writes", history) == ["repeated or by nobody"]
