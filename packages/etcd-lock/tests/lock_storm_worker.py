"""A worker of a lock storm: `python lock_storm_worker.py KIND ENDPOINT`, until it gets SIGTERM.

Several tasks take the lock again and again, each with a session of its own. What a holder does is a
transaction that etcd refuses unless it holds the lock: it puts a key for each of its claims, and
reads those of the others, so that two claims that exclude each other are seen on the server.

It prints a line for each event: `inside` after such a transaction, `counted` after the guarded
increment of a counter, `refused` for a transaction that came after the loss, `VIOLATION …`,
and `ERROR …` for an error that is none of the client's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from etcd_channel import Channel, ClientError, LeaseLike, prefix_range_end
from etcd_kv import Compare, KVClient
from etcd_lock import (
    Election,
    LockClient,
    MultiLock,
    Mutex,
    Permit,
    ReadLock,
    ReadWriteLock,
    Semaphore,
    Session,
    WriteLock,
)

__all__ = ["COUNTER", "TTL"]

TASKS = 3
PERMITS = 3
# Seconds. The leases of killed workers must end soon; etcd grants no less than two.
TTL = 3
# All locks have names under this prefix.
LOCKS = b"storm"
INSIDE = b"inside/"
COUNTER = b"counter"

_random = random.Random()


class Claim(NamedTuple):
    """What a holder says to have, in a group of claims: its lock's key and fencing token."""

    group: bytes
    key: bytes
    token: int


class Held(NamedTuple):
    claims: Sequence[Claim]
    compares: Sequence[Compare]
    lease: LeaseLike
    exclusive: bool
    """Whether nobody else may increment the counter meanwhile."""


def violations(claims: Counter[bytes]) -> list[str]:
    """The rules that concurrent claims break, by the number of claims in each group."""
    most = {b"permit": PERMITS, b"reader": sys.maxsize}
    broken = [f"{n} in {group!r}" for group, n in claims.items() if n > most.get(group, 1)]
    if claims[b"writer"] and claims[b"reader"]:
        broken.append(f"a writer beside {claims[b'reader']} readers")
    return broken


@asynccontextmanager
async def held(kind: str, channel: Channel) -> AsyncIterator[Held]:
    """Take a lock of this kind once, with a session of its own."""
    if kind == "lock":
        lock = LockClient(channel).lock(LOCKS, TTL, keep_alive=True, timeout=60)
        async with lock:
            lease, token = lock.lease, lock.fencing_token
            assert lease is not None
            assert token is not None
            yield Held([Claim(b"lock", LOCKS, token)], [lock.ownership()], lease, True)
        return
    async with Session(channel, TTL) as session:
        async with held_with(kind, session) as holder:
            yield holder


@asynccontextmanager
async def held_with(kind: str, session: Session) -> AsyncIterator[Held]:
    if kind == "multi":
        names = [LOCKS + b"-" + name for name in _random.sample([b"a", b"b", b"c"], 2)]
        async with MultiLock(session, names, timeout=60) as several:
            token = several.fencing_token
            assert token is not None
            claims = [Claim(key.rpartition(b"/")[0], key, token) for key in several.keys]
            yield Held(claims, several.ownership(), session.lease, False)
        return
    group, exclusive = kind.encode(), True
    lock: Permit | ReadLock | WriteLock | Mutex
    if kind == "election":
        election = Election(session, LOCKS)
        async with election.lead(b"storm", timeout=60):
            assert election.fencing_token is not None
            claim = Claim(group, election.key, election.fencing_token)
            yield Held([claim], [election.ownership()], session.lease, True)
        return
    if kind == "semaphore":
        lock, group, exclusive = Semaphore(session, LOCKS, PERMITS).permit(), b"permit", False
    elif kind == "read-write":
        exclusive = _random.random() < 0.4
        group = b"writer" if exclusive else b"reader"
        either = ReadWriteLock(session, LOCKS)
        lock = either.write_lock() if exclusive else either.read_lock()
    else:
        lock = Mutex(session, LOCKS)
    async with lock:
        assert lock.fencing_token is not None
        claim = Claim(group, lock.key, lock.fencing_token)
        yield Held([claim], [lock.ownership()], session.lease, exclusive)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def work_inside(kv: KVClient, holder: Held) -> None:
    txn = kv.transactions
    # Random, but without slashes: the group is what stands before the last one.
    names = [
        INSIDE + b"%s/%s" % (claim.group, os.urandom(8).hex().encode()) for claim in holder.claims
    ]
    mine = dict(zip(names, holder.claims, strict=True))
    puts = [
        txn.put(key, b"%d %s" % (claim.token, claim.key), holder.lease)
        for key, claim in mine.items()
    ]
    try:
        answer = await kv.transaction(
            holder.compares,
            [
                *puts,
                txn.get(INSIDE, prefix_range_end(INSIDE)),
                txn.get(LOCKS, prefix_range_end(LOCKS), keys_only=True),
            ],
        )
        if not answer.succeeded:
            say("refused")
            return
        inside, locks = answer.gets
        # A claim ends with its lock, also if its key could not be deleted.
        existing = {b"%d %s" % (lock.create_revision, lock.key) for lock in locks}
        claims = Counter(
            each.key[len(INSIDE) :].rpartition(b"/")[0] for each in inside if each.value in existing
        )
        for broken in violations(claims):
            say("VIOLATION", broken)
        say("inside")
        if holder.exclusive:
            await increment(kv, holder)
        await asyncio.sleep(_random.random() * 0.05)
    finally:
        for key in mine:
            with contextlib.suppress(ClientError):
                await kv.delete(key)


async def increment(kv: KVClient, holder: Held) -> None:
    """Increment the counter, by a read and a guarded write: two holders would lose increments."""
    found = await kv.get(COUNTER)
    await asyncio.sleep(0)
    value = b"%d" % (int(found.value) + 1 if found else 1)
    answer = await kv.transaction(holder.compares, [kv.transactions.put(COUNTER, value)])
    say("counted" if answer.succeeded else "refused")


async def work(kind: str, channel: Channel) -> None:
    kv = KVClient(channel)
    while True:
        try:
            async with held(kind, channel) as holder:
                await work_inside(kv, holder)
        except ClientError:  # noqa: PERF203  # a fault, or a lock that was lost by one
            await asyncio.sleep(0.05)
        except Exception as error:
            say("ERROR", repr(error))
            raise


async def main(kind: str, endpoint: str) -> None:
    logging.disable()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # Not by `async with`, which would connect: that may fail in a storm.
    channel = Channel(endpoint, connect_timeout=1, timeout=3)
    try:
        tasks = [asyncio.create_task(work(kind, channel)) for _ in range(TASKS)]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            say("ERROR a task has ended:", [task for task in tasks if task.done()])
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.wait([*tasks, stopping])
    finally:
        await channel.close()


async def hold_for_etcdctl(endpoint: str, key: str) -> None:
    """Work as the command that `etcdctl lock` runs while it holds the lock with this key."""
    async with Channel(endpoint) as channel:
        kv = KVClient(channel)
        found = await kv.get(key.encode(), keys_only=True)
        if found is None:
            return
        claim = Claim(b"mutex", found.key, found.create_revision)
        owns = kv.transactions.create(found.key) == found.create_revision
        await work_inside(kv, Held([claim], [owns], found.lease, True))


if __name__ == "__main__":
    _kind, _endpoint = sys.argv[1:]
    if _kind == "etcdctl":
        asyncio.run(hold_for_etcdctl(_endpoint, os.environ["ETCD_LOCK_KEY"]))
    else:
        asyncio.run(main(_kind, _endpoint))
