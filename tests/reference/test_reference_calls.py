"""This client accepts what the reference accepts; docs/from/aetcd.md lists the differences.

The tables there have every call of reference_calls.txt whose results differ, and both results.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
from workspace import ROOT

from etcd_testing.plugin import ServerFactory

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("reference_environment")]

PROGRAM = Path(__file__).with_name("reference_calls.py")
REFERENCE = [sys.executable, "-W", "ignore", str(ROOT / "tools" / "peers.py"), "aetcd"]
DOCUMENT = ROOT / "docs" / "from" / "aetcd.md"
RUNS = 3

_ROW = re.compile(r"\| `(?P<call>.+)` \| `(?P<theirs>.+)` \| `(?P<ours>.+)` \|")


def documented() -> dict[str, tuple[str, str]]:
    rows = filter(None, map(_ROW.fullmatch, DOCUMENT.read_text(encoding="utf-8").splitlines()))
    return {row["call"]: (row["theirs"], row["ours"]) for row in rows}


async def seen_by(python: list[str], server_factory: ServerFactory) -> dict[str, str]:
    # The program deletes all keys and raises alarms, so it needs a separate server.
    server = server_factory()
    program = await asyncio.create_subprocess_exec(
        *[*python, str(PROGRAM), server.host, str(server.client_port)],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(program.communicate(), 110)
    if program.returncode:
        return {"the program": complained.decode()}
    lines = [json.loads(line) for line in said.decode().splitlines()]
    return {line["call"]: line["seen"] for line in lines}


async def test_the_documentation_lists_all_differences_from_the_reference(
    etcd_server_factory: ServerFactory,
) -> None:
    ours: dict[str, str] = {}
    theirs: dict[str, str] = {}
    different: dict[str, tuple[str, str]] = {}
    # The reference does not repeat calls, and fails if a member stalls on a busy machine; ours does
    # where a timeout is tested.
    for _ in range(RUNS):
        ours = await seen_by([sys.executable], etcd_server_factory)
        theirs = await seen_by(REFERENCE, etcd_server_factory)
        different = {
            call: (theirs.get(call, "not called"), seen)
            for call, seen in ours.items()
            if theirs.get(call) != seen
        }
        if different == documented():
            break
    assert len(ours) > 300, ours.get("the program")
    assert different == documented(), theirs.get("the program")
