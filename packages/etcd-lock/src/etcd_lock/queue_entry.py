"""The queue behind mutexes and elections: keys under a prefix, in the order of their creation.

The key layout is that of etcd's Go client (client/v3/concurrency): each contender has a key
`<prefix><lease id in hex>` with its session's lease, and the oldest key belongs to the holder. A
contender watches the key right before its own, so a release wakes one contender.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from etcd_channel import (
    ClientError,
    KeyValue,
    NonCopyable,
    PreconditionFailedError,
    RevisionCompactedError,
)
from etcd_channel.arguments import check_bytes, check_int, check_key, check_wait
from etcd_channel.deadline import Deadline
from etcd_channel.errors import LeaseNotFoundError
from etcd_channel.tasks import log_errors
from etcd_kv import Compare, GetRange, Operation
from etcd_lease import Lease
from etcd_lease.loss import loss_notices
from etcd_lock._check_session import check_session
from etcd_lock._deletion import delete_or_defer
from etcd_lock._hold import Hold, LockLoss, lost_with_lease
from etcd_lock._observing import first_key
from etcd_lock._older_entries import Older, OlderEntries
from etcd_lock._refusal import Refusal
from etcd_lock._waiting import until_one_is_done
from etcd_lock.errors import LockLostError
from etcd_lock.session import Session

__all__ = ["QueueEntry"]


class QueueEntry(NonCopyable):
    """An entry of a session in a queue; the base of mutexes, semaphores and elections.

    The queue consists of all keys that begin with `prefix`, in the order of their creation. The
    entry is one of these keys: `prefix` followed by the id of the session's lease in hexadecimal,
    or by `suffix`, which must be unique in the queue (several entries of one session need one
    each). The key ends with the session's lease.

    An entry is admitted when there are fewer than `places` older entries: 1 makes a mutex, more
    make a semaphore. All contenders must use the same `places`. `behind` is the prefix of the keys
    that count as older entries, by default `prefix`: the readers of a read-write lock wait for
    older writers only.

    An admitted entry stays admitted while its key exists: no later entry overtakes it. When the
    key is deleted, `lost` returns, and `leave` returns False. The limits of locks apply as
    described for `Lock`, with `ownership` and `fencing_token` to guard changes.

    An entry is for one task at a time. The session must be open, or `ValueError` is raised. Each
    call raises a `ClientError` if etcd cannot be reached; `enqueue`, `wait` and `acquire` raise
    `LockLostError` if the session has ended or the key was deleted. If one of these three raises
    or is cancelled, the key is deleted before the error is raised, however often the task is
    cancelled meanwhile. If the deletion fails, it is logged, and the key is deleted in the
    background as soon as etcd answers, or with the lease.
    """

    def __init__(
        self,
        session: Session,
        prefix: bytes,
        *,
        places: int = 1,
        behind: bytes | None = None,
        suffix: bytes | None = None,
    ) -> None:
        self.session = check_session(session)
        self.prefix = check_key("prefix", prefix)
        self.places = check_int("places", places, minimum=1)
        self.behind = self.prefix if behind is None else check_key("behind", behind)
        self._suffix = None if suffix is None else check_key("suffix", suffix)
        self._services = session._services
        self._name: str | None = None
        # Distinguishes the entries of a session if there is no suffix.
        self._number: int | None = None
        self._refusal: Refusal | None = None
        self._hold: Hold | None = None
        self._revision: int | None = None
        self._admitted = False
        # Whether a put was sent and not answered: it may have been applied, or may be later.
        self._in_doubt = False
        # Whether a deletion failed, which may have been applied since.
        self._leaving = False
        # The older keys that were read when the entry was made, unless there may be more.
        self._older: Older | None = None
        self._older_entries = OlderEntries(self._services, self.behind, self.places)

    @property
    def key(self) -> bytes:
        """The key of the entry; raises `ValueError` before the session is open."""
        if self._suffix is not None:
            return self.prefix + self._suffix
        number = b"" if self._number is None else b"-%d" % self._number
        return self.prefix + b"%x" % self.session.lease.id + number

    @property
    def fencing_token(self) -> int | None:
        """The create revision of the key, higher than that of every older entry of the queue.

        None while there is no entry.
        """
        return self._revision

    @property
    def admitted(self) -> bool:
        """Whether `wait` or `acquire` has returned True for the current entry."""
        return self._admitted

    @property
    def lost(self) -> LockLoss:
        """A coroutine that waits for the loss of the entry, admitted or not; see `Lock.lost`.

        Raises `ValueError` while there is no entry.
        """
        if self._hold is None:
            raise ValueError(f"there is no entry of this session in {self.prefix!r}")
        return LockLoss(self._hold)

    def ownership(self) -> Compare:
        """Return a compare for transactions that succeeds while the entry exists.

        Raises `ValueError` while there is no entry.
        """
        if self._revision is None:
            raise ValueError(f"there is no entry of this session in {self.prefix!r}")
        return self._services.kv.transactions.create(self.key) == self._revision

    # Entering --------------------------------------------------------------------------

    async def enqueue(self, value: bytes = b"") -> None:
        """Put the key of the entry with `value`, in one round trip.

        If the key exists already with the session's lease, for example from an earlier program,
        the entry takes it over with its place; if its value differs, that takes a second round
        trip. Raises `PreconditionFailedError` if the key exists with another lease, which is left
        unchanged. A cancellation waits for the answer, because a deletion could overtake the put.
        """
        check_bytes("value", value)
        lease = self.session.lease
        try:
            await self._services.run_to_completion(self._enqueue(value, lease))
        except BaseException as error:
            self._notify(error)
            await self._withdraw(error)
            raise

    async def wait(self, *, timeout: float | None = None) -> bool:
        """Wait until the entry is admitted; return False if that took longer than `timeout`.

        `timeout` is the number of seconds to wait for older entries; None sets no limit, 0 does not
        wait. If it returns False, the entry keeps its place: call `wait` again, or `leave`. No
        request is sent if the answer to `enqueue` showed that the entry is admitted. Raises
        `ValueError` while there is no entry. A cancellation is raised after the key was deleted.
        """
        seconds = check_wait("timeout", timeout)
        if self._revision is None:
            raise ValueError(f"there is no entry in {self.prefix!r} to wait with: enqueue it first")
        try:
            admitted = await self._until_admitted(seconds)
            if admitted and self.session.is_lost:
                raise self._lost_with_session()
        except BaseException as error:
            self._notify(error)
            await self._withdraw(error)
            raise
        self._admitted = admitted
        return admitted

    async def acquire(self, value: bytes = b"", *, timeout: float | None = None) -> bool:
        """Enqueue and wait; return False, without an entry, if not admitted within `timeout`.

        It takes one round trip if the entry is admitted at once. `timeout` is the number of
        seconds to wait for older entries; None sets no limit, 0 does not wait.
        """
        deadline = Deadline.after(check_wait("timeout", timeout))
        await self.enqueue(value)
        if await self.wait(timeout=deadline.remaining()):
            return True
        await self._withdraw()
        return False

    async def _enqueue(self, value: bytes, lease: Lease) -> None:
        if lease.is_lost:
            raise self._lost_with_session()
        # A deletion that arrives late must find another create revision than the new entry's.
        await self.session._pending_deletions.delete_now(self.key)
        request = self._request(value, lease)
        while True:
            self._in_doubt = True
            try:
                answer = await self._services.kv.transaction(*request)
            except ClientError as error:
                self._in_doubt = not error.definite
                if isinstance(error, LeaseNotFoundError):
                    raise self._lost_with_session() from error
                raise
            self._in_doubt = False
            revision = answer.header.revision
            if answer.succeeded:
                self._begin(revision, revision, answer.gets[0])
                return
            found, newest, *refusing = answer.gets
            if not found and self._refusal is not None:
                raise self._refusal.error(refusing)
            held = found[0]
            if held.lease != lease.id:
                raise PreconditionFailedError(
                    f"the key {self.key!r} exists already, and not with the session's lease"
                )
            self._begin(held.create_revision, revision, newest)
            if held.value == value or await self.replace(value):
                return

    def _request(
        self, value: bytes, lease: Lease
    ) -> tuple[list[Compare], list[Operation], list[Operation]]:
        """Return the transaction that puts the key and reads the newest of the older keys."""
        txn, refusal = self._services.kv.transactions, self._refusal
        older = self._older_entries.operation()
        compares: list[Compare] = [txn.create(self.key) == 0]
        failure: list[Operation] = [txn.get(self.key), older]
        if refusal is not None:
            compares += refusal.compares
            failure += refusal.reads
        return compares, [txn.put(self.key, value, lease), older], failure

    def _begin(self, revision: int, seen: int, newest: GetRange) -> None:
        """Record the entry's create revision, and which of the newest keys at `seen` are older."""
        if revision != self._revision:
            self._revision, self._admitted, self._leaving = revision, False, False
            self._hold = Hold(self._services, self._label, self.key, revision, self.session.lease)
        self._older = self._older_entries.of_answer(newest, revision, seen)

    # Waiting ---------------------------------------------------------------------------

    @property
    def _is_first(self) -> bool:
        """Whether the answer to `enqueue` showed that the entry is admitted."""
        return self._older is not None and len(self._older.keys) < self.places

    async def _until_admitted(self, seconds: float | None) -> bool:
        older, self._older = self._older, None
        if older is None and seconds == 0:
            older = await self._read_older()
        if older is not None and (len(older.keys) < self.places or seconds == 0):
            return len(older.keys) < self.places
        lost = asyncio.create_task(self.session.lease.until_lost())
        admitted = asyncio.create_task(self._admission(older))
        await until_one_is_done(lost, admitted, timeout=seconds)
        if not admitted.cancelled():
            try:
                admitted.result()
            finally:
                del admitted  # it keeps its error, which keeps this frame
            return True
        if not lost.cancelled():
            raise self._lost_with_session()
        # The time may have run out before the watch reported a deletion.
        return len((await self._read_older()).keys) < self.places

    async def _admission(self, older: Older | None) -> None:
        """Return when the entry is admitted; `older` holds the older keys, None to read them."""
        while True:
            if older is None:
                older = await self._read_older()
            if len(older.keys) < self.places:
                return
            try:
                await self._older_entries.until_fewer(older)
            except RevisionCompactedError:
                pass  # the history was compacted while the stream was broken: read again
            # Read once more before it is admitted: during a long wait its own key may have been
            # deleted, with the lease (etcd issue 19597) or by an operator.
            older = None

    async def _read_older(self) -> Older:
        """Read the older keys; raise `LockLostError` if the entry no longer exists."""
        assert self._revision is not None
        older = await self._older_entries.read(self.key, self._revision)
        if older is None:
            raise LockLostError(
                f"{self._label} is lost: its key {self.key!r} was deleted",
                key=self.key,
                lease_id=self.session.lease.id,
            )
        return older

    # Holding and leaving ---------------------------------------------------------------

    async def replace(self, value: bytes) -> bool:
        """Replace the value of the key; return False if the entry no longer exists.

        Nothing changes then. After a cancellation the value may have been replaced. Raises
        `ValueError` while there is no entry.
        """
        ownership, hold = self.ownership(), self._hold
        put = self._services.kv.transactions.put(self.key, value, self.session.lease)
        succeeded = (await self._services.kv.transaction([ownership], [put])).succeeded
        if not succeeded and hold is not None:
            if self._hold is hold:  # the answer may come when there is another entry
                self._reset()
            await hold.record_deleted_key()
        return succeeded

    async def is_admitted(self) -> bool:
        """Ask etcd whether the entry exists and is admitted.

        False without a call while there is no entry, and if the session is known to be lost.
        """
        if self._revision is None or self.session.is_lost:
            return False
        try:
            return len((await self._read_older()).keys) < self.places
        except LockLostError:
            return False

    async def first(self) -> KeyValue | None:
        """Return the oldest entry of the queue, of any session; None if the queue is empty."""
        return await first_key(self._services.kv, self.prefix)

    async def leave(self) -> bool:
        """Delete the entry; return whether its key still existed. False if there was no entry.

        A deletion whose answer is lost is repeated once. If the key does not exist then, and the
        session has not ended, the first attempt deleted it, and True is returned.

        After a `ClientError` the key is deleted in the background as soon as etcd answers, or with
        the lease; until then `leave` may be called again. A cancellation is raised after the key
        was deleted, or after the deletion has failed, which is logged.
        """
        return await self._leave(self._delete_or_defer)

    async def _leave(self, delete: Callable[..., Coroutine[Any, Any, bool]]) -> bool:
        """Leave; `delete` is, or calls, `_delete_or_defer`."""
        hold, revision = self._hold, self._revision
        if hold is None or revision is None:
            return False
        admitted, again, hold.left = self._admitted, self._leaving, True
        self._reset()
        try:
            held = await self._services.run_to_completion(
                hold.release(delete(revision, again=again))
            )
        except Exception:
            self._hold, hold.left = hold, False
            self._revision, self._admitted, self._leaving = revision, admitted, True
            raise
        if not held:
            hold.notify()
        return held

    async def _withdraw(self, error: BaseException | None = None) -> None:
        """Delete the key, if it was put, even if the task is cancelled; log a failure.

        `error` is the exception that is being handled, if there is one.
        """
        revision = self._revision
        if self._hold is not None:
            self._hold.released = self._hold.left = True
        self._reset()
        if revision is not None or self._in_doubt:
            deleting = log_errors(self._delete_or_defer(revision))
            await self._services.run_to_completion(deleting, error)
        else:
            self.session._pending_deletions.resume(self.key, self.session.lease)

    async def _delete_or_defer(self, revision: int | None, *, again: bool = False) -> bool:
        """Call `delete_or_defer`; the caller awaits it by `run_to_completion`.

        If it continued after its caller, it could delete the key that the session enqueues next.
        """
        self._in_doubt = False
        return await delete_or_defer(self.session, self.key, revision, again=again)

    def _reset(self) -> None:
        self._revision, self._older, self._admitted, self._leaving = None, None, False, False
        self._hold = None

    @property
    def _label(self) -> str:
        return f"the entry {self.key!r}" if self._name is None else self._name

    def _lost_with_session(self) -> LockLostError:
        return lost_with_lease(self._label, self.key, self.session.lease)

    def _notify(self, error: BaseException) -> None:
        """Record that this error notifies the current task of the loss of the session."""
        if isinstance(error, LockLostError) and self.session.is_lost:
            loss_notices(self.session.lease).add()

    def __repr__(self) -> str:
        return f"QueueEntry(prefix={self.prefix!r}, fencing_token={self.fencing_token})"
