"""The memory of a scan does not grow with the range."""

from __future__ import annotations

import asyncio
import sys

import pytest

from etcd_kv import KVClient

# Prints by how much the peak of the resident memory grew while a prefix was scanned.
PROGRAM = """
import asyncio, sys
from etcd_channel import Channel
from etcd_kv import KVClient

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024

async def main(endpoint, prefix):
    async with Channel(endpoint) as channel:
        kv = KVClient(channel)
        warm = [item async for item in kv.scan_prefix(prefix, limit=300, keys_only=True)]
        before = peak()
        count = 0
        for reverse in (False, True):
            async for item in kv.scan_prefix(prefix, reverse=reverse):
                count += len(item.value)
        print(count, peak() - before)

asyncio.run(main(sys.argv[1], bytes.fromhex(sys.argv[2])))
"""
VALUE = 5000
KEYS = 16_000


@pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="only /proc has the peak of this process alone: ru_maxrss begins with its parent's",
)
async def test_a_scan_of_eighty_megabytes_needs_a_part_of_that(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put_many((key_prefix + b"%05d" % number, bytes(VALUE)) for number in range(KEYS))
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        etcd_endpoint,
        key_prefix.hex(),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await program.communicate()
    assert program.returncode == 0
    size, grown = map(int, output.split())
    assert size == 2 * KEYS * VALUE
    # Two pages of a MiB, their messages, and what gRPC and malloc keep; the range is 80 MB.
    assert grown < 32_000_000
    await kv.delete_prefix(key_prefix)
