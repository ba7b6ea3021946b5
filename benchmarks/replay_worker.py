"""The process that replays history: `python replay_worker.py HOST PORT`.

Each line of stdin is a round: `PREFIX REVISION COUNT`. The answer is one line, the processor
seconds that receiving the events took. It runs on the reference and on this client: both are
imported as `aetcd`.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aetcd


async def main(host: str, port: str) -> None:
    loop = asyncio.get_running_loop()
    # The reference cannot receive a large response by default.
    options = {"grpc.max_receive_message_length": -1}
    async with aetcd.Client(host, int(port), options=options) as client:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            prefix, revision, count = line.split()
            left = int(count)
            began = time.process_time()
            watch = await client.watch_prefix(prefix.encode(), start_revision=int(revision))
            async for event in watch:
                assert event.kv.value
                left -= 1
                if not left:
                    break
            await watch.cancel()
            print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
