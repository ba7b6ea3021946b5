"""How long after a fault the next read, write, watch event and keep-alive succeed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from etcd_client import Client, ClientError, Get, Put, RevisionCompactedError, WatchTimeoutError
from programme.history import Fault, Operation
from programme.judges.recovery import LONGEST
from programme.recorder import Recorder

__all__ = ["PROBES", "Probes"]

PROBES = ("read", "write", "watch", "keep-alive")
KEY = "probe/key"
FLOW = "probe/flow"
_EVERY = 0.02
_TTL = 3
_NEVER = -1.0


class Probes:
    """One client with all endpoints; it notes when each kind of call was last served.

    `writer` is a client that goes to the members without a proxy: what it writes should come
    through the watch of the client under test.
    """

    def __init__(
        self, client: Client, writer: Client, recorder: Recorder, longest: float = LONGEST
    ) -> None:
        self._client = client
        self._writer = writer
        self._recorder = recorder
        self._longest = longest
        self._clock = recorder.clock
        self._began: dict[str, float] = dict.fromkeys(PROBES, _NEVER)
        """When the last success began."""
        self._gap: dict[str, float] = dict.fromkeys(PROBES, 0.0)
        self._served: dict[str, float] = dict.fromkeys(PROBES, 0.0)
        self._changed = asyncio.Event()
        self._written: dict[str, float] = {}
        """When the writer began to write each value."""

    async def run(self) -> None:
        """Probe until cancelled."""
        tasks = [
            asyncio.create_task(probing)
            for probing in (
                self._call("read", self._get),
                self._call("write", lambda: self._put(self._client, KEY, "probe")),
                self._watch(),
                self._write(),
                self._keep_alive(),
            )
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def mark(self) -> None:
        """Measure from here: a fault begins. A member that is asked to stop may serve for long."""
        for name in PROBES:
            self._gap[name] = 0.0
            self._served[name] = self._clock()

    async def recover(self, fault: Fault) -> None:
        """Wait until all kinds are served again by what began after the fault; note the times.

        The time of a kind is the longest without a success from `mark` on.
        """
        struck = self._clock()

        async def wait() -> None:
            while len(fault.recovery) < len(PROBES):
                self._changed.clear()
                await self._changed.wait()
                for name in PROBES:
                    if name not in fault.recovery and self._began[name] >= struck:
                        fault.recovery[name] = self._gap[name]

        try:
            await asyncio.wait_for(wait(), self._longest)
        except asyncio.TimeoutError:
            for name in PROBES:
                fault.recovery.setdefault(name, self._longest)

    def _success(self, name: str, began: float) -> None:
        now = self._clock()
        self._began[name] = max(self._began[name], began)
        self._gap[name] = max(self._gap[name], now - self._served[name])
        self._served[name] = now
        self._changed.set()

    async def _call(self, name: str, calling: Callable[[], Awaitable[bool]]) -> None:
        while True:
            began = self._clock()
            if await calling():
                self._success(name, began)
                await asyncio.sleep(_EVERY)
            else:
                await asyncio.sleep(0.001)

    async def _get(self) -> bool:
        def result(operation: Operation, found: Get | None) -> None:
            operation.reads = {KEY: None if found is None else found.value.decode()}
            operation.revision = 0 if found is None else found.header.revision

        operation = Operation("probe", "get", 0)
        await self._recorder.call(operation, lambda: self._client.get(KEY.encode()), result)
        return operation.outcome == "ok"

    async def _put(self, client: Client, key: str, name: str, timeout: float | None = None) -> bool:
        def result(operation: Operation, answer: Put) -> None:
            operation.revision = answer.header.revision

        value = self._recorder.value(name)
        operation = Operation(name, "put", 0, writes={key: value})
        put = client.put
        await self._recorder.call(
            operation, lambda: put(key.encode(), value.encode(), timeout=timeout), result
        )
        if operation.outcome == "ok":
            self._written[value] = operation.call
        return operation.outcome == "ok"

    async def _write(self) -> None:
        while True:
            # The leader may just have stopped.
            await self._put(self._writer, FLOW, "writer", 0.5)
            await asyncio.sleep(_EVERY)

    async def _watch(self) -> None:
        while True:
            # Its history may be compacted during a fault, which ends it; the next one is for now.
            with contextlib.suppress(RevisionCompactedError, WatchTimeoutError):
                async with self._client.watch(FLOW.encode()) as events:
                    async for event in events:
                        # The event may come before the answer to the put.
                        began = self._written.pop(event.kv.value.decode(), self._clock())
                        self._success("watch", began)

    async def _keep_alive(self) -> None:
        while True:
            # A fault may last for longer than the lease, and then comes the next one.
            with contextlib.suppress(ClientError):
                async with self._client.lease(_TTL, keep_alive=True) as lease:
                    last = lease.remaining
                    while not lease.is_lost:
                        await asyncio.sleep(_EVERY / 2)
                        now = lease.remaining
                        if now > last:
                            # Its renewal was sent at least this long ago.
                            self._success("keep-alive", self._clock() - max(0.0, _TTL - now))
                        last = now
