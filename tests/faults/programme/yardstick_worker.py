"""A program that uses the API of aetcd, which this client has too: writes, transactions, watches.

Its arguments are a name, the clock's zero, the first revision to watch, and endpoints. It says
"ready". When a line comes on stdin it stops writing and says "stopped"; when the next one comes it
prints its operations and watches as JSON lines, and ends. A call that fails is not made again. A
watch that ends by an error is opened again behind its last event, as a careful program does.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from typing import Any

import aetcd
from programme.history import Operation, Response, Seen, Watched

_WRITERS = 2
"""On each client."""
_WATCHES = 3
_TIMEOUT = 1
_PAUSE = 0.03
_KEYS = 5


class Program:
    """Its clients, one for each endpoint, and what they did."""

    def __init__(self, name: str, zero: float, first: int, endpoints: list[str]) -> None:
        self._name = name
        self._zero = zero
        self._first = first
        self._endpoints = endpoints
        self._stopping = False
        self._values = 0
        self.operations: list[Operation] = []
        self.watches: list[Watched] = []
        self.reopened = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        writing: list[asyncio.Task[None]] = []
        watching: list[asyncio.Task[None]] = []
        for number, endpoint in enumerate(self._endpoints):
            host, _, port = endpoint.rpartition(":")
            client: Any = aetcd.Client(host, int(port), timeout=_TIMEOUT)
            await client.connect()
            name = f"{self._name}{number}"
            writing += [asyncio.create_task(self._write(client, name)) for _ in range(_WRITERS)]
            watching += [asyncio.create_task(self._watch(client, name)) for _ in range(_WATCHES)]
        _say("ready")
        await loop.run_in_executor(None, sys.stdin.readline)
        self._stopping = True
        await asyncio.wait(writing)
        _say("stopped")
        await loop.run_in_executor(None, sys.stdin.readline)
        for task in watching:
            task.cancel()

    def _now(self) -> float:
        return time.monotonic() - self._zero

    async def _write(self, client: Any, name: str) -> None:
        while not self._stopping:
            self._values += 1
            keys = [f"{self._name}/{(self._values + each) % _KEYS}" for each in range(2)]
            several = self._values % 2 == 0
            operation = Operation(
                name,
                "transaction" if several else "put",
                self._now(),
                writes=dict.fromkeys(keys[: 1 + several], f"{name}.{self._values}"),
            )
            self.operations.append(operation)
            pairs = [(key.encode(), (v or "").encode()) for key, v in operation.writes.items()]
            try:
                if several:
                    puts = [client.transactions.put(*pair) for pair in pairs]
                    await client.transaction([], puts, [])
                else:
                    put = await client.put(*pairs[0])
                    operation.revision = put.header.revision
                operation.outcome = "ok"
            except Exception as error:
                # Only one of the clients says which of its errors are definite.
                operation.outcome = (
                    "definite" if getattr(error, "definite", False) else "indefinite"
                )
                operation.error = f"{type(error).__name__}: {error}"
            operation.end = self._now()
            await asyncio.sleep(_PAUSE)

    async def _watch(self, client: Any, name: str) -> None:
        prefix = f"{self._name}/"
        watched = Watched(name, prefix, True, self._first, self._now(), self._first)
        watched.end = "complete"
        self.watches.append(watched)
        following = self._first
        while True:
            try:
                watch = await client.watch_prefix(prefix.encode(), start_revision=following)
                async for event in watch:
                    kv = event.kv
                    seen = Seen(
                        kv.mod_revision,
                        kv.key.decode(),
                        kv.value.decode(),
                        kv.create_revision,
                        kv.version,
                    )
                    if seen.revision < following and watched.responses:
                        watched.responses[-1].events.append(seen)
                    else:
                        response = Response(self._now(), seen.revision, [seen])
                        watched.responses.append(response)
                    following = seen.revision + 1
            except Exception:  # noqa: PERF203  # it opens the watch again
                self.reopened += 1
                await asyncio.sleep(_PAUSE)
            else:
                self.reopened += 1

    def say(self) -> None:
        records: list[Operation | Watched] = [*self.operations, *self.watches]
        lines: list[dict[str, Any]] = [{"reopened": self.reopened}]
        lines += [{"is": type(each).__name__, **dataclasses.asdict(each)} for each in records]
        _say("\n".join(map(json.dumps, lines)))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    name, zero, first, *endpoints = sys.argv[1:]
    program = Program(name, float(zero), int(first), endpoints)
    asyncio.run(program.run())
    program.say()


if __name__ == "__main__":
    main()
