"""A process that has a lease and a lock, and says so.

It is stopped and killed by signals, and must not say that it has them when it has lost them
meanwhile. It prints "claim LEASE TIME" and "hold NUMBER TIME" by a clock that all processes of a
machine share. Its arguments are a name, the name of the lock, and endpoints.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time

from etcd_client import Client, ClientError, Mutex, Session

__all__ = ["TTL", "main"]

TTL = 3
_LOOK_EVERY = 0.02
_HOLDS = 0.3


def main() -> None:
    name, lock, *endpoints = sys.argv[1:]
    try:
        asyncio.run(claim(name, lock.encode(), endpoints))
    except BrokenPipeError:
        pass  # Its reader has ended.


async def claim(name: str, lock: bytes, endpoints: list[str]) -> None:
    numbers = itertools.count()
    while True:
        try:
            async with Client(endpoints=endpoints, timeout=1.0) as client:
                async with Session(client, TTL) as session:
                    await client.put(f"claimer/{name}".encode(), b"", session.lease)
                    while not session.is_lost:
                        await hold(session, Mutex(session, lock), next(numbers))
        except ClientError:  # noqa: PERF203  # it begins again
            await asyncio.sleep(0.05)


async def hold(session: Session, mutex: Mutex, number: int) -> None:
    acquiring = asyncio.create_task(mutex.acquire(timeout=1.0))
    try:
        while not acquiring.done():
            look(session, None)
            await asyncio.sleep(_LOOK_EVERY)
        if await acquiring:
            until = time.monotonic() + _HOLDS
            while time.monotonic() < until:
                look(session, number)
                await asyncio.sleep(_LOOK_EVERY)
            await mutex.release()
    finally:
        acquiring.cancel()
        await asyncio.wait([acquiring])
    # The others have their turn.
    for _ in range(10):
        look(session, None)
        await asyncio.sleep(_LOOK_EVERY)


def look(session: Session, holds: int | None) -> None:
    """Say what is held at the time before it is asked."""
    now = time.monotonic()
    if session.is_lost:
        return
    lines = f"claim {session.lease.id} {now}\n"
    if holds is not None:
        lines += f"hold {holds} {now}\n"
    sys.stdout.write(lines)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
