"""Locks while worker processes are killed and connections break, as etcd judges by transactions.

The environment variable LOCK_STORM_SECONDS makes it longer; `pytest -rP` shows what happened.
"""

from __future__ import annotations

import os
import sys

import pytest
from lock_storm import KINDS, storm

SECONDS = float(os.environ.get("LOCK_STORM_SECONDS", "3"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_lock_excludes_and_leaves_nothing_in_a_storm(kind: str) -> None:
    found = await storm(kind, SECONDS)
    sys.stdout.write(f"{found}\n")
    assert found.complaints == []
    assert found.events["inside"] > 0
    assert found.kills > 0
    # Two holders at the same time would lose increments.
    assert found.counter >= found.events["counted"]
    assert found.keys_left == []
    assert found.leases_left == 0
