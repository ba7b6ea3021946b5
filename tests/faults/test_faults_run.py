"""How a run ends that breaks."""

from __future__ import annotations

import asyncio

import pytest
from programme.history import History
from programme.run import Plan, run


async def test_the_traffic_of_a_run_that_breaks_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History()

    async def strike(*_: object) -> None:
        while not history.holds:  # noqa: ASYNC110  # a record is no event
            await asyncio.sleep(0.01)
        raise RuntimeError("a task has failed")

    monkeypatch.setattr("programme.run._strike", strike)
    plan = Plan(1, followers=False, processes=False, ours=False)
    before = asyncio.all_tasks()
    with pytest.raises(RuntimeError, match="a task has failed"):
        await run(plan, history)
    left = asyncio.all_tasks() - before
    if left:
        _, going_on = await asyncio.wait(left, timeout=60.0)
        assert not going_on
