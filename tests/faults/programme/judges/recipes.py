"""What a counter, a queue and a work queue promise to all who share them.

An addition is made once, and no sum is returned twice. An item of a queue is returned at most once,
and is lost only with a call whose outcome is unknown. A job is worked on, and ends once.
"""

from __future__ import annotations

from collections import Counter

from programme.history import History, Used
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["COUNTER", "DONE", "PREFIX", "judge"]

PREFIX = "recipes/"
COUNTER = f"{PREFIX}counter"
DONE = f"{PREFIX}done/"
"""The prefix of the keys that say that a job was worked on, by the holder of its claim."""


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("recipes", len(history.used))
    _judge_counter(verdict, _of(history, "counter", "add"), replay)
    _judge_queue(verdict, history)
    _judge_jobs(verdict, history, replay)
    return verdict


def _of(history: History, recipe: str, kind: str) -> list[Used]:
    return [used for used in history.used if (used.recipe, used.kind) == (recipe, kind)]


def _judge_counter(verdict: Verdict, additions: list[Used], replay: Replay) -> None:
    before = 0
    for change in replay.keys.get(COUNTER, []):
        number = int(change.value or 0)
        if number != before + 1:
            verdict.say(f"lost: the counter went from {before} to {number} at {change.revision}")
        before = number
    sums = Counter(int(used.item) for used in additions if used.outcome == "ok")
    for number in sorted(number for number, times in sums.items() if times > 1):
        verdict.say(f"repeated: {sums[number]} additions returned {number}")
    stored = {int(change.value or 0) for change in replay.keys.get(COUNTER, [])}
    for number in sorted(sums.keys() - stored):
        verdict.say(f"lost: an addition returned {number}, which the counter never was")
    # As many repetitions as additions of unknown outcome that were not made stay unnoticed.
    possible = len(additions) - sum(used.outcome == "definite" for used in additions)
    if before > possible:
        verdict.say(f"repeated: the counter is {before} after {possible} additions")


def _judge_queue(verdict: Verdict, history: History) -> None:
    puts = {used.item: used for used in _of(history, "queue", "put")}
    gets = _of(history, "queue", "get")
    got = Counter(used.item for used in gets if used.outcome == "ok" and used.item)
    for item, times in got.items():
        if times > 1:
            verdict.say(f"repeated: the item {item} was returned {times} times")
        if item not in puts or puts[item].outcome == "definite":
            verdict.say(f"failed but applied: the item {item} was returned, and nobody has put it")
    missing = [item for item, used in puts.items() if used.outcome == "ok" and item not in got]
    # A call whose outcome is unknown may have taken one.
    unknown = sum(used.outcome == "indefinite" for used in gets)
    if len(missing) > unknown:
        verdict.say(
            f"lost: {len(missing)} items, of which {unknown} may have been taken: {missing}"
        )


def _judge_jobs(verdict: Verdict, history: History, replay: Replay) -> None:
    puts = {used.item: used for used in _of(history, "work queue", "put")}
    ended = [used for used in _of(history, "work queue", "done") if used.item]
    done = Counter(used.item for used in ended if used.outcome == "ok")
    worked_on = {key[len(DONE) :] for key in replay.keys if key.startswith(DONE)}
    for item, times in done.items():
        if times > 1:
            verdict.say(f"repeated: the job {item} ended {times} times")
        if item not in worked_on:
            verdict.say(f"lost: the job {item} ended, and nobody has worked on it")
    for item in worked_on:
        if item not in puts or puts[item].outcome == "definite":
            verdict.say(f"failed but applied: the job {item} was worked on, and nobody has put it")
    for item, used in puts.items():
        if used.outcome == "ok" and item not in worked_on:
            verdict.say(f"lost: the job {item} was put, and nobody has worked on it")
