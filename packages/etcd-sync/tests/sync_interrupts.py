"""A program that interrupts itself at random moments, and looks at what each interruption leaves.

python sync_interrupts.py ROUNDS

It prints how many rounds were interrupted, and then a line for each thing that is wrong.
"""

from __future__ import annotations

import _thread
import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from etcd_sync._portal import Portal

T = TypeVar("T")

LATEST = 0.0005
"""Seconds from the begin of a round to its first signal, at most."""


class Resource:
    """Counts what is held; all it does takes some iterations of the loop."""

    def __init__(self) -> None:
        self.held = 0
        self.running = 0

    async def work(self) -> None:
        self.running += 1
        try:
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            raise
        finally:
            self.running -= 1

    async def __aenter__(self) -> None:
        await self.work()
        self.held += 1

    async def __aexit__(self, *error: object) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            self.held -= 1


class Interrupter(threading.Thread):
    """Sends a few SIGINTs, at a random moment after each request for them."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.asked, self.idle = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        while self.asked.wait():
            self.asked.clear()
            time.sleep(random.random() * LATEST)
            for _ in range(random.choice((1, 1, 3))):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(random.choice((0, 0.0001)))
            self.idle.set()


def work(portal: Portal, resource: Resource, until: threading.Event) -> None:
    # A signal that arrives in a finalizer interrupts nothing: Python drops the exception.
    while not until.is_set():
        portal.run(resource.work)
        entered = False
        try:
            portal.enter(resource)
            entered = True
            portal.run(resource.work)
        finally:
            if entered:
                portal.exit(resource)


def whatever_arrives(function: Callable[[], T]) -> T:
    """Call a function again until no signal interrupts it."""
    while True:
        try:
            return function()
        except KeyboardInterrupt:  # noqa: PERF203  # there may be several
            continue


def until(event: threading.Event) -> None:
    # `Event.wait` of Python 3.10 may raise another exception when it is interrupted.
    while not event.is_set():
        time.sleep(0.0001)


def one_round(portal: Portal, resource: Resource, interrupter: Interrupter) -> list[str]:
    """Return what is wrong after a round that a signal has ended."""
    interrupter.idle.clear()
    try:
        interrupter.asked.set()
        work(portal, resource, until=interrupter.idle)
    except KeyboardInterrupt:
        pass
    whatever_arrives(lambda: until(interrupter.idle))
    complaints = []
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        complaints.append("the handler of SIGINT was not restored")
    return complaints


def what_is_left(portal: Portal, resource: Resource) -> list[str]:
    thread = portal.thread()
    blocks = len(portal._blocks)
    found = {
        "calls that still run": resource.running,
        "held, not known": resource.held - blocks,
        "tasks without a block": portal.call(lambda: len(thread.tasks)) - blocks,
    }
    # The signal may have come right after `enter` or right before `exit`.
    for _ in range(blocks):
        portal.exit(resource)
    found["held at the end"] = resource.held
    return [f"{what}: {number}" for what, number in found.items() if number]


def main(rounds: int) -> None:
    portal, resource, interrupter = Portal(), Resource(), Interrupter()
    portal.run(resource.work)
    threads = _thread._count()
    for number in range(rounds):
        complaints = whatever_arrives(lambda: one_round(portal, resource, interrupter))
        # The last signal may be still to be noticed.
        whatever_arrives(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        # Or to be sent: by a thread, when a call has returned.
        while _thread._count() > threads:
            time.sleep(0.0001)
        complaints += what_is_left(portal, resource)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for complaint in complaints:
            sys.stdout.write(f"round {number}: {complaint}\n")
    portal.close()
    sys.stdout.write(f"{rounds} rounds\n")


if __name__ == "__main__":
    # The tests may run in the background of a shell, whose processes ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(int(sys.argv[1]))
