"""A worker of a storm of recipes: `recipes_storm_worker.py KIND ENDPOINT`, until it gets SIGTERM.

It prints a line for each event: `put ID` and `maybe ID` (the outcome of the put is unknown),
`got ID` of a queue, `done ID` of a job, `counted PART` of a part, and `VIOLATION …`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable

from etcd_channel import Channel, ClientError
from etcd_kv import KVClient
from etcd_lock import Session
from etcd_recipes import Part, RecipeClient

__all__ = ["COUNTERS", "NAME", "PARTS", "RECORDS", "work_on_jobs"]

NAME = b"storm"
PARTS = tuple(b"part-%d" % number for number in range(6))
RECORDS = b"record/"
COUNTERS = b"counter/"
# Seconds. The leases of killed workers must end soon; etcd grants no less than two.
TTL = 3
TASKS = 3


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def produce(put: Callable[[bytes], Awaitable[object]]) -> None:
    """Put items, each once, whatever the outcome."""
    while True:
        item = uuid.uuid4().hex
        try:
            await put(item.encode())
            say("put", item)
        except ClientError as error:
            if not error.definite:
                say("maybe", item)
        await asyncio.sleep(random.random() * 0.05)


async def queue(recipes: RecipeClient, kv: KVClient) -> None:
    queue = recipes.queue(NAME)

    async def consume() -> None:
        while True:
            try:
                # Short, so that it often ends while an item is being taken.
                item = await queue.get(timeout=random.random() * 0.1)
                if item is not None:
                    say("got", item.decode())
            except ClientError:  # noqa: PERF203  # an item may have been taken and lost
                await asyncio.sleep(0.05)

    await asyncio.gather(produce(queue.put), *(consume() for _ in range(TASKS)))


async def work_on_jobs(recipes: RecipeClient, kv: KVClient) -> None:
    """Take jobs; the holder of the claim alone can record that it has worked on one."""
    jobs = recipes.work_queue(NAME)
    while True:
        try:
            async with Session(recipes.channel, TTL) as session:
                while True:
                    job = await jobs.take(session, timeout=5)
                    if job is None:
                        continue
                    put = kv.transactions.put(RECORDS + job.value, b"")
                    await kv.transaction([job.ownership()], [put])
                    if random.random() < 0.1:
                        await job.give_back()
                    elif await job.done():
                        say("done", job.value.decode())
        except ClientError:  # a fault, or a claim that was lost by one
            await asyncio.sleep(0.05)


async def work_queue(recipes: RecipeClient, kv: KVClient) -> None:
    put = recipes.work_queue(NAME).put
    await asyncio.gather(produce(put), *(work_on_jobs(recipes, kv) for _ in range(TASKS)))


async def partitioner(recipes: RecipeClient, kv: KVClient) -> None:
    txn = kv.transactions

    async def count(part: Part) -> None:
        """Count by a read and a guarded write: two owners would lose counts."""
        key = COUNTERS + part.name
        while True:
            try:
                found = await kv.get(key)
                number, token = map(int, found.value.split()) if found else (0, 0)
                await asyncio.sleep(0)
                put = txn.put(key, b"%d %d" % (number + 1, part.fencing_token))
                if (await kv.transaction([part.ownership()], [put])).succeeded:
                    say("counted", part.name.decode())
                    if token > part.fencing_token:
                        say("VIOLATION", f"{part} wrote after the owner with the token {token}")
            except ClientError:
                pass
            await asyncio.sleep(random.random() * 0.05)

    async def one_member() -> None:
        await recipes.partitioner(NAME, PARTS, ttl=TTL).run(count)

    await asyncio.gather(one_member(), one_member())


KINDS = {"queue": queue, "work-queue": work_queue, "partitioner": partitioner}


async def main(kind: str, endpoint: str) -> None:
    logging.disable()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # Not by `async with`, which would connect: that may fail in a storm.
    channel = Channel(endpoint, connect_timeout=1, timeout=3)
    try:
        work = asyncio.create_task(KINDS[kind](RecipeClient(channel), KVClient(channel)))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            say("VIOLATION", f"the work has ended: {work!r}")
        work.cancel()
        stopping.cancel()
        await asyncio.wait([work, stopping])
    finally:
        await channel.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
