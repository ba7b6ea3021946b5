"""What the programs in this directory share: an etcd, processes of their own, a clean end.

Nothing here is needed to use the client, and none of it is about locks or queues.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import secrets
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NoReturn

from etcd_client import ClientError
from etcd_testing import EtcdServer

__all__ = ["Processes", "etcd", "options", "run"]


def options(program: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every program has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    prefix = f"{program}-{secrets.token_hex(4)}/"
    parser.add_argument("--endpoints", help="host:port, several by commas (an etcd of its own)")
    parser.add_argument("--prefix", default=prefix, help="the prefix of all keys (a new one)")
    return parser


@contextlib.asynccontextmanager
async def etcd(endpoints: str | None) -> AsyncIterator[str]:
    """Yield these endpoints, or that of a new etcd, which ends with the block."""
    if endpoints is not None:
        yield endpoints
        return
    async with EtcdServer() as server:
        yield server.endpoint


class Processes:
    """Runs a program several times, with these arguments and those of `start`.

    What still runs at the end of the block gets SIGTERM, and is waited for.
    """

    def __init__(self, program: str, **settings: object) -> None:
        self._command = [program, *(f"--{name}={value}" for name, value in settings.items())]
        self._started: list[Process] = []

    async def start(self, *arguments: str) -> Process:
        """Start the program once more; it writes to the stdout of this one."""
        # Ctrl-C reaches only this program, which ends the others: they may still be starting.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._command, *arguments), stdin=DEVNULL, start_new_session=True
        )
        self._started.append(process)
        return process

    async def __aenter__(self) -> Processes:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        running = [process for process in self._started if process.returncode is None]
        for process in running:
            process.send_signal(signal.SIGCONT)  # a stopped process handles no SIGTERM
            process.terminate()
        await asyncio.gather(*(process.wait() for process in running))


def run(main: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run a program to its end, and exit: with its status, 1 for an error, 130 after Ctrl-C."""
    assert isinstance(sys.stdout, io.TextIOWrapper)
    # Several processes write to one pipe: each line is one write, also with PYTHONUNBUFFERED.
    sys.stdout.reconfigure(line_buffering=True, write_through=False)

    signals: list[signal.Signals] = []

    async def until_stopped() -> int:
        task = asyncio.current_task()
        assert task is not None

        def stop(number: signal.Signals) -> None:
            signals.append(number)
            task.cancel()

        # Before Python 3.11 Ctrl-C would raise KeyboardInterrupt wherever the program is.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        try:
            return await main()
        except (ClientError, OSError, ValueError) as error:
            print(f"It failed: {type(error).__name__}: {error}", file=sys.stderr)
            return 1

    try:
        status = asyncio.run(until_stopped())
    except asyncio.CancelledError:
        status = 128 + signals[0]
    sys.exit(status)
