"""The table of the report names what exists, and counts what a history has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from judged import put, stored, watched, watching
from programme.broken import BROKEN
from programme.found import Judged
from programme.history import Fault, Scenario
from programme.injector import FAULTS
from programme.judges import JUDGES, judge_all
from programme.report import report
from programme.scenarios import SCENARIOS
from programme.table import HEAD, ROWS, Row, cells

ROOT = Path(__file__).parents[2]
CLIENT_SIGNALS = {"client SIGSTOP", "client SIGKILL", "client SIGTERM"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_names_what_exists(row: Row) -> None:
    assert set(row.faults) <= {*FAULTS, *CLIENT_SIGNALS}
    assert set(row.judges) <= set(JUDGES)
    assert set(row.scenarios) <= set(SCENARIOS)
    for test in row.tests:
        path, name = test.split("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test
    assert row.judges or row.scenarios or row.tests


def test_there_is_a_row_for_each_number_and_each_scenario_is_in_one() -> None:
    assert [row.name for row in ROWS] == [f"T{number}" for number in range(1, 17)]
    assert {name for row in ROWS for name in row.scenarios} == set(SCENARIOS)


def test_a_row_counts_its_faults_what_was_in_progress_and_the_problems_of_its_judges() -> None:
    history = stored(("k", "a"), ("k", "b"), ("k", "c"), ("k", "b"))
    history.about.update(etcd="3.5.30", seed=1, took=9.0)
    history.operations += [put("k", "a", 2), put("k", "b", 3), put("k", "c", 4), put("k", "d", 8)]
    history.faults += [Fault("SIGKILL", "m0", 2.7, 3.7), Fault("reset", "m0", 3.2, 9.0)]
    watched(history, watching(history)[:2], end="complete")
    judged = Judged(history, judge_all(history))
    killed = dict(zip(HEAD, cells(ROWS[0], [judged]), strict=True))
    assert (killed["times"], killed["operations"]) == (1, 2)
    assert (killed["lost"], killed["repeated"], killed["silent"]) == (1, 1, 0)
    watching_killed = dict(zip(HEAD, cells(ROWS[3], [judged]), strict=True))
    assert watching_killed["silent"] == 2
    assert dict(zip(HEAD, cells(ROWS[2], [judged]), strict=True))["times"] == 0
    assert "| T16 |" in report([judged], [])


def test_a_process_that_was_stopped_for_less_than_its_lease_does_not_count() -> None:
    history = stored(("k", "a"))
    history.faults += [
        Fault("client SIGSTOP", "process", 2.0, 4.0),
        Fault("client SIGSTOP", "process", 5.0, 10.0),
        Fault("client SIGKILL", "process", 11.0, 11.0),
    ]
    [row] = [row for row in ROWS if row.name == "T9"]
    counted = dict(zip(HEAD, cells(row, [Judged(history, judge_all(history))]), strict=True))
    assert counted["times"] == 1


def test_a_scenario_is_counted_in_its_row_and_judged() -> None:
    history = stored(("k", "a"))
    history.operations.append(put("k", "a", 2))
    problems = ["silent: no error", "over-claimed: a lease"]
    history.add(Scenario("blocked loop", 2, 7, problems))
    verdicts = judge_all(history)
    assert verdicts["scenarios"].checked == 7
    assert len(verdicts["scenarios"].problems) == 2
    [row] = [row for row in ROWS if row.name == "T9"]
    counted = dict(zip(HEAD, cells(row, [Judged(history, verdicts)]), strict=True))
    assert (counted["times"], counted["operations"]) == (2, 7)
    assert (counted["over-claimed"], counted["silent"]) == (1, 1)


def test_a_kind_of_call_that_is_never_served_again_is_silent() -> None:
    history = stored(("k", "a"))
    history.operations.append(put("k", "a", 2))
    history.add(Fault("SIGSTOP", "m0", 2.0, 3.0, {"read": 0.5, "watch": 60.0}))
    [problem] = judge_all(history)["recovery"].problems
    assert problem.startswith("silent: no watch")
    history.about["longest"] = 0.5
    assert len(judge_all(history)["recovery"].problems) == 2


def test_each_judge_of_a_client_has_a_broken_one_that_it_must_notice() -> None:
    # The judge of the members looks at etcd alone.
    assert {each.judge for each in BROKEN} == {*JUDGES} - {"truth"}


def test_a_judge_that_had_nothing_to_look_at_is_named() -> None:
    history = stored(("k", "a"))
    history.operations.append(put("k", "a", 2))
    history.about.update(etcd="3.5.30", seed=1, took=9.0, scenarios=False, faults=[])
    judged = Judged(history, judge_all(history))
    assert judged.idle == ["reads", "watches", "leases", "locks", "left"]
    assert str(judged.verdicts["watches"]) == "watches: NOTHING CHECKED"
    assert "| watches | **NOTHING** | 0 |" in report([judged], [])
    history.about.update(scenarios=True, faults=["SIGKILL"])
    assert Judged(history, judged.verdicts).idle[-2:] == ["recovery", "scenarios"]
