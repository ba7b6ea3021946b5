"""examples/leader.py: only the leader works, and another one takes over."""

from __future__ import annotations

import signal

from example_program import PATIENT, nothing_is_left, running

from etcd_client import Client
from etcd_testing.plugin import ServerFactory


async def test_leaders_that_are_killed_or_stopped_are_replaced(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    endpoint = etcd_server_factory().endpoint
    async with Client(endpoints=endpoint, **PATIENT) as client:
        arguments = (f"--endpoints={endpoint}", "--ttl=1")
        async with running("leader.py", *arguments, prefix=key_prefix) as example:
            killed = (await example.until("SIGKILL to")).split()[-1]
            stopped = (await example.until("SIGSTOP to")).split()[-1]
            assert stopped != killed
            await example.until("SIGCONT to", stopped)
            await example.until(f"{stopped} does not lead any more")
            await example.until("steps", "each done once: True")
            assert await example.status() == 0
        assert await nothing_is_left(client, key_prefix)


async def test_a_worker_that_loses_its_lease_leads_again_in_another_term(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    endpoint = etcd_server_factory().endpoint
    async with Client(endpoints=endpoint, **PATIENT) as client:
        arguments = (f"--endpoints={endpoint}", "--worker=anna", "--ttl=30")
        async with running("leader.py", *arguments, prefix=key_prefix) as example:
            first = int((await example.until("anna leads")).split()[-1])
            for lease in await client.leases():
                await client.revoke_lease(lease)
            second = int((await example.until("anna leads")).split()[-1])
            assert second > first
            example.send_signal(signal.SIGTERM)
            assert await example.status() == 128 + signal.SIGTERM
        # It resigns as it ends: its lease, which would live on, is revoked.
        assert await client.leases() == []
        assert (await client.get_prefix(key_prefix + b"leader/", count_only=True)).count == 0


async def test_ctrl_c_ends_the_workers_and_removes_the_keys(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    endpoint = etcd_server_factory().endpoint
    async with Client(endpoints=endpoint, **PATIENT) as client:
        arguments = (f"--endpoints={endpoint}", "--ttl=30")
        async with running("leader.py", *arguments, prefix=key_prefix) as example:
            await example.until("leads")
            example.send_signal(signal.SIGINT)
            assert await example.status() == 128 + signal.SIGINT
        assert await nothing_is_left(client, key_prefix)
