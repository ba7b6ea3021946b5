"""Runs programs in parallel, up to a limit, and prints the output of each in one piece.

Only the standard library is imported here. Each program leads a session of its own: what it
has started is ended with it, and all programs are ended when the run is interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["INTERRUPTED", "SKIP", "Ended", "Step", "closing_lines", "loud", "run"]

SKIP = 77
"""The exit code of a program that this machine cannot run."""

INTERRUPTED = 130
"""The exit code of a run that a signal ended."""

PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL."""

LAST_LINES = 30
"""Lines of a failed step's output that are repeated at the end of a run."""

MOST_TESTS = 30
"""Failed tests of a step that are named at the end of a run."""

MOST_REASONS = 8
"""Lines of a step without failed tests that are repeated with its name at the end of a run."""

WIDTH = 400
"""Characters of a line that are repeated."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Step:
    """A program to run, and its name."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """How a step ended."""

    name: str
    status: int
    """Its exit code; the negative number of the signal that killed it."""
    seconds: float
    log: Path
    """Its output."""

    @property
    def passed(self) -> bool:
        return self.status == 0

    @property
    def skipped(self) -> bool:
        return self.status == SKIP

    @property
    def failed(self) -> bool:
        return not self.passed and not self.skipped

    @property
    def cause(self) -> str:
        if self.status >= 0:
            return f"exit code {self.status}"
        return f"killed by {signal.Signals(-self.status).name}"

    def __str__(self) -> str:
        return f"{self.name} ({self.seconds:.0f} s)"


def run(steps: Iterable[Step], *, lanes: int, logs: Path) -> list[Ended]:
    """Run the steps in order, each when a lane is free; return how they ended, the first one first.

    The output of a step is written to `logs`, and printed when the step has ended. A signal that
    would end this process ends all steps first; then SystemExit(INTERRUPTED) is raised.
    """
    ended = asyncio.run(_run(list(steps), lanes, logs))
    if ended is None:
        raise SystemExit(INTERRUPTED)
    return ended


async def _run(steps: list[Step], lanes: int, logs: Path) -> list[Ended] | None:
    """As `run`; None if a signal came."""
    here = asyncio.current_task()
    assert here is not None
    free = asyncio.Semaphore(lanes)
    ended: list[Ended] = []
    tasks: list[asyncio.Task[None]] = []

    async def in_a_lane(step: Step) -> None:
        log = logs / f"{step.name}.log"
        try:
            ended.append(await _run_step(step, log))
            _show(ended[-1])
        finally:
            free.release()

    with _calling(here.cancel):
        try:
            for step in steps:
                await free.acquire()
                _say(f"starting {step.name}")
                tasks.append(asyncio.create_task(in_a_lane(step)))
            await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            return None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return ended


@contextlib.contextmanager
def _calling(interrupt: Callable[[], object]) -> Iterator[None]:
    """Call the function at the first signal, and ignore the following ones."""
    loop = asyncio.get_running_loop()
    called = False

    def once() -> None:
        nonlocal called
        if not called:
            called = True
            interrupt()

    for number in SIGNALS:
        loop.add_signal_handler(number, once)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _run_step(step: Step, log: Path) -> Ended:
    began = time.monotonic()
    with log.open("wb") as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *step.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            output.write(f"{step.command[0]}: {error.strerror}\n".encode())
            return Ended(step.name, 127, time.monotonic() - began, log)
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), PATIENCE)
        raise
    finally:
        # What the step started must end with it.
        _signal_group(process.pid, signal.SIGKILL)
    return Ended(step.name, status, time.monotonic() - began, log)


def _signal_group(leader: int, number: signal.Signals) -> None:
    # macOS answers EPERM if only a zombie is left of the group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _show(ended: Ended) -> None:
    _say(f"\n================ {ended.name}")
    with ended.log.open("rb") as output:
        shutil.copyfileobj(output, sys.stdout.buffer)
    if ended.passed:
        _say(f"---------------- passed: {ended}")
    elif ended.skipped:
        _say(loud(f"SKIPPED: {ended}"))
    else:
        _say(loud(f"FAILED: {ended}, {ended.cause}"))


def closing_lines(ended: Iterable[Ended], unknown: Iterable[str], seconds: float) -> list[str]:
    """The last lines of a run: what the failed steps said at their end, and how each step ended.

    The failed steps and their failed tests come last: where the output of a run is cut, the part
    that remains must tell what failed.
    """
    ended, unknown = list(ended), list(unknown)
    failures = [one for one in ended if one.failed]
    passed = [f"passed   {one}" for one in ended if one.passed]
    skipped = [f"SKIPPED  {one}" for one in ended if one.skipped]
    failed = [[f"FAILED   {one}", *reasons(one.log)] for one in failures]
    failed += [[f"FAILED   {name}"] for name in unknown]
    return [
        *(
            line
            for one in failures
            for line in [f"\n================ the end of {one}", *end(one.log)]
        ),
        f"\n================ {seconds:.0f} s in all",
        *passed,
        *skipped,
        *(line for lines in failed for line in lines),
        f"steps: {len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped",
    ]


def end(log: Path) -> list[str]:
    """The last lines of a log."""
    return [_cut(line) for line in deque(_lines(log), maxlen=LAST_LINES)]


def reasons(log: Path) -> list[str]:
    """What pytest's summary in a log says of tests that failed, else its last lines; indented."""
    found = [line for line in _lines(log) if re.match(r"(FAILED|ERROR) \S+::", line)]
    shown = found[:MOST_TESTS]
    if len(found) > MOST_TESTS:
        shown.append(f"and {len(found) - MOST_TESTS} more")
    if not found:
        shown = [*deque(filter(str.strip, _lines(log)), maxlen=MOST_REASONS)]
    return [f"           {_cut(line)}" for line in shown]


def _lines(log: Path) -> Iterator[str]:
    with log.open(encoding="utf-8", errors="backslashreplace") as output:
        yield from (line.rstrip("\n") for line in output)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[:WIDTH]} …"


def loud(words: str) -> str:
    return f"\n!!!!!!!! {words} !!!!!!!!\n"


def _say(line: str) -> None:
    print(line, flush=True)
