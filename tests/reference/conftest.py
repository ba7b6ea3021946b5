"""The environment of the reference, aetcd 1.0.0."""

from __future__ import annotations

import subprocess
import sys

import pytest
from peers import UNREACHABLE
from workspace import ROOT


@pytest.fixture(scope="session")
def reference_environment() -> None:
    """The environment of the reference, made if it does not exist."""
    tool = [sys.executable, str(ROOT / "tools" / "peers.py"), "aetcd", "-c", ""]
    made = subprocess.run(tool, capture_output=True, text=True, timeout=300)
    if made.returncode == UNREACHABLE:
        pytest.skip("AETCD NOT TESTED: THE PACKAGE INDEX CANNOT BE REACHED")
    assert made.returncode == 0, made.stderr
