"""Divides a set of parts among the members of a group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any

from etcd_channel import ChannelLike, ClientError, NonCopyable, Service
from etcd_channel.arguments import check_int, check_key
from etcd_channel.errors import ClientClosedError
from etcd_kv import Compare, KVClient
from etcd_lock import QueueEntry, Session
from etcd_recipes._following import Keys, follow
from etcd_recipes._recipe import Recipe
from etcd_recipes._shares import shares

__all__ = ["Part", "Partitioner"]

_log = logging.getLogger("etcd_recipes")

# Seconds before it begins again after a failure: at first, and at most.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


# Parts that are claimed in one transaction; etcd's default limit is 128.
_AT_ONCE = 100


class _WorkFailed(Exception):
    """The work on a part raised an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Part(NonCopyable):
    """A part that this member owns, for the function that works on it."""

    def __init__(self, session: Session, name: bytes, key: bytes, revision: int) -> None:
        self.name = name
        """The part, as it was given to the `Partitioner`."""
        self._session = session
        self._key = key
        self._revision = revision

    @property
    def fencing_token(self) -> int:
        """The revision of the claim, higher than that of every earlier owner of the part."""
        return self._revision

    @property
    def is_lost(self) -> bool:
        """Whether the session, and so the part, is known to be lost."""
        return self._session.is_lost

    def ownership(self) -> Compare:
        """Return a compare for transactions that succeeds while this member owns the part."""
        return KVClient.transactions.create(self._key) == self._revision

    def __repr__(self) -> str:
        return f"Part(name={self.name!r}, fencing_token={self.fencing_token})"


