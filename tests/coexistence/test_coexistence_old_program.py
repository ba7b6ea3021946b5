"""The program that tests compatibility with old code also runs on the reference."""

from __future__ import annotations

import asyncio
import sys

import pytest
from workspace import ROOT

from etcd_testing.plugin import ServerFactory

OLD_PROGRAM = ROOT / "packages" / "etcd-client" / "tests" / "old_program.py"


@pytest.mark.peers
@pytest.mark.parametrize("peer", ["aetcd"], indirect=True)
async def test_the_reference_prints_the_expected_output(
    peer: str, etcd_server_factory: ServerFactory
) -> None:
    server = etcd_server_factory()
    program = await asyncio.create_subprocess_exec(
        *[sys.executable, str(ROOT / "tools" / "peers.py"), peer, str(OLD_PROGRAM)],
        *[server.host, str(server.client_port), "/old/"],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(program.communicate(), 60)
    expected = OLD_PROGRAM.with_suffix(".txt").read_text(encoding="utf-8")
    assert said.decode().splitlines() == expected.splitlines()
