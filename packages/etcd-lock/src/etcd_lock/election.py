"""An election in etcd's own key layout."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from etcd_channel import KeyValue
from etcd_channel.arguments import check_bytes, check_flag, check_wait
from etcd_channel.deadline import Deadline
from etcd_channel.tasks import finish
from etcd_lock._entry_holder import EntryHolder
from etcd_lock._hold import Hold
from etcd_lock._hold_blocks import HoldBlocks
from etcd_lock._local_lock import LocalLock
from etcd_lock._metrics import wait_measured
from etcd_lock._observing import election_prefix, observe_leaders
from etcd_lock._own_tasks import acquire_local
from etcd_lock.errors import LockTimeoutError, NotLeaderOfElectionError
from etcd_lock.queue_entry import QueueEntry
from etcd_lock.session import Session

__all__ = ["Election"]


class Election(EntryHolder):
    """An election: the oldest candidate leads, and its value is the proclamation.

    It is compatible with Go's `concurrency.Election` and `etcdctl elect` of the same name. The
    candidacy ends with the lease of `session`. `name` is the prefix of the keys, to which a slash
    is added. `leader` and `observe` need no candidacy; `LockClient.election_leader` and
    `LockClient.observe_election` do the same without a session.

    `lead` is a block that is run while this session leads. Tasks that use `lead` of one object lead
    in turn: each campaigns when the one before has left its block, or has resigned. `campaign` and
    `resign` are of the session, whichever task calls them. Without `lead`, no block raises the loss
    of the lead: a leader awaits `lost`; after a loss `proclaim` raises `NotLeaderOfElectionError`,
    and `resign` returns False.

    Winning an election without other candidates takes one round trip, and so does resigning.
    """

    def __init__(self, session: Session, name: bytes) -> None:
        entry = QueueEntry(session, election_prefix(name))
        super().__init__(entry, name, "the candidacy for")
        # Held by a task that campaigns, and by a `lead` block until its candidacy has ended.
        self._turn = LocalLock(set())
        # The candidacy of that block.
        self._leading: Hold | None = None

    async def campaign(self, value: bytes, *, timeout: float | None = None) -> bool:
        """Wait to be elected with `value`; return False if that took longer than `timeout` seconds.

        None sets no limit, 0 does not wait. If it returns False, raises or is cancelled, the
        candidacy is withdrawn. A leader that campaigns again proclaims `value`; if that fails in a
        `lead` block, the candidacy stays. Raises `LockLostError` if the session ends, or the key is
        deleted, while it waits.
        """
        check_bytes("value", value)
        deadline = Deadline.after(check_wait("timeout", timeout))
        return await self._measured(self._campaign(value, deadline))

    async def _measured(self, campaign: Coroutine[Any, Any, bool]) -> bool:
        return await wait_measured(self._entry._services.observer, "Election.campaign", campaign)

    async def _campaign(self, value: bytes, deadline: Deadline) -> bool:
        if self._leading is not None and self._leading is self._entry._hold:
            if self._entry._leaving:
                # The deletion of the key is pending, as `resign` has failed.
                await self.resign()
            else:
                with suppress(NotLeaderOfElectionError):  # then it campaigns anew
                    await self.proclaim(value)
                    return True
        if not await acquire_local(self._turn, self._entry, deadline):
            return False
        try:
            elected = await self._entry.acquire(value, timeout=deadline.remaining())
        finally:
            self._turn.release()
        if elected and self._entry._hold is not None:
            self._entry._hold.record_acquirer()
        return elected

    async def _campaign_to_lead(self, value: bytes, deadline: Deadline) -> bool:
        """Campaign, and keep the turn of the current task until `_pass_turn`."""
        if self._leading is not None and self._leading.is_own:
            raise RuntimeError(f"this task is in a `lead` block of the election {self._name!r}")
        if not await acquire_local(self._turn, self._entry, deadline):
            return False
        try:
            elected = await self._entry.acquire(value, timeout=deadline.remaining())
            self._leading = self._entry._hold if elected else None
            if self._leading is not None:
                self._leading.record_acquirer()
        finally:
            if self._leading is None:
                self._turn.release()
        return elected

    def _pass_turn(self, hold: Hold | None) -> None:
        """Let the next task campaign, if `hold` is that of a `lead` block and has ended."""
        if hold is not None and hold is self._leading:
            self._leading = None
            self._turn.release()

    def lead(
        self, value: bytes, *, timeout: float | None = None, cancel_on_loss: bool = True
    ) -> AbstractAsyncContextManager[Election]:
        """Campaign with `value`, run the body while this session leads, and resign at the end.

        Use it as `async with election.lead(b"node-1"):`. Entering it waits to be elected, for
        `timeout` seconds at most, None without limit, and raises `LockTimeoutError` then; the body
        never runs without the lead. A task that is in the body cannot enter another one of the same
        object: `RuntimeError` is raised. The body is cancelled when the lead is lost, and
        `LockLostError` is raised in place of the `CancelledError`. With `cancel_on_loss=False` it
        is raised at the end of the block instead, unless the body was notified, as described for
        `Lock`. Nothing is raised if the body itself resigns.
        """
        return _Lead(
            self,
            check_bytes("value", value),
            check_wait("timeout", timeout),
            check_flag("cancel_on_loss", cancel_on_loss),
        )

    async def proclaim(self, value: bytes) -> None:
        """Replace the leader's value.

        Raises `NotLeaderOfElectionError` if this session does not lead, or no longer leads.
        A cancellation is raised once the outcome is known, so that this proclamation cannot
        overwrite a later one.
        """
        check_bytes("value", value)
        if self.fencing_token is None:
            raise NotLeaderOfElectionError("this session was not elected")
        hold = self._entry._hold
        try:
            await finish(self._proclaim(value, hold))
        except NotLeaderOfElectionError:
            if hold is not None:
                hold.notify()
            raise
        finally:
            # Also if it was cancelled, so that the error is not raised. `resign` passes it itself.
            if hold is not None and not hold.left and self._entry._hold is not hold:
                self._pass_turn(hold)

    async def _proclaim(self, value: bytes, hold: Hold | None) -> None:
        if not await self._entry.replace(value):
            loss = None if hold is None else hold.error()
            raise NotLeaderOfElectionError("this session no longer leads") from loss

    async def resign(self) -> bool:
        """Stop leading; return whether this session still led. False if it was not elected.

        A cancellation is raised after the candidacy was withdrawn. After a `ClientError` it may be
        called again.
        """
        if self.fencing_token is None:
            return False
        hold = self._entry._hold
        try:
            return await self._entry.leave()
        finally:
            if hold is not None and hold.left:
                self._pass_turn(hold)

    async def _end_lead(self, hold: Hold) -> bool:
        try:
            return await self._release(self.resign, hold)
        finally:
            self._pass_turn(hold)

    async def leader(self) -> KeyValue | None:
        """Return the leader's key with the last proclaimed value; None if there is no leader."""
        return await self._entry.first()

    def observe(self) -> AsyncGenerator[KeyValue, None]:
        """Iterate over the leader's key: as it is now, then at each proclamation and new leader.

        It survives breaks of the connection. A leader that is replaced before it was read may be
        skipped, as in etcd's Go client; the newest value is always yielded. Close the iterator
        (`aclose`, or `async with contextlib.aclosing(…)`) to end the watch.
        """
        return observe_leaders(self._entry.session.channel, self._entry.prefix)


class _Lead(AbstractAsyncContextManager["Election"]):
    """One `async with election.lead(…)`."""

    def __init__(
        self, election: Election, value: bytes, timeout: float | None, cancel_on_loss: bool
    ) -> None:
        self._election = election
        self._value = value
        self._timeout = timeout
        self._cancel_on_loss = cancel_on_loss
        self._blocks = HoldBlocks[Hold](election._entry.session.channel)

    async def __aenter__(self) -> Election:
        election = self._election
        deadline = Deadline.after(self._timeout)
        if not await election._measured(election._campaign_to_lead(self._value, deadline)):
            raise LockTimeoutError(
                f"could not win the election {election._name!r} within {self._timeout} s"
            )
        self._blocks.enter(election._leading, cancel_on_loss=self._cancel_on_loss)
        return election

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._blocks.leave(error, self._election._end_lead, self._election._entry._hold)
