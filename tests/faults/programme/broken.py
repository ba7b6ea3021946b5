"""Clients with one mechanism switched off: each must be caught by the judge of what it is for."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from etcd_channel import ClientError
from etcd_kv import rpcs
from etcd_kv.client import KVClient
from etcd_kv.results import Get, GetRange
from etcd_lock.mutex import Mutex
from etcd_recipes import Counter
from etcd_watch.events import WatchResponse
from etcd_watch.watch import Watch
from programme.holders import LockHolder
from programme.recorder import Recorder
from programme.run import Plan
from programme.scenarios import SCENARIOS
from programme.traffic import Traffic

__all__ = ["BROKEN", "Broken"]

# Private modules: a mechanism is switched off where it is.
_streams: Any = importlib.import_module("etcd_watch._streams")
_subscription: Any = importlib.import_module("etcd_watch._subscription")
_lease_state: Any = importlib.import_module("etcd_lease._state")


@dataclass(frozen=True)
class Broken:
    """A mechanism, how to switch it off, and who must notice."""

    mechanism: str
    """What the client does when it is right."""
    without: str
    """What it does here."""
    judge: str
    says: str
    """How a problem begins with which the judge notices, as a regular expression."""
    switched_off: Callable[[], contextlib.AbstractContextManager[object]]
    faults: tuple[str, ...]
    changes: dict[str, Any] = field(default_factory=dict)
    """What is different in the plan."""

    @property
    def name(self) -> str:
        return f"{self.mechanism} / {self.without}"

    def plan(self, plan: Plan) -> Plan:
        changes: dict[str, Any] = dict.fromkeys(("processes", "ours", "recipes"), False)
        changes |= {"outage": None, **self.changes}
        return replace(plan, faults=self.faults, **changes)


@contextlib.contextmanager
def resending() -> Iterator[None]:
    """Send a write again although it may have been applied."""
    writes = (rpcs.PUT, rpcs.TXN, rpcs.DELETE_RANGE)
    for rpc in writes:
        object.__setattr__(rpc, "repeatable", True)
    try:
        yield
    finally:
        for rpc in writes:
            object.__setattr__(rpc, "repeatable", False)


def all_definite() -> contextlib.AbstractContextManager[object]:
    """Say of every error that the request had no effect."""
    return mock.patch.object(Recorder, "is_definite", staticmethod(lambda error: True))


def serializable_reads() -> contextlib.AbstractContextManager[object]:
    """Let the member answer reads by what it has."""
    get = KVClient.get

    async def stale(self: KVClient, key: bytes, *_: object, **options: Any) -> Get | None:
        return await get(self, key, True, **options)

    return mock.patch.object(KVClient, "get", stale)


def newest_reads() -> contextlib.AbstractContextManager[object]:
    """Read the newest values, whatever the revision that was asked for."""
    get_prefix = KVClient.get_prefix

    async def newest(self: KVClient, *arguments: Any, **options: Any) -> GetRange:
        return await get_prefix(self, *arguments, **{**options, "revision": None})

    return mock.patch.object(KVClient, "get_prefix", newest)


def resume_at_header() -> contextlib.AbstractContextManager[object]:
    """Resume a watch behind the revision that the server has when it creates the watch again."""
    take_created = _subscription.Subscription.take_created

    def taken(self: Any, watch_id: int, header: Any, outdated_answers: int = 0) -> None:
        again = self.created
        take_created(self, watch_id, header, outdated_answers)
        if again:
            self.next_revision = self._floor = header.revision + 1

    return mock.patch.object(_subscription.Subscription, "take_created", taken)


def resume_at_last() -> contextlib.AbstractContextManager[object]:
    """Resume a watch at the last revision that it has delivered, in place of the next one."""
    take_break = _subscription.Subscription.take_break

    def taken(self: Any) -> None:
        if self.state is _subscription.State.OPEN and self.next_revision > 1:
            self.next_revision -= 1
            self._floor = min(self._floor, self.next_revision)
        take_break(self)

    return mock.patch.object(_subscription.Subscription, "take_break", taken)


def not_created_again() -> contextlib.AbstractContextManager[object]:
    """Open the stream of a watch again, and do not create the watch on it."""
    opened = _streams.WatchStream.opened

    def without(self: Any) -> Any:
        again = any(subscription.created for subscription in self._subscriptions)
        return [] if again else opened(self)

    return mock.patch.object(_streams.WatchStream, "opened", without)


def skip_compacted() -> contextlib.AbstractContextManager[object]:
    """Go on behind a compaction without a word."""
    return mock.patch.object(Recorder, "goes_on", True)


def flat_events() -> contextlib.AbstractContextManager[object]:
    """Deliver the events of one transaction one by one."""
    responses = Watch.responses

    async def split(self: Watch) -> AsyncGenerator[WatchResponse, None]:
        async for response in responses(self):
            if not response.events:
                yield response
            for event in response.events:
                yield WatchResponse(response.header, [event])

    return mock.patch.object(Watch, "responses", split)


def progress_ahead() -> contextlib.AbstractContextManager[object]:
    """Report the progress of the server as that of the watch, at once."""
    responses = Watch.responses

    async def ahead(self: Watch) -> AsyncGenerator[WatchResponse, None]:
        async for response in responses(self):
            yield WatchResponse(response.header, [])
            yield response

    return mock.patch.object(Watch, "responses", ahead)


def ask_the_server() -> contextlib.AbstractContextManager[object]:
    """Have a lease until the server says that it has ended."""

    def lost(self: Any, now: float) -> Any:
        return self._reason

    return mock.patch.object(_lease_state.LeaseState, "lost", lost)


@contextlib.contextmanager
def ask_the_server_after_a_block() -> Iterator[None]:
    """Block the event loop, and have the lease until the server says that it has ended."""
    only = {"blocked loop": SCENARIOS["blocked loop"]}
    with ask_the_server(), mock.patch.dict(SCENARIOS, only, clear=True):
        yield


@contextlib.contextmanager
def enter_without() -> Iterator[None]:
    """Enter the lock when the time to wait for it is over, and write without a condition."""
    acquire = Mutex.acquire

    async def acquired(self: Mutex, timeout: float | None = None) -> bool:
        await acquire(self, timeout=0.2)
        return True

    with mock.patch.object(Mutex, "acquire", acquired):
        with mock.patch.object(LockHolder, "guarded", False):
            yield


def blind_additions() -> contextlib.AbstractContextManager[object]:
    """Read a counter, and put the sum whatever others have put meanwhile."""

    async def add(self: Counter, amount: int = 1, *, timeout: float | None = None) -> int:
        number = await self.get(timeout=timeout) + amount
        await self.set(number, timeout=timeout)
        return number

    return mock.patch.object(Counter, "add", add)


def leaving_leases() -> contextlib.AbstractContextManager[object]:
    """Revoke no lease."""

    async def revoke(self: Traffic) -> bool:
        self._lease = None
        return True

    return mock.patch.object(Traffic, "revoke", revoke)


def leaving_watches() -> contextlib.AbstractContextManager[object]:
    """Stop reading a watch without cancelling it."""
    kept: list[object] = []

    async def left(self: Recorder, watched: Any, make: Callable[[int], Watch], _: object) -> None:
        with contextlib.suppress(ClientError):
            kept.append(await make(0))
        await asyncio.sleep(0.5)

    return mock.patch.object(Recorder, "watch", left)


_SILENT = ("black hole", "forget")
BROKEN = (
    Broken(
        "a write that may have been applied is not sent again",
        "it is sent again",
        *("writes", "repeated", resending, ("lost replies", "reset")),
    ),
    Broken(
        "an error says whether the write may have been applied",
        "every error says that it was not",
        *("writes", "failed but applied", all_definite, ("lost replies", "SIGKILL")),
    ),
    Broken(
        "a read is linearizable",
        "a read is serializable",
        *("order", "", serializable_reads, ("partition",)),
        {"lasts": (2.0, 2.5)},
    ),
    Broken(
        "the same, without revisions",
        "a read is serializable",
        *("register", r"\S+ is not linearizable", serializable_reads, ("partition",)),
        {"lasts": (2.0, 2.5)},
    ),
    Broken(
        "a read at a revision is of that revision",
        "it is of the newest",
        *("reads", "the list at of", newest_reads, ("reset",)),
    ),
    Broken(
        "a watch resumes behind its last event",
        "behind the revision of the server",
        *("watches", "reliable", resume_at_header, ("reset", "SIGKILL")),
    ),
    Broken(
        "a watch resumes behind its last event",
        "at its last event",
        *("watches", "unique", resume_at_last, ("reset", "SIGKILL")),
    ),
    Broken(
        "a compaction ends a watch",
        "the watch goes on behind it",
        *("watches", "reliable|resumable", skip_compacted, ("reset",)),
    ),
    Broken(
        "a response has whole revisions",
        "a response has one event",
        *("watches", "atomic", flat_events, ("reset",)),
    ),
    Broken(
        "progress comes behind the events",
        "before them",
        *("watches", "bookmarkable", progress_ahead, ("reset",)),
    ),
    Broken(
        "a lease is lost when nobody has renewed it in time",
        "when the server says so",
        *("leases", r"lease \w+ was claimed", ask_the_server, ("black hole",)),
        {"lasts": (5.0, 5.0), "aim": 0.0},
    ),
    Broken(
        "a lock is entered when it is held",
        "when its timeout is over",
        *("locks", "two holders", enter_without, ("reset",)),
    ),
    Broken(
        "a write in a lock says that the lock must be held",
        "it does not, and the lock is not held",
        *("locks", "lost from the set", enter_without, ("reset",)),
    ),
    Broken(
        "an addition to a counter says what the counter must be",
        "it does not",
        *("recipes", "lost: the counter|repeated", blind_additions, ("reset",)),
        {"recipes": True},
    ),
    Broken(
        "leases are revoked",
        "they are not",
        *("left", r"\d+ lease left", leaving_leases, ("reset",)),
    ),
    Broken(
        "watches are cancelled on the server",
        "they are not",
        *("left", r"\d+ watcher left", leaving_watches, ("reset",)),
        {"followers": False},
    ),
    Broken(
        "a watch is created again on the stream after a break",
        "it is not",
        *("recovery", "silent: no watch", not_created_again, ("reset",)),
        {"followers": False, "longest": 10.0, "aim": 1.0},
    ),
    Broken(
        "a lease is lost when the event loop was blocked for longer",
        "when the server says so",
        *("scenarios", "over-claimed", ask_the_server_after_a_block, ("reset",)),
        {"outage": 0.0},
    ),
)
