"""examples/job_queue.py: a crash loses no job, and each is completed once."""

from __future__ import annotations

import signal

from example_program import PATIENT, nothing_is_left, running

from etcd_client import Client
from etcd_testing.plugin import ServerFactory


async def test_the_jobs_of_workers_that_are_killed_are_done_by_others(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    endpoint = etcd_server_factory().endpoint
    async with Client(endpoints=endpoint) as client:
        arguments = (f"--endpoints={endpoint}", "--ttl=5", "--jobs=12")
        async with running("job_queue.py", *arguments, prefix=key_prefix) as example:
            await example.until("11 of 12 jobs are done, 1 failed, each recorded once: True")
            assert await example.status() == 0
        assert await nothing_is_left(client, key_prefix)
    assert sum("SIGKILL by job-02" in line for line in example.lines) == 1
    assert sum("SIGKILL by job-03" in line for line in example.lines) == 2
    assert "  job-03 kills always: a dead letter after 2 attempts" in example.lines
    (again,) = (line for line in example.lines if line.startswith("  job-02: by"))
    assert not again.endswith("attempt 1")


async def test_a_worker_leaves_a_job_to_others_when_its_lease_is_lost(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    endpoint = etcd_server_factory().endpoint
    async with Client(endpoints=endpoint, **PATIENT) as client:
        arguments = (f"--endpoints={endpoint}", "--ttl=30", "--worker=anna")
        async with (
            running("job_queue.py", *arguments, prefix=key_prefix) as example,
            client.watch_prefix(key_prefix + b"queue/claims/") as watch,
        ):
            await client.work_queue(key_prefix + b"queue").put(b"job is harmless")
            async for event in watch:
                if event.kv.lease:
                    await client.revoke_lease(event.kv.lease)
                    break
            await example.until("anna has done job, attempt 2")
            result = await client.get(key_prefix + b"results/job")
            assert result is not None
            assert result.value == b"by anna, attempt 2"
            example.send_signal(signal.SIGINT)
            assert await example.status() == 128 + signal.SIGINT
        assert await client.leases() == []
