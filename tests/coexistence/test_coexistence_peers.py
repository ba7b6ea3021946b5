"""Other clients of etcd can be used in the same process, whichever is imported first.

Protobuf has one pool of names for the whole process, and every other client registers etcd's own
names there; this client registers different ones.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from peers import CLIENTS
from workspace import ROOT

TOOL = ROOT / "tools" / "peers.py"
BESIDE = Path(__file__).with_name("beside.py")


@pytest.mark.peers
@pytest.mark.parametrize("peer", CLIENTS, indirect=True)
@pytest.mark.parametrize("order", ["first", "last"])
async def test_a_peer_and_this_client_read_each_others_keys_in_one_process(
    peer: str, order: str, etcd_endpoint: str, key_prefix: bytes
) -> None:
    program = await asyncio.create_subprocess_exec(
        *[sys.executable, str(TOOL), peer],
        *[str(BESIDE), peer, order, etcd_endpoint, key_prefix.decode()],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(program.communicate(), 60)
    assert program.returncode == 0, said.decode()
    assert said.decode() == f"{peer} and etcd-kv read each other's keys\n"
