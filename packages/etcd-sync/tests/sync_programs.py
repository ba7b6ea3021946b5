"""Programs that use the synchronous client, each run as a process of its own by the tests.

python sync_programs.py NAME ENDPOINT PREFIX

A program prints "ready" when it does what its name says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

import etcd_sync
from etcd_sync._portal import Portal


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def ready() -> None:
    say("ready")


def in_watch(client: etcd_sync.Client, prefix: bytes) -> None:
    client.connect()
    ready()
    for event in client.watch_prefix(prefix):
        say(event)


def in_wait_for_lock(client: etcd_sync.Client, prefix: bytes) -> None:
    with client.lock(prefix + b"lock", timeout=None):
        ready()


def in_wait_with_a_handler(client: etcd_sync.Client, prefix: bytes) -> None:
    def expired(number: int, frame: object) -> NoReturn:
        raise TimeoutError("expired")

    signal.signal(signal.SIGTERM, expired)
    try:
        client.lock(prefix + b"lock", timeout=None).acquire()
    except TimeoutError as error:
        say(error)
    client.close()


def in_wait_without_end(client: etcd_sync.Client, prefix: bytes) -> None:
    """Waits for what goes on when it is cancelled."""

    async def goes_on() -> None:
        ready()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    try:
        Portal().run(goes_on)
    except KeyboardInterrupt:
        say("gave up")
    finally:
        sys.stdout.flush()
        os._exit(5)


def in_held_locks(client: etcd_sync.Client, prefix: bytes) -> None:
    with (
        client.lock(prefix + b"lock"),
        client.session(60) as session,
        etcd_sync.Mutex(session, prefix + b"mutex"),
    ):
        ready()
        threading.Event().wait()


def goes_on(client: etcd_sync.Client, prefix: bytes) -> None:
    """Catches Ctrl-C, and goes on with the same client."""
    try:
        with client.lock(prefix + b"lock"):
            ready()
            while True:
                client.get(prefix + b"lock")
    except KeyboardInterrupt:
        assert client.get(prefix + b"lock") is None
        client.close()
        say("went on")


def exits(client: etcd_sync.Client, prefix: bytes) -> None:
    """Exits in a held lock, without a close, while all kinds of threads use the client."""
    main = threading.current_thread()
    at_work = threading.Semaphore(0)

    def watches() -> None:
        with client.watch_prefix(prefix + b"never") as events:
            at_work.release()
            for event in events:
                say(event)

    def holds() -> None:
        with client.lock(prefix + b"held"):
            at_work.release()
            threading.Event().wait()

    def calls() -> None:
        client.get(prefix + b"key")
        at_work.release()
        while True:
            client.get(prefix + b"key")

    def works_on() -> None:
        main.join()
        for _ in range(10):
            client.put(prefix + b"late", b"value")
        client.delete(prefix + b"late")
        say("worked on")

    for work in (watches, holds, calls):
        threading.Thread(target=work, daemon=True).start()
    for _ in range(3):
        at_work.acquire()
    with client.lock(prefix + b"lock"):
        threading.Thread(target=works_on).start()
        ready()
        sys.exit(0)


def forks(client: etcd_sync.Client, prefix: bytes) -> None:
    """Forks before the client is used, which the child can use then, and again while it is."""
    child = os.fork()
    if child == 0:
        client.put(prefix + b"child", b"value")
        client.delete(prefix + b"child")
        sys.exit(3)
    say("used:", _exit_code(child))
    with client.watch_prefix(prefix) as events:
        child = os.fork()
        if child == 0:
            try:
                client.get(prefix)
            except etcd_sync.ClientForkedError as error:
                say("refused:", error)
            client.close()
            try:
                etcd_sync.Client(endpoints=sys.argv[2]).get(prefix)
            except etcd_sync.ClientForkedError:
                say("a new one is refused")
            sys.exit(4)
        say("refused:", _exit_code(child))
        client.put(prefix + b"parent", b"value")
        client.delete(prefix + b"parent")
        say("seen:", next(events).kind.name, next(events).kind.name)


def _exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


PROGRAMS: dict[str, Callable[[etcd_sync.Client, bytes], None]] = {
    program.__name__: program
    for program in (
        in_watch,
        in_wait_for_lock,
        in_wait_with_a_handler,
        in_wait_without_end,
        in_held_locks,
        goes_on,
        exits,
        forks,
    )
}

if __name__ == "__main__":
    name, endpoint, prefix = sys.argv[1:]
    # The tests may run in the background of a shell, whose processes ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    PROGRAMS[name](etcd_sync.Client(endpoints=endpoint), prefix.encode())
