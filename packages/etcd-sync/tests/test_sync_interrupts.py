"""Interrupts at random moments, also between the steps of a call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("sync_interrupts.py")


def test_no_interrupt_leaves_a_call_a_block_or_a_task_behind() -> None:
    ended = subprocess.run(
        [sys.executable, str(PROGRAM), "300"], capture_output=True, text=True, timeout=300
    )
    assert (ended.stdout, ended.stderr) == ("300 rounds\n", "")
    assert ended.returncode == 0
