"""Which of us leads, and how does only the leader work, even after it was killed or stopped?

python examples/leader.py                                   three workers on an etcd of its own
python examples/leader.py --endpoints a:2379,b:2379         the same on yours
python examples/leader.py --endpoints a:2379 --worker me    one worker, until Ctrl-C

Without --worker it kills the first leader by SIGKILL, stops the second one by SIGSTOP for longer
than its lease lives, lets it continue, and checks the record that the leaders have left in etcd.

Guaranteed: every step is recorded once, by the worker that led at that moment. A leader that was
stopped and does not know yet that it was replaced cannot write: its transactions compare the key
of its candidacy (`ownership`), and change nothing.
Not guaranteed: that nobody believes to lead beside the leader. Work that is done outside of etcd
has to check the term (the fencing token) itself, as fenced_file.py shows. After a SIGKILL
nobody leads until the lease has ended, --ttl seconds and a little more.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import demonstration

from etcd_client import (
    Client,
    ClientError,
    Election,
    KeyValue,
    LeaseExpiredError,
    LockLostError,
)

PAUSE = 0.1
"""Seconds between two steps of a leader."""


async def worker(client: Client, prefix: bytes, name: str, ttl: int) -> None:
    """Stand for election again and again, and work while leading."""
    while True:
        try:
            async with client.session(ttl) as session:
                election = Election(session, prefix + b"leader")
                await election.campaign(name.encode())
                print(f"{name} leads, term {election.fencing_token}")
                await lead(client, election, prefix, name)
                print(f"{name} does not lead any more")
        except (LockLostError, LeaseExpiredError) as error:
            print(f"{name} campaigns again: {error}")
        except ClientError as error:
            print(f"{name} waits for etcd: {error}")
            await asyncio.sleep(1)


async def lead(client: Client, election: Election, prefix: bytes, name: str) -> None:
    """Do one step of the work after the other, until one is refused."""
    txn = client.transactions
    counter = prefix + b"steps"
    done = await client.get(counter)
    step = int(done.value) if done is not None else 0
    while True:
        step += 1
        record = f"{election.fencing_token} {name}".encode()
        result = await client.transaction(
            [election.ownership()],
            [txn.put(counter, b"%d" % step), txn.put(prefix + b"step/%08d" % step, record)],
        )
        if not result.succeeded:
            return
        await asyncio.sleep(PAUSE)


async def demonstrate(client: Client, prefix: bytes, processes: demonstration.Processes) -> bool:
    """Kill one leader and stop another; return whether the record is in order."""
    leaders = client.observe_election(prefix + b"leader")
    async with contextlib.aclosing(leaders), processes:
        workers = {}
        for name in ("anna", "ben", "carla"):
            workers[name.encode()] = await processes.start(f"--worker={name}")
        first = await next_leader(client, prefix, leaders)
        print(f"SIGKILL to {first.decode()}")
        workers[first].kill()
        second = await next_leader(client, prefix, leaders)
        print(f"SIGSTOP to {second.decode()}")
        workers[second].send_signal(signal.SIGSTOP)
        await next_leader(client, prefix, leaders)
        print(f"SIGCONT to {second.decode()}")
        workers[second].send_signal(signal.SIGCONT)
        # It stands for election again, behind the leader.
        async with client.watch_prefix(prefix + b"leader/") as queue:
            while (await client.get_prefix(prefix + b"leader/", count_only=True)).count < 2:
                await queue.__anext__()
    steps = await client.get_prefix(prefix + b"step/")
    terms = [int(step.value.split()[0]) for step in steps]
    once = all(step.version == 1 for step in steps)
    print(f"{len(steps)} steps in {len(set(terms))} terms, each done once: {once}")
    return once and terms == sorted(terms)


async def next_leader(client: Client, prefix: bytes, leaders: AsyncIterator[KeyValue]) -> bytes:
    """Wait for another leader and its first step; return its name."""
    name = (await leaders.__anext__()).value
    async with client.watch_prefix(prefix + b"step/") as steps:
        async for event in steps:
            if event.kv.value.split()[1] == name:
                break
    return name


async def main() -> int:
    parser = demonstration.options("leader", __doc__)
    parser.add_argument("--worker", metavar="NAME", help="be one worker, until Ctrl-C")
    parser.add_argument("--ttl", type=int, default=2, help="seconds that a lease lives (2)")
    options = parser.parse_args()
    prefix = options.prefix.encode()
    async with demonstration.etcd(options.endpoints) as endpoints:
        async with Client(endpoints=endpoints) as client:
            if options.worker:
                await worker(client, prefix, options.worker, options.ttl)
            settings = {"endpoints": endpoints, "prefix": options.prefix, "ttl": options.ttl}
            try:
                processes = demonstration.Processes(__file__, **settings)
                in_order = await demonstrate(client, prefix, processes)
            finally:
                await client.delete_prefix(prefix)
    return 0 if in_order else 1


if __name__ == "__main__":
    demonstration.run(main)
