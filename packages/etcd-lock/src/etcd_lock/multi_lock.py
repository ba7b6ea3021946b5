"""Several mutexes that are acquired together, without deadlock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from etcd_channel import ClientError, NonCopyable, PreconditionFailedError
from etcd_channel.arguments import check_flag, check_key, check_wait
from etcd_channel.deadline import Deadline
from etcd_channel.errors import LeaseNotFoundError
from etcd_kv import Compare, Operation
from etcd_lock._check_session import check_session
from etcd_lock._hold import LockLoss
from etcd_lock._hold_blocks import HoldBlocks
from etcd_lock._local_lock import LocalLock
from etcd_lock._metrics import wait_measured
from etcd_lock._multi_hold import MultiHold
from etcd_lock._numbered_entry import numbered_entry
from etcd_lock._own_tasks import acquire_local
from etcd_lock.default_timeout import DefaultTimeout, seconds_to_wait
from etcd_lock.errors import LockTimeoutError
from etcd_lock.queue_entry import QueueEntry
from etcd_lock.session import Session

__all__ = ["MultiLock"]

_DEFAULT_TIMEOUT = DefaultTimeout("<the lock's timeout>")

# etcd accepts 128 operations in a transaction by default; each name takes a put and a read.
_MOST_NAMES = 64


class MultiLock(NonCopyable):
    """Several mutexes that are acquired together: all of them or none.

    It excludes the `Mutex`es, the `MultiLock`s, Go's `concurrency.Mutex` and `etcdctl lock` of each
    of its `names`, which may be given in any order, at most 64 of them. Its keys are put by one
    transaction, so it has the same place in all queues: two multi-locks never wait for each other.
    It is fair: of several contenders for a name the one that asked first holds it first.

    `timeout` is the number of seconds to wait for all of them, None without limit. If the time is
    over, or the task is cancelled while it waits, nothing is left in any queue. While it waits for
    one name it already keeps later contenders from the others.

    It is lost when `session` is lost or is closed by another task, or when one of its keys is
    deleted. A loss, `lost` and `cancel_on_loss` work as described for `Mutex`.

    Acquiring a free multi-lock takes one round trip, and so does releasing it.
    """

    def __init__(
        self,
        session: Session,
        names: Iterable[bytes],
        *,
        cancel_on_loss: bool = False,
        timeout: float | None = None,
    ) -> None:
        self.session = check_session(session)
        self.names = _checked(names)
        """The names in their order, as a tuple."""
        self.cancel_on_loss = check_flag("cancel_on_loss", cancel_on_loss)
        self.timeout = check_wait("timeout", timeout)
        self._title = f"the multi-lock {list(self.names)!r}"
        self._blocks = HoldBlocks[MultiHold](session.channel)
        self._local = LocalLock(set())
        self._entries: list[QueueEntry] = []
        self._hold: MultiHold | None = None

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys in etcd while it is held, in the order of `names`; empty while it is not."""
        return tuple(entry.key for entry in self._entries)

    @property
    def fencing_token(self) -> int | None:
        """The create revision of its keys, higher than that of every earlier holder of each name.

        None while it is not held.
        """
        return self._entries[0].fencing_token if self._entries else None

    @property
    def lost(self) -> LockLoss:
        """A coroutine that waits for the loss: `error = await lock.lost`, see `Lock.lost`.

        The error is about the first key that was lost. Raises `ValueError` while it is not held.
        """
        return LockLoss(self._held())

    def ownership(self) -> list[Compare]:
        """Return the compares that succeed while this session holds all the names, one for each.

        Add them to the transactions that must be protected. Raises `ValueError` while it is not
        held.
        """
        self._held()
        return [entry.ownership() for entry in self._entries]

    # Acquiring -------------------------------------------------------------------------

    async def acquire(self, timeout: float | None = _DEFAULT_TIMEOUT) -> bool:
        """Acquire all the names; return False if that took longer than `timeout` seconds.

        Without the argument, the `timeout` that the lock was made with applies. None sets no
        limit, 0 does not wait. If it returns False, raises or is cancelled, nothing is left in any
        queue. Tasks that share the object acquire it in the order of their calls. Raises
        `LockLostError` if the session ends, or a key is deleted, while it waits.
        """
        deadline = Deadline.after(seconds_to_wait(timeout, self.timeout))
        observer = self.session._services.observer
        acquired = await wait_measured(observer, "MultiLock.acquire", self._acquire(deadline))
        if acquired and self._hold is not None:
            self._hold.record_acquirer()
        return acquired

    async def _acquire(self, deadline: Deadline) -> bool:
        # New keys for each call, so that a put that arrives late is not taken for a later one.
        entries = [numbered_entry(self.session, name + b"/") for name in self.names]
        for entry in entries:
            entry._name = self._title
        if not await acquire_local(self._local, entries[0], deadline):
            return False
        held = False
        try:
            held = await self._acquire_in_etcd(entries, deadline)
        finally:
            if not held:
                self._local.release()
        return held

    async def _acquire_in_etcd(self, entries: list[QueueEntry], deadline: Deadline) -> bool:
        run_to_completion = self.session._services.run_to_completion
        try:
            await run_to_completion(_enqueue(self.session, entries))
            held = await self._wait(entries, deadline)
        except BaseException as error:
            entries[0]._notify(error)
            await run_to_completion(_withdraw(entries), error)
            raise
        if not held:
            await run_to_completion(_withdraw(entries))
            return False
        holds = [entry._hold for entry in entries if entry._hold is not None]
        self._entries, self._hold = entries, MultiHold(self._title, holds)
        return True

    async def _wait(self, entries: list[QueueEntry], deadline: Deadline) -> bool:
        at_once = all(entry._is_first for entry in entries)
        for entry in entries:
            if not at_once:
                # During a wait for one name, the keys of the others may be deleted: read them.
                entry._older = None
            if not await entry.wait(timeout=deadline.remaining()):
                return False
        if not at_once:
            for entry in entries[:-1]:
                await entry._read_older()
        return True

    # Holding ---------------------------------------------------------------------------

    async def is_acquired(self) -> bool:
        """Ask etcd whether all are held; False without a call if the session is known lost."""
        if not self._entries:
            return False
        asked = await asyncio.gather(*(entry.is_admitted() for entry in self._entries))
        return all(asked)

    def _held(self) -> MultiHold:
        if self._hold is None:
            raise ValueError(f"{self._title} is not held by this session")
        return self._hold

    # Releasing -------------------------------------------------------------------------

    async def release(self) -> bool:
        """Release all the names; return whether all were still held. False if it was not acquired.

        A cancellation is raised after they were released. After a `ClientError` they count as
        released in this process; in etcd a key that is left is deleted in the background as soon
        as etcd answers, or with the lease.
        """
        hold, self._hold = self._hold, None
        if hold is None:
            return False
        hold.left = True
        entries, self._entries = self._entries, []
        try:
            held = await self.session._services.run_to_completion(_leave(self.session, entries))
        finally:
            self._local.release()
        if not held:
            hold.notify()
        return held

    async def __aenter__(self) -> MultiLock:
        if not await self.acquire():
            raise LockTimeoutError(f"could not acquire {self._title} within {self.timeout} s")
        self._blocks.enter(self._hold, cancel_on_loss=self.cancel_on_loss)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Other tasks acquire it after a release only: a hold that was not released is the present.
        await self._blocks.leave(error, lambda _: self.release(), self._hold)

    def __repr__(self) -> str:
        return f"MultiLock(names={list(self.names)!r}, fencing_token={self.fencing_token})"


