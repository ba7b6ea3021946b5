"""examples/rate_limiter.py: processes share one limit."""

from __future__ import annotations

import signal
from collections import Counter

from example_program import PATIENT, nothing_is_left, running

from etcd_client import Client
from etcd_testing.plugin import ServerFactory


async def test_no_window_has_more_calls_than_the_limit(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    endpoint = etcd_server_factory().endpoint
    async with Client(endpoints=endpoint, **PATIENT) as client:
        async with running(
            "rate_limiter.py", f"--endpoints={endpoint}", prefix=key_prefix
        ) as example:
            await example.until("12 calls in", "no more than 5 in any: True")
            assert await example.status() == 0
        assert await nothing_is_left(client, key_prefix)
    windows = Counter(line.split()[-1] for line in example.lines if " makes call " in line)
    assert windows.total() == 12
    assert max(windows.values()) <= 5


async def test_a_limit_of_one_is_kept_by_one_process(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    endpoint = etcd_server_factory().endpoint
    async with Client(endpoints=endpoint, **PATIENT) as client:
        arguments = (f"--endpoints={endpoint}", "--limit=1", "--calls=2", "--caller=anna")
        async with running("rate_limiter.py", *arguments, prefix=key_prefix) as example:
            first = await example.until("anna makes call 1")
            second = await example.until("anna makes call 2")
            assert await example.status() == 0
        assert first.split()[-1] != second.split()[-1]
        # The window ends with its lease.
        await client.delete_prefix(key_prefix + b"calls/")
        assert await nothing_is_left(client, key_prefix)


async def test_a_caller_that_waits_for_the_next_window_ends_on_ctrl_c(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    endpoint = etcd_server_factory().endpoint
    arguments = (f"--endpoints={endpoint}", "--limit=1", "--window=600", "--caller=anna")
    async with running("rate_limiter.py", *arguments, prefix=key_prefix) as example:
        await example.until("anna makes call 1")
        example.send_signal(signal.SIGINT)
        assert await example.status() == 128 + signal.SIGINT
