"""The program that runs on aetcd and on this client is judged for each of them."""

from __future__ import annotations

from judged import put, stored, watched, watching
from programme.found import Judged
from programme.history import History
from programme.judges import JUDGES, judge_all
from programme.replay import Replay
from programme.report import report
from programme.yardstick import Measured


def measured(history: History) -> Measured:
    verdicts = {name: JUDGES[name](history, Replay(history)) for name in ("writes", "watches")}
    return Measured("T4", "a client", Judged(history, verdicts), 2)


def test_what_a_client_missed_in_silence_is_counted() -> None:
    history = stored(("k", "a"), ("k", "b"), ("k", "c"))
    history.about.update(etcd="3.5.30", seed=1, took=9.0)
    history.operations += [put("k", "a", 2), put("k", "b", 3), put("k", "c", 4)]
    watched(history, watching(history)[:1], end="complete")
    judged = Judged(history, judge_all(history))
    section = report([judged], [], [measured(history)]).partition("## The yardstick")[2]
    row = section.partition("| T4 |")[2].partition("\n")[0]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[-3:-1] == ["2", "2"]
    assert cells[5:9] == ["0", "0", "0", "1.0 s"]


def test_the_longest_time_without_a_write_is_that_of_one_connection() -> None:
    history = stored(("k", "a"), ("k", "b"), ("k", "c"))
    history.operations += [
        put("k", "a", 2),
        put("k", "b", 3, client="other"),
        put("k", "lost", 0, call=3.2, end=3.3),
        put("k", "c", 4),
    ]
    assert round(measured(history).longest_gap, 3) == 2.0
