"""Many threads that share one client while its connections break.

The environment variable SYNC_STORM_SECONDS makes it longer; `pytest -rP` shows what happened.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable

import etcd_sync
from etcd_sync._portal import Portal
from etcd_testing import FaultProxy
from etcd_testing.plugin import ServerFactory

SECONDS = float(os.environ.get("SYNC_STORM_SECONDS", "2"))
THREADS = 64
TIME = 60.0


class Storm:
    """What the threads do, and what they have seen."""

    def __init__(self, client: etcd_sync.Client) -> None:
        self.client = client
        self.over = threading.Event()
        self.done: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.written: dict[bytes, list[bytes]] = defaultdict(list)
        """The values of each key whose put has returned."""
        self.watched: dict[bytes, list[bytes]] = defaultdict(list)
        self.revisions: list[int] = []
        self._inside = threading.Lock()

    def puts(self, number: int) -> None:
        name = f"put/{number}"
        key = name.encode()
        while not self.over.is_set():
            value = b"%d" % self.done[name]
            self.done[name] += 1
            try:
                self.client.put(key, value)
                self.written[key].append(value)
                found = self.client.get(key)
            except etcd_sync.ClientError as error:
                self.errors[type(error).__name__] += 1
                # The server may still apply a put that has failed, and even after the next one.
                key = f"{name}/{self.done[name]}".encode()
                continue
            if found is None or found.value != value:
                self.complaints.append(f"{key!r} is {found}, not {value!r}")

    def locks(self, number: int) -> None:
        while not self.over.is_set():
            try:
                with self.client.lock(b"lock", timeout=None):
                    if not self._inside.acquire(blocking=False):
                        self.complaints.append("two threads are in the lock")
                        return
                    self.done["lock"] += 1
                    self._inside.release()
            except etcd_sync.ClientError as error:  # noqa: PERF203  # the next try follows
                self.errors[type(error).__name__] += 1

    def watches(self, events: etcd_sync.Watch) -> None:
        for event in events:
            if event.kv.key == b"put/end":
                return
            self.watched[event.kv.key].append(event.kv.value)
            self.revisions.append(event.kv.mod_revision)

    def run(self, faults: Callable[[], object]) -> None:
        with self.client.watch_prefix(b"put/") as events:
            watching = threading.Thread(target=self.watches, args=(events,))
            work = [
                threading.Thread(
                    target=self.locks if number % 8 == 0 else self.puts, args=(number,)
                )
                for number in range(THREADS)
            ]
            for thread in (watching, *work):
                thread.start()
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                time.sleep(0.2)
                faults()
            self.over.set()
            for thread in work:
                thread.join(TIME)
            self.client.put(b"put/end", b"")
            watching.join(TIME)
            self.complaints += [
                f"{thread.name} goes on" for thread in (watching, *work) if thread.is_alive()
            ]


def test_threads_lose_nothing_and_leave_nothing_while_connections_break(
    etcd_server_factory: ServerFactory,
) -> None:
    server = etcd_server_factory()
    portal, proxy = Portal(), FaultProxy(server.endpoint)
    portal.enter(proxy)
    try:
        with etcd_sync.Client(endpoints=proxy.endpoint) as client:
            storm = Storm(client)
            storm.run(lambda: portal.call(proxy.reset))
    finally:
        portal.exit(proxy)
        portal.close()
    sys.stdout.write(f"{sum(storm.done.values())} done, {dict(storm.errors)}\n")

    assert storm.complaints == []
    assert storm.done["lock"] > 0
    assert storm.revisions == sorted(set(storm.revisions))
    for key, values in storm.written.items():
        assert set(values) <= set(storm.watched[key])
    assert not [each for each in threading.enumerate() if each.name == "etcd_sync"]
    with etcd_sync.Client(endpoints=server.endpoint) as client:
        assert client.get_prefix(b"lock").count == 0
        assert list(client.leases()) == []
