"""Recipes while worker processes are killed and connections break.

The environment variable RECIPES_STORM_SECONDS makes it longer; `pytest -rP` shows what happened.
"""

from __future__ import annotations

import os
import sys

import pytest
from recipes_storm import storm

SECONDS = float(os.environ.get("RECIPES_STORM_SECONDS", "3"))

# What the workers of each kind print when they have done what it is for.
DONE = {
    "queue": "got",
    "work-queue": "done",
    "partitioner": "counted",
    "counter": "added",
    "registration": "sees",
    "group": "sees",
}


@pytest.mark.parametrize("kind", DONE)
async def test_a_recipe_keeps_its_guarantees_and_leaves_nothing_in_a_storm(kind: str) -> None:
    found = await storm(kind, SECONDS)
    sys.stdout.write(f"{found}\n")
    assert found.complaints == []
    assert found.kills > 0
    assert found.events[DONE[kind]] > 0
    assert found.twice == 0
    # At most once: a killed consumer takes items with it, and an item of a get that failed is gone.
    assert found.lost == 0 or kind == "queue"
    # A producer that is killed may have put an item without a word.
    assert found.unknown == 0 or kind in ("queue", "work-queue")
    assert found.counts_lost == 0
    assert found.keys_left == []
    assert found.leases_left == 0
