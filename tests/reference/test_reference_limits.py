"""The rate limiter `limits`, whose storage on etcd was written for aetcd, runs on this client."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from peers import UNREACHABLE
from workspace import ROOT

from etcd_testing.plugin import ServerFactory

LIMITS = [sys.executable, str(ROOT / "tools" / "peers.py"), "limits"]
PROGRAM = Path(__file__).with_name("limiter.py")
EXPECTED = """\
check: True
fixed window, before: True
fixed window, hits: [True, True, True, False, False]
fixed window, after: False
fixed window, remaining: (0, True)
fixed window, another: True
fixed window, cleared: True
elastic window, hits: [True, True, False]
moving window: not implemented
at once, all accounted for: True
at once, none lost: True
reset: 4
reset again: 0
"""


@pytest.fixture
def limits_environment() -> None:
    """The environment of the limiter and etcd-client, made if it does not exist."""
    made = subprocess.run([*LIMITS, "-c", ""], capture_output=True, text=True, timeout=300)
    if made.returncode == UNREACHABLE:
        pytest.skip("LIMITS NOT TESTED: THE PACKAGE INDEX CANNOT BE REACHED")
    assert made.returncode == 0, made.stderr


@pytest.mark.peers
@pytest.mark.usefixtures("limits_environment")
async def test_a_rate_limiter_that_was_written_for_aetcd_works_with_this_client(
    etcd_server_factory: ServerFactory,
) -> None:
    server = etcd_server_factory()
    program = await asyncio.create_subprocess_exec(
        *[*LIMITS, str(PROGRAM), server.host, str(server.client_port)],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(program.communicate(), 100)
    assert complained.decode() == ""
    assert said.decode() == EXPECTED
