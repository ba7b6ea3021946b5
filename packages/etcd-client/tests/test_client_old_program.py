"""A program that was written for the reference runs unchanged, with the same output."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from etcd_testing.plugin import ServerFactory

PROGRAM = Path(__file__).with_name("old_program.py")
# What the program prints on aetcd 1.0.0; tests/coexistence runs it there.
EXPECTED = Path(__file__).with_name("old_program.txt")


async def test_an_old_program_prints_what_it_printed_with_the_reference(
    etcd_server_factory: ServerFactory,
) -> None:
    # The program compacts and reads all keys, so it needs a separate server.
    server = etcd_server_factory()
    program = await asyncio.create_subprocess_exec(
        *[sys.executable, "-W", "error", str(PROGRAM)],
        *[server.host, str(server.client_port), "/old/"],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(program.communicate(), 60)
    assert complained.decode() == ""
    assert said.decode().splitlines() == EXPECTED.read_text(encoding="utf-8").splitlines()
    assert program.returncode == 0
