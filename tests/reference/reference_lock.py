"""A program of the reference, aetcd 1.0.0, with a lock that is driven over stdin.

python reference_lock.py HOST PORT KEY: reads `acquire TIMEOUT` and `release`, answers each with a
line, the result as a bool.
"""

from __future__ import annotations

import asyncio
import sys

import aetcd


async def main(host: str, port: str, key: str) -> None:
    loop = asyncio.get_running_loop()
    async with aetcd.Client(host, int(port)) as client:
        lock = client.lock(key.encode(), ttl=30)
        while command := (await loop.run_in_executor(None, sys.stdin.readline)).split():
            if command[0] == "acquire":
                done = await lock.acquire(timeout=float(command[1]))
            else:
                done = bool(await lock.release())
            sys.stdout.write(f"{done}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