def _checked(names: Iterable[bytes]) -> tuple[bytes, ...]:
    if isinstance(names, (bytes, str)):
        raise TypeError(f"names must be several names, not {type(names).__name__}")
    ordered = tuple(sorted(check_key("names", name) for name in names))
    if not 1 <= len(ordered) <= _MOST_NAMES:
        raise ValueError(f"names must be 1 to {_MOST_NAMES} names, not {len(ordered)}")
    for number, one in enumerate(ordered):
        for other in ordered[number + 1 :]:
            if (other + b"/").startswith(one + b"/"):
                how = "given twice" if one == other else f"the beginning of {other!r}"
                raise ValueError(f"names must be separate names, but {one!r} is {how}")
    return ordered


async def _enqueue(session: Session, entries: list[QueueEntry]) -> None:
    """Put the keys of all entries in one transaction."""
    lease = session.lease
    if lease.is_lost:
        raise entries[0]._lost_with_session()
    compares: list[Compare] = []
    operations: list[Operation] = []
    for entry in entries:
        own, put_and_read, _ = entry._request(b"", lease)
        compares += own
        operations += put_and_read
    for entry in entries:
        entry._in_doubt = True
    try:
        answer = await session._services.kv.transaction(compares, operations)
    except ClientError as error:
        for entry in entries:
            entry._in_doubt = not error.definite
        if isinstance(error, LeaseNotFoundError):
            raise entries[0]._lost_with_session() from error
        raise
    for entry in entries:
        entry._in_doubt = False
    if not answer.succeeded:
        raise PreconditionFailedError(f"one of the keys of {entries[0]._label} exists already")
    revision = answer.header.revision
    for entry, newest in zip(entries, answer.gets, strict=True):
        entry._begin(revision, revision, newest)


async def _leave(session: Session, entries: list[QueueEntry]) -> bool:
    """Delete the keys of all entries; return whether all still existed."""
    compares = [entry.ownership() for entry in entries]
    together = asyncio.ensure_future(_delete_together(session, entries, compares))
    leaving = [entry._leave(partial(_deleted, together, entry)) for entry in entries]
    left = await asyncio.gather(*leaving, return_exceptions=True)
    failures = [outcome for outcome in left if isinstance(outcome, BaseException)]
    if failures:
        # The session retries the deletions in the background.
        for entry in entries:
            entry._reset()
        raise failures[0]
    return all(left)


async def _delete_together(
    session: Session, entries: list[QueueEntry], compares: list[Compare]
) -> bool | None:
    """Delete all keys in one transaction; return whether that is done, None if it is unknown."""
    txn = session._services.kv.transactions
    try:
        result = await session._services.kv.transaction(
            compares, [txn.delete(entry.key) for entry in entries]
        )
    except ClientError as error:
        return False if error.definite else None
    except Exception:
        return None  # an error of a view of the channel: each deletion is tried alone, and retried
    return result.succeeded


async def _deleted(
    together: asyncio.Future[bool | None], entry: QueueEntry, revision: int, *, again: bool
) -> bool:
    """Delete the key of one entry, unless it was deleted together with the others."""
    done = await together
    return bool(done) or await entry._delete_or_defer(revision, again=again or done is None)


async def _withdraw(entries: list[QueueEntry]) -> None:
    """Delete the keys of all entries that were put; log a failure."""
    withdrawing = (entry._withdraw() for entry in entries)
    for outcome in await asyncio.gather(*withdrawing, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome  # an error of a view of the channel, after all have ended
