"""The environments of other clients of etcd."""

from __future__ import annotations

import subprocess
import sys

import pytest
from peers import UNREACHABLE
from workspace import ROOT


@pytest.fixture(scope="session")
def peer(request: pytest.FixtureRequest) -> str:
    """The name of a peer, from the parameter; its environment exists."""
    name: str = request.param
    made = subprocess.run(
        [sys.executable, ROOT / "tools" / "peers.py", name, "-c", ""],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if made.returncode == UNREACHABLE:
        pytest.skip(f"{name.upper()} NOT TESTED: THE PACKAGE INDEX CANNOT BE REACHED")
    assert made.returncode == 0, made.stderr
    return name
