"""Client processes that claim a lease and a lock, and the signals that they get."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from programme.history import Claim, Fault, Hold
from programme.recorder import Recorder

__all__ = ["signalled"]

_HOME = Path(__file__).resolve().parent.parent
_STOPPED = (1.0, 6.0)
"""Seconds of a stop; the lease is granted for 3."""
_BETWEEN = (1.5, 4.0)


class Claimer:
    """One process after the other, each killed or stopped after a while."""

    def __init__(
        self, name: str, lock: str, endpoints: list[str], recorder: Recorder, choice: random.Random
    ) -> None:
        self._arguments = [name, lock, *endpoints]
        self._name = name
        self._lock = lock
        self._recorder = recorder
        self._choice = choice
        self._processes = 0

    async def run(self) -> None:
        """Run processes until cancelled."""
        while True:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "programme.claimer", *self._arguments),
                stdout=asyncio.subprocess.PIPE,
                cwd=_HOME,
            )
            self._processes += 1
            reading = asyncio.create_task(self._read(process))
            try:
                await self._signal(process)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                await reading

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        history, began = self._recorder.history, self._recorder.clock.began
        last: tuple[str, Hold] | None = None
        holder = f"{self._name}.{self._processes}"
        async for line in process.stdout:
            kind, number, time = line.decode().split()
            now = float(time) - began
            if kind == "claim":
                history.add(Claim(int(number), now))
            elif last is not None and last[0] == number:
                last[1].end = now
            else:
                last = number, Hold(self._lock, holder, now, now)
                history.add(last[1])

    async def _signal(self, process: asyncio.subprocess.Process) -> None:
        """Stop it some times, then end it."""
        choice, clock = self._choice, self._recorder.clock
        while True:
            await asyncio.sleep(choice.uniform(*_BETWEEN))
            kind = choice.choice((signal.SIGSTOP, signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM))
            fault = Fault(f"client {kind.name}", self._name, clock(), clock())
            self._recorder.history.add(fault)
            process.send_signal(kind)
            if kind is not signal.SIGSTOP:
                return
            await asyncio.sleep(choice.uniform(*_STOPPED))
            process.send_signal(signal.SIGCONT)
            fault.end = clock()


@asynccontextmanager
async def signalled(
    name: str, lock: str, endpoints: list[str], recorder: Recorder, choice: random.Random
) -> AsyncIterator[None]:
    """Run such processes until the block ends."""
    running = asyncio.create_task(Claimer(name, lock, endpoints, recorder, choice).run())
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
