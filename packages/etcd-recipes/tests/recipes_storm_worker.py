"""A worker of a storm of recipes: `recipes_storm_worker.py KIND ENDPOINT`, until it gets SIGTERM.

It prints a line for each event: `put ID` and `maybe ID` (the outcome of the put is unknown),
`got ID` of a queue, `done ID` of a job, `counted PART` of a part, `added SUM` of a counter, and
`VIOLATION …`. A member of a group or an instance of a service prints `is ID` once, and
`sees ID,ID…` for each state of the group or list that it learns of, without those that leave soon.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from etcd_channel import Channel, ClientError
from etcd_kv import KVClient
from etcd_lock import Session
from etcd_recipes import Counter, Part, RecipeClient

__all__ = ["COUNTERS", "LASTING", "NAME", "PARTS", "RECORDS", "TASKS", "work_on_jobs"]

NAME = b"storm"
PARTS = tuple(b"part-%d" % number for number in range(6))
RECORDS = b"record/"
COUNTERS = b"counter/"
# How the names of members and instances begin that stay as long as their process.
LASTING = b"lasting-"
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


async def counter(recipes: RecipeClient, kv: KVClient) -> None:
    # Two of the tasks share an object.
    one, two = recipes.counter(NAME), recipes.counter(NAME)

    async def add(counter: Counter) -> None:
        while True:
            try:
                say("added", str(await counter.add()))
            except ClientError as error:
                if not error.definite:
                    say("maybe", uuid.uuid4().hex)
            await asyncio.sleep(random.random() * 0.02)

    await asyncio.gather(add(one), add(one), add(two))


Stay = Callable[[bytes], AbstractAsyncContextManager[object]]


async def stay(name: bytes, there: Stay) -> None:
    """Be there under a name as long as the process, and again after each loss."""
    said = False
    while True:
        try:
            async with there(name):
                if not said:
                    say("is", name.decode())
                said = True
                await asyncio.get_running_loop().create_future()
        except ClientError:  # noqa: PERF203  # a fault, or a loss by one
            await asyncio.sleep(0.05)


async def come_and_go(there: Stay) -> None:
    """Be there for short times, each time under another name."""
    while True:
        try:
            async with there(uuid.uuid4().hex.encode()):
                await asyncio.sleep(random.random() * 0.5)
        except ClientError:  # noqa: PERF203  # as in `stay`
            await asyncio.sleep(0.05)


def say_who_is_there(names: Iterable[bytes]) -> None:
    say("sees", ",".join(sorted(name.decode() for name in names if name.startswith(LASTING))))


async def registration(recipes: RecipeClient, kv: KVClient) -> None:
    def there(name: bytes) -> AbstractAsyncContextManager[object]:
        return recipes.registration(NAME, "127.0.0.1:1", instance=name, ttl=TTL, timeout=5)

    async def follow() -> None:
        async with recipes.discovery(NAME, timeout=None) as services:
            async with aclosing(services.changes()) as changes:
                async for found in changes:
                    say_who_is_there(each.key[len(NAME) + 1 :] for each in found)

    lasting = LASTING + uuid.uuid4().hex.encode()
    await asyncio.gather(follow(), stay(lasting, there), come_and_go(there))


async def group(recipes: RecipeClient, kv: KVClient) -> None:
    @asynccontextmanager
    async def there(name: bytes) -> AsyncIterator[None]:
        async with Session(recipes.channel, TTL, cancel_on_loss=True) as session:
            async with recipes.group(NAME).member(session, member=name):
                yield

    async def follow() -> None:
        while True:
            try:
                async with aclosing(recipes.group(NAME).changes()) as changes:
                    async for members in changes:
                        say_who_is_there(members)
            except ClientError:  # noqa: PERF203  # its first read failed
                await asyncio.sleep(0.05)

    lasting = LASTING + uuid.uuid4().hex.encode()
    await asyncio.gather(follow(), stay(lasting, there), come_and_go(there))


KINDS = {
    "queue": queue,
    "work-queue": work_queue,
    "partitioner": partitioner,
    "counter": counter,
    "registration": registration,
    "group": group,
}


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
