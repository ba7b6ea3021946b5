"""Records what the client under test does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from etcd_client import ClientError, RevisionCompactedError, Watch, WatchResponse, WatchTimeoutError
from etcd_client.errors import WatchCanceledError
from programme.history import History, Operation, Response, Seen, Watched

__all__ = ["Clock", "Recorder"]

T = TypeVar("T")


class Clock:
    """Seconds since it was made, by a clock that all processes share."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self.began


class Recorder:
    """Adds operations and watches to a history; each has its place there before it ends."""

    goes_on = False
    """True goes on behind a compaction, which a program should not do without listing again."""

    def __init__(self, history: History, clock: Clock) -> None:
        self.history = history
        self.clock = clock
        self._values = 0

    @staticmethod
    def is_definite(error: ClientError) -> bool:
        """What an error says about its request."""
        return error.definite

    def value(self, client: str) -> str:
        """A value that was never written."""
        self._values += 1
        return f"{client}.{self._values}"

    async def call(
        self,
        operation: Operation,
        calling: Callable[[], Awaitable[T]],
        result: Callable[[Operation, T], None],
    ) -> T | None:
        """Make a call and record it; return its result, or None if it failed."""
        operation.call = self.clock()
        if operation.writes:
            self.history.add(operation)
        try:
            answer = await calling()
        except ClientError as error:
            operation.end = self.clock()
            operation.outcome = "definite" if self.is_definite(error) else "indefinite"
            operation.error = f"{type(error).__name__}: {error}"
            if isinstance(error, RevisionCompactedError):
                operation.error = "compacted"
            if not operation.writes:
                self.history.add(operation)
            return None
        operation.end = self.clock()
        operation.outcome = "ok"
        result(operation, answer)
        if not operation.writes:
            self.history.add(operation)
        return answer

    async def watch(
        self,
        watched: Watched,
        make: Callable[[int], Watch],
        until: Callable[[], Coroutine[Any, Any, object]],
    ) -> None:
        """Read a watch into its record until it ends, or cancel it when `until` returns."""
        self.history.add(watched)
        stopped = asyncio.Event()
        stopping = asyncio.create_task(until())
        watch = make(watched.requested)
        reading = asyncio.create_task(self._read(watched, watch, stopped))
        await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
        if self.goes_on and watched.end == "compacted":
            watch = make(watched.compacted)
            watched.end = "cancelled"
            reading = asyncio.create_task(self._read(watched, watch, stopped))
            await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        stopped.set()
        await watch.cancel()
        await reading

    async def _read(self, watched: Watched, watch: Watch, stopped: asyncio.Event) -> None:
        try:
            async with watch:
                watched.start = watched.start or watch.start_revision
                async for response in watch.responses():
                    watched.responses.append(_response(self.clock(), response))
            if not stopped.is_set():
                watched.end = "an end without an error"
        except RevisionCompactedError as error:
            watched.end, watched.compacted = "compacted", error.compacted_revision
        except WatchTimeoutError:
            watched.end = "not created"
        except ClientError as error:
            if not (stopped.is_set() and isinstance(error, WatchCanceledError)):
                watched.end = f"{type(error).__name__}: {error}"
        finally:
            watched.start = watched.start or watch.start_revision
            watched.ended = self.clock()


def _response(now: float, response: WatchResponse) -> Response:
    events: list[Seen] = []
    for event in response.events:
        kv, before = event.kv, event.prev_kv
        events.append(
            Seen(
                kv.mod_revision,
                kv.key.decode("latin-1"),
                None if event.kind == "DELETE" else kv.value.decode("latin-1"),
                kv.create_revision,
                kv.version,
                None if before is None else (before.value.decode("latin-1"), before.mod_revision),
            )
        )
    return Response(now, response.header.revision, events)
