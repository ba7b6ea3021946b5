"""A job of a work queue, while it is claimed."""

from __future__ import annotations

import asyncio
import logging

from etcd_channel import ClientError, NonCopyable
from etcd_kv import Compare, KVClient, Operation
from etcd_lease.blocks import Block
from etcd_lease.loss import loss_notices
from etcd_lock import Session
from etcd_recipes._claims import free_later
from etcd_recipes._job_keys import JobKeys
from etcd_recipes.errors import ClaimLostError

__all__ = ["Job"]

_log = logging.getLogger("etcd_recipes")


class Job(NonCopyable):
    """A job that was claimed by `WorkQueue.take`, for as long as the session of the claim lives.

    `async with job:` records it as done at the end, and gives it back if the body raises or is
    cancelled. If the session is lost meanwhile the body is cancelled, and `ClaimLostError` is
    raised in place of the `CancelledError`; it is also raised at the end if the claim was deleted.
    If etcd cannot be reached at the end, the error is raised, and the job is given back in the
    background, or with the session.
    """

    def __init__(
        self,
        session: Session,
        keys: JobKeys,
        value: bytes,
        attempt: int,
        revision: int,
        token: bytes,
        *,
        is_last: bool,
    ) -> None:
        self._session = session
        self._kv = KVClient(session.channel)
        self._keys = keys
        self._revision = revision
        # The value of the claim.
        self._token = token
        self._is_last = is_last
        self._settled = False
        self._block = Block(session.channel, _log)
        self.value = value
        """What was put into the queue."""
        self.attempt = attempt
        """How often it was claimed, 1 for the first time."""

    @property
    def id(self) -> bytes:
        """The id that `WorkQueue.put` returned."""
        return self._keys.id

    @property
    def fencing_token(self) -> int:
        """The revision of the claim, higher than that of every earlier claim of the job."""
        return self._revision

    def ownership(self) -> Compare:
        """Return a compare for transactions that succeeds while the job is claimed by this one."""
        return self._kv.transactions.create(self._keys.claim) == self._revision

    async def done(self) -> bool:
        """Record the job as done: it is removed from the queue.

        Returns False if the claim is lost; nothing is changed then, and another one may have the
        job. It takes one round trip. If its answer is lost, it is sent once more, which has no
        effect if the first one was applied.
        """
        txn = self._kv.transactions
        return await self._settle([txn.delete(key) for key in self._keys.all], removes=True)

    async def give_back(self) -> bool:
        """Let others claim the job, or give it up if this was the last attempt.

        Returns False if the claim is lost; nothing is changed then. The attempt counts.
        """
        if self._is_last:
            return await self.give_up()
        return await self._settle([self._kv.transactions.delete(self._keys.claim)], removes=False)

    async def give_up(self) -> bool:
        """Move the job to the dead letters; return False if the claim is lost."""
        txn = self._kv.transactions
        bury = txn.put(self._keys.dead, self.value)
        return await self._settle(
            [*(txn.delete(key) for key in self._keys.all), bury], removes=True
        )

    async def _settle(self, operations: list[Operation], *, removes: bool) -> bool:
        settling = self._transaction(operations, removes=removes)
        succeeded = await self._session.channel.run_to_completion(settling)
        self._settled = True
        return succeeded

    async def _transaction(self, operations: list[Operation], *, removes: bool) -> bool:
        """Execute the operations if the job is claimed; `removes` if they delete the job."""
        own = [self.ownership()]
        try:
            return (await self._kv.transaction(own, operations)).succeeded
        except ClientError as error:
            if error.definite or self._session.channel.closed:
                raise
        # The claim has one create revision, so a second transaction cannot change another claim.
        look = self._kv.transactions.get(self._keys.job, keys_only=True)
        result = await self._kv.transaction(own, operations, [look])
        if result.succeeded:
            return True
        # The claim is gone: the first one was applied, unless the job that it deletes exists.
        return not self._session.is_lost and not (removes and len(result.gets[0]))

    # Block -----------------------------------------------------------------------------

    async def __aenter__(self) -> Job:
        lease = self._session.lease
        message = f"the claim on the job {self.id!r} is lost"
        self._block.cancel_on_loss(self._loss, loss_notices(lease), message)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._block.leave(error, self._end(error), notified=False, notify=self._notify)

    async def _end(self, error: BaseException | None) -> ClientError | None:
        if self._settled:
            return None
        if self._session.is_lost:
            return self._error()
        try:
            held = await (self.done() if error is None else self.give_back())
        except BaseException:
            # Others would not get the job for as long as the session lives.
            free_later(self._session, [self._keys.claim], self._token)
            raise
        return None if held else self._error()

    async def _undo(self) -> None:
        """Give the job back; in the background if that fails."""
        try:
            await self.give_back()
        except BaseException:
            free_later(self._session, [self._keys.claim], self._token)
            raise

    async def _loss(self) -> ClientError | None:
        await self._session.lease.until_lost()
        return None if self._session.lease.is_revoked else self._error()

    def _error(self) -> ClaimLostError:
        error = ClaimLostError(
            f"the claim on the job {self.id!r} is lost: another one may have it",
            job_id=self.id,
            lease_id=self._session.lease.id,
        )
        error.__cause__ = self._session.lease.loss
        return error

    def _notify(self) -> None:
        if self._session.is_lost and asyncio.current_task() is not None:
            # The session need not raise it again to this task.
            loss_notices(self._session.lease).add()

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, attempt={self.attempt})"
