"""A work queue: jobs are keys, and a worker claims the oldest one by a transaction.

python work_queue.py ENDPOINT PREFIX
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from etcd_client import Client, Delete, EventKind, KeyValue, Lease


@dataclass(frozen=True)
class Job:
    """A job that this worker has claimed."""

    key: bytes
    work: bytes
    attempt: int


class Queue:
    """Jobs under `<prefix>jobs/`, and the claims of workers under `<prefix>claims/`."""

    def __init__(self, client: Client, prefix: bytes) -> None:
        self._client = client
        self._jobs = prefix + b"jobs/"
        self._claims = prefix + b"claims/"

    async def add(self, work: bytes) -> int:
        """Add a job; return the revision at which it was added."""
        put = await self._client.put(self._jobs + work, work)
        return put.header.revision

    async def claim(self, lease: Lease) -> Job | None:
        """Claim the oldest job that nobody else has; None if there is none."""
        t = self._client.transactions
        waiting = await self._client.get_prefix(self._jobs, "ascend", "create", limit=100)
        for job in waiting:
            claim = self._claim_of(job)
            claimed, _ = await self._client.transaction(
                [t.version(claim) == 0, t.mod(job.key) == job.mod_revision],
                [t.put(claim, b"%d" % lease.id, lease)],
            )
            if claimed:
                return Job(job.key, job.value, job.version)
        return None

    async def next_job(self, lease: Lease) -> Job:
        """Claim a job; wait until there is one."""
        while (job := await self.claim(lease)) is None:
            await self._client.watch_prefix_once(self._jobs, kind=EventKind.PUT)
        return job

    async def done(self, job: Job, lease: Lease) -> bool:
        """Remove a job that was worked on; False if the claim was lost meanwhile."""
        t = self._client.transactions
        claim = self._claims + job.key.removeprefix(self._jobs)
        result = await self._client.transaction(
            [t.lease(claim) == lease, t.value(claim) == b"%d" % lease.id],
            [t.delete(job.key), t.delete(claim, prev_kv=True)],
        )
        if not result.succeeded:
            return False
        removed, released = result.deletes
        assert removed.deleted == 1
        assert released.prev_kvs[0].lease == lease.id
        return True

    async def drop(self, work: bytes) -> KeyValue | None:
        """Remove a job that nobody works on; return what it was."""
        dropped: Delete | None = await self._client.delete(self._jobs + work, prev_kv=True)
        return dropped.prev_kv if dropped is not None else None

    def _claim_of(self, job: KeyValue) -> bytes:
        return self._claims + job.key.removeprefix(self._jobs)


async def work(client: Client, prefix: bytes, done: list[bytes], count: int) -> None:
    """Work on jobs until `count` are done, by all workers together."""
    queue = Queue(client, prefix)
    async with client.lease(60, keep_alive=True) as lease:
        while len(done) < count:
            job = await queue.claim(lease)
            if job is None:
                await asyncio.sleep(0)
                continue
            if await queue.done(job, lease):
                done.append(job.work)


async def main(endpoint: str, prefix: bytes) -> None:
    async with Client(endpoints=endpoint) as client:
        queue = Queue(client, prefix)
        revisions = [await queue.add(b"job-%d" % number) for number in range(6)]
        assert revisions == sorted(revisions)
        dropped = await queue.drop(b"job-5")
        print(dropped.value.decode() if dropped is not None else "nothing was dropped")
        done: list[bytes] = []
        await asyncio.gather(*(work(client, prefix, done, 5) for _ in range(3)))
        print(*sorted(one.decode() for one in done))
        async with client.lease(60) as lease:
            waiting = asyncio.create_task(queue.next_job(lease))
            await asyncio.sleep(0)
            await queue.add(b"late")
            # The watch may have begun after the job was added: another one wakes the worker.
            while not waiting.done():
                await queue.add(b"late")
            print((await waiting).work.decode())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2].encode()))
