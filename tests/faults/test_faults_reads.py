"""The judges of the truth, of the order and of reads, on histories known to be good or bad."""

from __future__ import annotations

from judged import put, said, stored
from programme.history import Operation


def get(revision: int, value: str | None, call: float, **fields: object) -> Operation:
    made = Operation("c", "get", call, call + 0.1, "ok", revision, reads={"k": value})
    for name, field in fields.items():
        setattr(made, name, field)
    return made


def test_members_agree() -> None:
    history = stored(("k", "a"), ("k", "b"))
    assert said("truth", history) == []
    history.events[-1].value = "c"
    assert said("truth", history) == ["m0 and m2 differ at (3, 'k')"]


def test_a_member_that_was_away_may_miss_what_the_others_have() -> None:
    history = stored(("k", "a"), ("k", "b"), ("k", "c"))
    history.events = [e for e in history.events if (e.member, e.revision) != ("m1", 3)]
    assert said("truth", history) == []


def test_a_revision_that_no_member_reports_is_missed() -> None:
    history = stored(("k", "a"), ("k", "b"), ("k", "c"))
    history.events = [event for event in history.events if event.revision != 3]
    assert said("truth", history) == ["no member reported revision 3"]


def test_a_member_that_ends_early_is_missed() -> None:
    history = stored(("k", "a"), ("k", "b"))
    history.events.pop()
    assert said("truth", history) == ["m2 ends at revision 2, not 3"]


def test_later_operations_have_later_revisions() -> None:
    history = stored(("k", "a"), ("k", "b"))
    history.add(put("k", "a", 2))
    history.add(put("k", "b", 3))
    history.add(get(3, "b", call=4.0))
    assert said("order", history) == []


def test_a_read_that_goes_back_in_time_is_seen() -> None:
    history = stored(("k", "a"), ("k", "b"))
    history.add(put("k", "b", 3))
    history.add(get(2, "a", call=4.0))
    assert len(said("order", history)) == 1
    history.operations[-1].stale = True
    assert said("order", history) == []


def test_a_write_is_later_than_all_that_ended_before_it() -> None:
    history = stored(("k", "a"), ("k", "b"))
    history.add(get(3, "b", call=1.0))
    history.add(put("k", "b", 3, call=2.0, end=2.5))
    assert len(said("order", history)) == 1


def test_an_unknown_write_that_was_applied_before_its_call_is_seen() -> None:
    history = stored(("k", "a"), ("k", "b"))
    history.add(get(3, "b", call=1.0))
    history.add(put("k", "a", call=2.0))
    assert len(said("order", history)) == 1


def test_a_read_has_the_state_at_its_revision() -> None:
    history = stored(("k", "a"), ("k", None), ("k", "c"))
    for revision, value in ((1, None), (2, "a"), (3, None), (4, "c")):
        history.add(get(revision, value, call=9.0, stale=True))
    assert said("reads", history) == []
    history.add(get(2, "c", call=9.0, stale=True))
    assert len(said("reads", history)) == 1


def test_a_read_at_a_revision_has_the_state_at_that_one() -> None:
    history = stored(("k", "a"), ("k", "b"))
    history.add(get(3, "a", call=9.0, at=2))
    assert said("reads", history) == []
    history.operations[0].reads = {"k": "b"}
    assert len(said("reads", history)) == 1


def test_a_list_has_all_keys_and_no_other() -> None:
    history = stored(("k", "a"), ("k2", "b"), ("other", "c"))
    listed = Operation("c", "list", 9, 9.1, "ok", 4, {"k": "a", "k2": "b"}, prefix="k")
    history.add(listed)
    assert said("reads", history) == []
    del listed.reads["k2"]
    assert len(said("reads", history)) == 1
    listed.reads = {"k": "a", "k2": "b", "k3": "d"}
    assert len(said("reads", history)) == 1


def test_a_compare_is_decided_by_the_state_before_its_own_write() -> None:
    history = stored(("k", "a"), ("k", "b"))
    history.add(put("k", "b", 3, compare={"k": "a"}))
    assert said("reads", history) == []
    history.operations[0].compare = {"k": "x"}
    assert len(said("reads", history)) == 1
    history.operations[0].succeeded = False
    history.operations[0].writes = {}
    assert said("reads", history) == []


def test_a_cache_that_has_a_deletion_which_an_old_etcd_forgot_is_known() -> None:
    """It is the first revision that a compaction has left (etcd issue 18089)."""
    history = stored(("k", "a"), ("k", None))
    history.operations.append(get(3, "a", 4.0, kind="cached list"))
    history.add(Operation("c", "compact", 3.1, 3.2, "ok", at=3))
    history.about["etcd"] = "3.5.30"
    assert len(said("reads", history)) == 1
    history.about["etcd"] = "3.4.23"
    assert said("reads", history) == []
    history.operations[0].kind = "list"
    assert len(said("reads", history)) == 1
