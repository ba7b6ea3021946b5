"""Tasks that contend for a lock, one after the other or until they are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from lock_support import Program, until_queued

from etcd_testing import cancel_everywhere

__all__ = ["Contenders", "cancelled_acquisitions_leave_nothing", "contenders"]


class Contenders:
    """Tasks that queue for a lock in a known order; each holds it until the test lets it leave.

    `enter` returns the `async with` block of a contender, by its name. `queue` is the prefix of
    the keys of those that hold the lock or wait for it.
    """

    def __init__(
        self,
        program: Program,
        queue: bytes,
        enter: Callable[[str], AbstractAsyncContextManager[Any]],
    ) -> None:
        self._program, self._queue, self._enter = program, queue, enter
        self.admitted: list[str] = []
        """The names in the order of their admission, also of those that have left."""
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._may_leave: dict[str, asyncio.Event] = {}

    async def start(self, *names: str) -> None:
        """Start a task for each name, when the one before it is in the queue."""
        for name in names:
            self._may_leave[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._hold(name))
            await until_queued(self._program, self._queue, len(self.tasks))

    async def _hold(self, name: str) -> None:
        async with self._enter(name):
            self.admitted.append(name)
            await self._may_leave[name].wait()

    async def until_admitted(self, *names: str) -> None:
        """Wait until these, and no others, have been admitted."""
        while len(self.admitted) < len(names):
            await self._call()
            for task in self.tasks.values():
                if task.done() and not task.cancelled():
                    task.result()
        # Another one would be admitted by the same events: give it time.
        for _ in range(5):
            await self._call()
        assert sorted(self.admitted) == sorted(names)

    async def leave(self, *names: str) -> None:
        """Let contenders leave, and wait until they have."""
        for name in names:
            self._may_leave[name].set()
        await asyncio.gather(*(self.tasks[name] for name in names))

    async def _call(self) -> None:
        """Call the server, so that a loop does not spin."""
        await self._program.kv.get(self._queue)


@asynccontextmanager
async def contenders(
    program: Program, queue: bytes, enter: Callable[[str], AbstractAsyncContextManager[Any]]
) -> AsyncIterator[Contenders]:
    """Contenders that are cancelled at the end if a test fails while they wait."""
    made = Contenders(program, queue, enter)
    try:
        yield made
    finally:
        for task in made.tasks.values():
            task.cancel()
        await asyncio.gather(*made.tasks.values(), return_exceptions=True)


class AnyLock(AbstractAsyncContextManager[Any], Protocol):
    """A lock of a queue."""

    async def acquire(self, timeout: float | None = ...) -> bool: ...


async def cancelled_acquisitions_leave_nothing(
    program: Program, make: Callable[[], AnyLock], holder: AnyLock
) -> None:
    """Cancel the acquisition of a lock everywhere, while `holder` has it and while it is free.

    The program must be the only one on its server.
    """

    async def keys() -> list[bytes]:
        return [found.key for found in await program.kv.get_all()]

    async with holder:
        held = await keys()
        assert len(held) == 1

        async def acquire() -> bool:
            return await make().acquire(0.005)

        async def only_the_holder_is_left() -> None:
            assert await keys() == held

        async def nothing(acquired: bool) -> None:
            assert not acquired

        assert await cancel_everywhere(acquire, only_the_holder_is_left, undo=nothing, every=3)

    async def work() -> None:
        async with make():
            await asyncio.sleep(0)

    async def nothing_is_left() -> None:
        assert await keys() == []

    assert await cancel_everywhere(work, nothing_is_left)