class Partitioner(Recipe):
    """Divides a set of parts among all members that run it, and again whenever one comes or goes.

    All members must give the same `parts`. While they do not, for example during an update of the
    programs, a part may have no owner, but never two.
    A member is a key `<name>/members/<lease id>` with a lease of `ttl` seconds, and an owned part a
    key `<name>/parts/<part>` with the lease of its owner. Each member computes the shares from the
    same list of members: their sizes differ by one at most, and a change moves few parts.

    Guaranteed: a part has one owner at a time, as etcd sees it: it is claimed by a transaction that
    requires that nobody owns it, and released only when the work on it has ended, or when the lease
    of its owner has. Work is cancelled when its part must be handed over and when the session is
    lost; after that it begins again with a new session. The same happens when somebody else has
    deleted the key of its part; it begins again with a new claim then. After an outage, or when all
    members but one have died, the rest own everything, at the latest when the leases have ended.
    Not guaranteed: that each part has an owner at every moment; while it is handed over it has
    none. A member that is stopped for longer than `ttl` does not know that its parts have other
    owners: guard changes with `Part.ownership()`, or pass `Part.fencing_token` along.
    """

    def __init__(
        self,
        client: ChannelLike | Service,
        name: bytes,
        parts: Iterable[bytes],
        *,
        ttl: int = 30,
    ) -> None:
        super().__init__(client)
        self.name = check_key("name", name)
        if isinstance(parts, (bytes, str)):
            raise TypeError(f"parts must be several names, not a single {type(parts).__name__}")
        self.parts = tuple(sorted({check_key("a part", part) for part in parts}))
        self.ttl = check_int("ttl", ttl, minimum=1)
        self._members = self.name + b"/members/"
        self._owned = self.name + b"/parts/"
        self._running = False
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    @property
    def owned(self) -> frozenset[bytes]:
        """The parts that this member owns and works on."""
        return frozenset(self._tasks)

    async def run(self, work: Callable[[Part], Awaitable[object]]) -> None:
        """Be a member until cancelled, and await `work(part)` for each part that is owned.

        `work` runs in a task for each part, and is cancelled when the part must be given away. The
        part is released when it has ended, so it should end soon. If it returns before that, the
        part stays owned. An error that it raises ends the membership, and is raised here after all
        parts were released. While etcd cannot be reached it tries again; `ClientClosedError` is
        raised when the client is closed.

        When it is cancelled, the work is cancelled and the parts are released first.
        """
        if not callable(work):
            raise TypeError(f"work must be callable, not {type(work).__name__}")
        if self._running:
            raise ValueError(f"the partitioner {self.name!r} is running already")
        self._running = True
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
        try:
            while True:
                began = loop.time()
                try:
                    async with Session(self._channel, self.ttl) as session:
                        await self._be_member(session, work)
                except _WorkFailed as failure:
                    raise failure.error from failure.error.__cause__
                except ClientClosedError:
                    raise
                except ClientError as error:
                    _log.warning("%r is divided anew: %s", self.name, str(error))
                if loop.time() - began > _LONGEST_PAUSE:
                    pause = _FIRST_PAUSE
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self._running = False

    async def _be_member(self, session: Session, work: Callable[[Part], Awaitable[object]]) -> None:
        """Be a member for as long as the session lives; raise what ends it."""
        member = _Member(self, session, work)
        lost = asyncio.create_task(session.lease.until_lost())
        following = asyncio.create_task(member.follow())
        reclaiming = asyncio.create_task(member.reclaim())
        try:
            ends: list[asyncio.Future[Any]] = [lost, following, reclaiming, member.failed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except BaseException as error:
            await self._channel.run_to_completion(member.stop(lost, following, reclaiming), error)
            raise
        await self._channel.run_to_completion(member.stop(lost, following, reclaiming))
        if member.failed.done():
            raise _WorkFailed(member.failed.result())
        for task in (following, reclaiming):
            if not task.cancelled():
                task.result()

    def __repr__(self) -> str:
        return f"Partitioner(name={self.name!r}, parts={len(self.parts)}, owned={len(self.owned)})"


class _Member:
    """A membership of one session, and its work."""

    def __init__(
        self,
        partitioner: Partitioner,
        session: Session,
        work: Callable[[Part], Awaitable[object]],
    ) -> None:
        self._of = partitioner
        self._session = session
        self._work = work
        self._kv = KVClient(session.channel)
        self._entry = QueueEntry(session, partitioner._members)
        # The work on each part that is owned, and that of giving parts away.
        self._tasks = partitioner._tasks
        self._parts: dict[bytes, Part] = {}
        # The parts whose work is being ended, and the tasks that end it and release the part.
        self._giving: set[bytes] = set()
        self._give_aways: set[asyncio.Task[None]] = set()
        self._stopping = False
        # The keys as they were seen last, and whether to look at them again without a change.
        self._keys: Keys | None = None
        self._again = asyncio.Event()
        self._changing = asyncio.Lock()
        self.failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        """The first error of the work on a part."""

    async def follow(self) -> None:
        """Claim and give away parts at each change, until cancelled."""
        await self._entry.enqueue()
        async with aclosing(follow(self._session.channel, self._of.name + b"/")) as states:
            async for keys in states:
                self._keys = keys
                async with self._changing:
                    await self._change(keys)

    async def reclaim(self) -> None:
        """Claim parts again whose keys were gone before they were released, until cancelled.

        Their release changes nothing in etcd, so `follow` does not hear of it.
        """
        while True:
            await self._again.wait()
            self._again.clear()
            if self._keys is not None:
                async with self._changing:
                    await self._change(self._keys)

    async def _change(self, keys: Keys) -> None:
        members = [key for key in keys if key.startswith(self._of._members)]
        if self._entry.key not in members:
            raise ClientError(f"the member {self._entry.key!r} was deleted")
        mine = shares(self._of.parts, members)[self._entry.key]
        gone = {part for part in self._tasks if self._is_gone(part, keys)}
        for part in gone & mine - self._giving:
            _log.warning("the key of the part %r was deleted: its work ends", part)
        for part in (gone | self._tasks.keys() - mine) - self._giving:
            self._giving.add(part)
            task = asyncio.create_task(self._give_away(part))
            self._give_aways.add(task)
            task.add_done_callback(self._give_aways.discard)
        free = [
            part for part in sorted(mine - self._tasks.keys()) if self._of._owned + part not in keys
        ]
        for start in range(0, len(free), _AT_ONCE):
            await self._claim(free[start : start + _AT_ONCE])

    def _is_gone(self, name: bytes, keys: Keys) -> bool:
        """Whether the key of an owned part was deleted, unless `keys` are older than the claim."""
        part = self._parts[name]
        found = keys.get(part._key)
        created = 0 if found is None else found.create_revision
        return created != part._revision and keys.revision >= part._revision

    async def _claim(self, names: list[bytes]) -> None:
        """Claim those of the parts that nobody owns, in one round trip."""
        txn, lease = self._kv.transactions, self._session.lease
        keys = [self._of._owned + name for name in names]
        # If its outcome is unknown, the error ends the session, and the claims with it.
        result = await self._kv.transaction(
            [self._entry.ownership()],
            [
                txn.txn([txn.version(key) == 0], [txn.put(key, self._entry.key, lease)])
                for key in keys
            ],
        )
        for name, key, claim in zip(names, keys, result.txns, strict=False):
            if claim.succeeded:
                part = Part(self._session, name, key, result.revision)
                self._tasks[name] = asyncio.create_task(self._own(part), name=f"work on {part!r}")
                self._parts[name] = part

    async def _own(self, part: Part) -> None:
        try:
            await self._work(part)
        except Exception as error:
            if not self.failed.done():
                self.failed.set_result(error)
        except asyncio.CancelledError as error:
            if part.name not in self._giving and not (self._stopping or self.failed.done()):
                failure = RuntimeError(f"the work on {part!r} was cancelled from elsewhere")
                failure.__cause__ = error
                self.failed.set_result(failure)
            raise

    async def _give_away(self, name: bytes) -> None:
        """Cancel the work on a part, and release the part when it has ended."""
        task, part = self._tasks[name], self._parts[name]
        task.cancel()
        await asyncio.wait([task])
        # Before the release: it may be claimed again at the event of the release.
        del self._tasks[name], self._parts[name]
        self._giving.discard(name)
        txn, pause = self._kv.transactions, _FIRST_PAUSE
        while not self._session.is_lost:
            try:
                own = [part.ownership()]
                if not (await self._kv.transaction(own, [txn.delete(part._key)])).succeeded:
                    self._again.set()
                break
            except ClientError as error:
                # Repeating it is safe: it compares the revision of the claim.
                _log.warning("the part %r is not released yet: %s", name, str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def stop(self, *others: asyncio.Task[Any]) -> None:
        """End all work; the session's end releases the parts."""
        self._stopping = True
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        for task in others:
            if not task.cancelled():
                task.exception()  # asyncio would report one that the caller does not raise
        tasks = [*self._give_aways, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks.clear()
