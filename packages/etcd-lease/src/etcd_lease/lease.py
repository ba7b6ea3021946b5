"""`Lease`: a time to live that keys can share."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Generator
from typing import Any, Protocol, TypeVar, runtime_checkable

from etcd_channel import ChannelLike, ClientError, LeaseLike, NonCopyable
from etcd_channel.arguments import check_int, check_lease_id, check_timeout
from etcd_channel.errors import LeaseNotFoundError
from etcd_lease._clock import now
from etcd_lease._keeper import LeaseKeeper
from etcd_lease._state import GONE, LeaseState
from etcd_lease.blocks import Block
from etcd_lease.errors import LeaseExpiredError
from etcd_lease.loss import LeaseLoss, until_lost
from etcd_lease.results import LeaseInfo, LeaseRefresh

__all__ = ["Lease", "LeaseCalls", "PendingLease"]

T = TypeVar("T")

_log = logging.getLogger("etcd_lease")


@runtime_checkable
class LeaseCalls(Protocol):
    """The calls that a `Lease` makes; `LeaseClient` and `Client` have them."""

    @property
    def channel(self) -> ChannelLike:
        """The channel of the calls."""

    async def revoke_lease(self, lease_id: LeaseLike, *, timeout: float | None = None) -> None:
        """Revoke a lease, see `LeaseClient.revoke_lease`."""

    async def refresh_lease(
        self, lease_id: LeaseLike, *, timeout: float | None = None
    ) -> LeaseRefresh:
        """Renew a lease once, see `LeaseClient.refresh_lease`."""

    async def get_lease_info(
        self, lease_id: LeaseLike, *, keys: bool = True, timeout: float | None = None
    ) -> LeaseInfo:
        """Read the state of a lease, see `LeaseClient.get_lease_info`."""


class Lease(NonCopyable):
    """A lease: when it ends, the server deletes the keys attached to it.

    `LeaseClient.lease` grants a lease. The constructor makes an object for a lease whose id is
    known: `ttl` is the number of seconds that it was granted for, `etcd_client` a `LeaseClient`
    or `Client`. A lease ends when it is revoked, or when it is not renewed within its time to
    live: `refresh` renews it once, `keep_alive` until it is stopped.

    It is an async context manager, which revokes the lease at the end of the block. If a lease
    that is kept alive is lost during the block, `LeaseExpiredError` is raised at its end, unless
    the body was notified: any task has awaited `lost`, or a method has raised the error. An
    error of the body is raised instead, with the loss at the end of its chain of `__context__`s.
    With `cancel_on_loss` the body is cancelled when the lease is lost, kept alive or not, and
    `LeaseExpiredError` is raised in place of the `CancelledError`. A lease that this client
    revoked itself does not count as lost here.

    `is_lost`, `lost` and `remaining` guarantee: while the lease is not lost, the server has it.
    They count its time to live from when the last acknowledged request (the grant or a renewal)
    was *sent*, by a clock of this machine that also counts while the process is stopped, its
    event loop is blocked or the machine is suspended. The clock is read at each access, so they
    are correct immediately after such a pause. A lost lease stays lost, even if an answer
    arrives later, and even if the server, which began to count later, still has the lease for a
    moment. (A defect of etcd can end a lease earlier: a leader that was replaced during a pause
    may revoke a lease that its successor has renewed,
    https://github.com/etcd-io/etcd/issues/15247. The next keep-alive reports the loss.)

    They do not guarantee that the lease still exists when a request that relies on it arrives.
    If two programs must never act at the same time, use a transaction that compares a key
    attached to the lease, or a fencing token (the `create_revision` of that key) that the other
    system checks (https://etcd.io/docs/latest/learning/why/, "Notes on the usage of lock and
    lease").

    An object made from an id is neither lost nor confirmed until the server answers the first
    `refresh` or `keep_alive`. All `Lease` objects of one id on one channel share one state.
    """

    cancel_on_loss: bool
    """Whether a loss cancels the body of an `async with`; read when the block is entered."""
    _block: Block | None

    def __init__(self, lease_id: int, ttl: int, etcd_client: LeaseCalls) -> None:
        number = check_lease_id("lease_id", lease_id)
        seconds = check_int("ttl", ttl, minimum=1)
        # isinstance is True for the class itself too.
        if isinstance(etcd_client, type) or not isinstance(etcd_client, LeaseCalls):
            raise TypeError(
                f"etcd_client must be a LeaseClient or a Client, not {type(etcd_client).__name__}"
            )
        keeper = etcd_client.channel.shared(LeaseKeeper)
        self._begin(etcd_client, keeper, keeper.state(number, seconds))

    def _begin(self, client: LeaseCalls, keeper: LeaseKeeper, state: LeaseState) -> None:
        self._client = client
        self._keeper = keeper
        self._state = state
        self.cancel_on_loss = False
        self._block = None

    @classmethod
    def _granted(
        cls, client: LeaseCalls, keeper: LeaseKeeper, state: LeaseState, cancel_on_loss: bool
    ) -> Lease:
        """Make a `Lease` with this state, which may be lost already."""
        lease = cls.__new__(cls)
        lease._begin(client, keeper, state)
        lease.cancel_on_loss = cancel_on_loss
        return lease

    @property
    def id(self) -> int:
        """The id of the lease."""
        return self._state.id

    @property
    def ttl(self) -> int:
        """The seconds that it was granted for, which may be more than requested."""
        return self._state.ttl

    def __repr__(self) -> str:
        lost = ", lost" if self.is_lost else ""
        return f"Lease(id={self.id}, ttl={self.ttl}{lost})"

    # Calls -----------------------------------------------------------------------------

    async def revoke(self, *, timeout: float | None = None) -> None:
        """Revoke the lease; the server deletes the keys attached to it.

        The lease counts as lost, and is no longer kept alive, as soon as this is called, even if
        the call fails or is cancelled. Raises as `LeaseClient.revoke_lease` does. If this client
        was granted the id again, the lease with the id is another one: nothing is revoked, and
        `LeaseExpiredError` is raised.
        """
        if self._state.granted_again:
            self.check()
        self._state.notices.record_own_end()
        await self._client.revoke_lease(self.id, timeout=timeout)

    async def refresh(self, *, timeout: float | None = None) -> LeaseRefresh:
        """Renew the lease once: its time to live starts again.

        Raises `LeaseExpiredError` if it is lost; if that is already known, without a call.
        """
        return await self._ask(self._client.refresh_lease(self.id, timeout=timeout))

    async def remaining_ttl(self, *, timeout: float | None = None) -> int:
        """Ask the server for the remaining seconds, rounded down.

        Raises `LeaseExpiredError` if the lease is lost. `remaining` needs no call.
        """
        return (await self._info(keys=False, timeout=timeout)).ttl

    async def granted_ttl(self, *, timeout: float | None = None) -> int:
        """Ask the server for the seconds that the lease was granted for.

        Raises `LeaseExpiredError` if the lease is lost.
        """
        return (await self._info(keys=False, timeout=timeout)).granted_ttl

    async def keys(self, *, timeout: float | None = None) -> list[bytes]:
        """Ask the server for the keys attached to the lease.

        Raises `LeaseExpiredError` if the lease is lost.
        """
        return (await self._info(keys=True, timeout=timeout)).keys

    async def _info(self, *, keys: bool, timeout: float | None) -> LeaseInfo:
        return await self._ask(self._client.get_lease_info(self.id, keys=keys, timeout=timeout))

    async def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        """Await a call; raise `LeaseExpiredError` if the lease is lost before or after it."""
        try:
            self.check()
            answer = await question
        except LeaseExpiredError:
            raise
        except LeaseNotFoundError as error:
            self.check()
            self._state.notices.add()
            raise LeaseExpiredError(str(error), lease_id=self.id) from error
        finally:
            question.close()
        self.check()
        return answer

    # State -----------------------------------------------------------------------------

    async def keep_alive(self, *, timeout: float | None = None) -> None:
        """Renew the lease until it is revoked or lost, or `stop_keep_alive` is called.

        Returns when the server has confirmed the lease: at once, or after a refresh if the object
        was made from an id. `timeout` is the number of seconds for that refresh; None means the
        channel's timeout. Raises `LeaseExpiredError` if the lease is lost. Repeated calls have no
        effect.

        The lease is renewed when half of its time to live is over, or earlier, so that 5 s are
        left; below 7.5 s, and through etcd's grpc-proxy, after a third of it. The first renewal
        is earlier, at random. A keep-alive that is not answered within half a second is sent
        again, and after another half a second on a new stream to the next member; the proxy
        answers only when it renews the lease itself, and gets more time. The leases of a channel
        share streams. Dropping the `Lease` object does not stop the keep-alives.
        """
        if timeout is not None:
            check_timeout("timeout", timeout)
        if not self._state.confirmed:
            await self.refresh(timeout=timeout)
        self.check()
        self._keeper.keep(self._state)

    def stop_keep_alive(self) -> None:
        """Stop renewing the lease; it ends when its time to live is over. Sends nothing."""
        self._keeper.release(self._state)

    @property
    def is_lost(self) -> bool:
        """Whether the lease is lost, by the clock and without a call; once True, it stays True."""
        return self._state.lost(now()) is not None

    @property
    def lost(self) -> LeaseLoss:
        """A coroutine that waits for the loss of the lease: `error = await lease.lost`.

        It returns, and does not raise, the `LeaseExpiredError` with the reason: the server no
        longer has the lease, no renewal was acknowledged within its time to live, this client
        revoked it, or the channel that kept it alive was closed. Any number of tasks may wait;
        cancelling one does not affect the others or the lease. After the machine was suspended,
        a waiting task may resume later than `is_lost` becomes True, by up to half of the time
        to live if the lease is kept alive.

        To pass it to `asyncio.wait`, make it a task:

            lost = asyncio.create_task(lease.lost)
            await asyncio.wait([work, lost], return_when=asyncio.FIRST_COMPLETED)
        """
        return LeaseLoss(self._state)

    @property
    def loss(self) -> LeaseExpiredError | None:
        """The error that `lost` would return; None if the lease is not lost by the clock.

        Reading it does not count as being notified of the loss.
        """
        reason = self._state.lost(now())
        return None if reason is None else self._state.error(reason)

    async def until_lost(self) -> LeaseExpiredError:
        """Wait as `lost` does, but without counting as notified of the loss.

        For packages that are built on leases.
        """
        return await until_lost(self._state)

    @property
    def is_revoked(self) -> bool:
        """Whether the lease is lost because this client revoked it."""
        reason = self._state.lost(now())
        return reason is not None and reason.revoked

    @property
    def is_kept_alive(self) -> bool:
        """Whether `keep_alive` was called and not stopped; stays True when the lease is lost."""
        return self._state.kept_alive

    @property
    def remaining(self) -> float:
        """The seconds for which the server is certain to have the lease, by the clock.

        0.0 if it is lost, or not confirmed yet.
        """
        return self._state.remaining(now())

    def check(self) -> None:
        """Raise a `LeaseExpiredError` with the reason if the lease is lost, by the clock."""
        error = self.loss
        if error is not None:
            self._state.notices.add()
            raise error

    # Context manager -------------------------------------------------------------------

    async def __aenter__(self) -> Lease:
        self.check()
        if self.cancel_on_loss:
            if self._block is None:
                self._block = Block(self._client.channel, _log)
            self._block.cancel_on_loss(
                self._loss_to_cancel_for, self._state.notices, f"the lease {self.id} is lost"
            )
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Revoke the lease, however often the task is cancelled meanwhile.

        A failed revocation is logged: the server ends the lease when its time to live is over.
        Raises `LeaseExpiredError` if the lease was kept alive and lost, the body raised no error,
        and no task was notified of the loss (awaited `lost`, or got the error from a method).
        """
        block = self._block or Block(self._client.channel, _log)
        await block.leave(
            error, self._end(), notified=self._state.notices.given, notify=self._state.notices.add
        )

    async def _end(self) -> LeaseExpiredError | None:
        """Revoke the lease; return the error if it was lost before and was not meant to end."""
        state = self._state
        reason = state.lost(now())
        ended = reason is not None and (reason.gone or reason.revoked or state.granted_again)
        if not ended:
            # The server ends it by itself when its time to live is over.
            try:
                await self.revoke(timeout=min(self.ttl, self._client.channel.timeout))
            except LeaseNotFoundError:
                if reason is None:
                    reason = GONE
                    if state.kept_alive:
                        state.log(reason)
            except Exception as error:
                # An error of a view of the channel must not hide a loss.
                if reason is None and not isinstance(error, ClientError):
                    raise
                _log.warning(
                    "the lease %d was not revoked; it ends with its time to live: %s",
                    self.id,
                    repr(error),
                )
        meant = not (state.kept_alive or self.cancel_on_loss)
        return None if reason is None or reason.revoked or meant else state.error(reason)

    async def _loss_to_cancel_for(self) -> LeaseExpiredError | None:
        error = await self.until_lost()
        return None if self.is_revoked else error


class PendingLease(NonCopyable, Coroutine[Any, Any, Lease]):
    """A grant: `await` returns the `Lease`, `async with` revokes it at the end of the block.

    It is a coroutine: `asyncio.create_task` takes it, and Python warns if it is never awaited.
    """

    def __init__(self, granting: Coroutine[Any, Any, Lease]) -> None:
        self._granting = granting
        self._lease: Lease | None = None

    def __repr__(self) -> str:
        return f"PendingLease({'not granted yet' if self._lease is None else self._lease})"

    def __await__(self) -> Generator[Any, Any, Lease]:
        return self._granting.__await__()

    def send(self, value: Any) -> Any:
        return self._granting.send(value)

    def throw(self, *error: Any) -> Any:
        return self._granting.throw(*error)

    def close(self) -> None:
        self._granting.close()

    async def __aenter__(self) -> Lease:
        self._lease = await self._granting
        return await self._lease.__aenter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        assert self._lease is not None
        await self._lease.__aexit__(kind, error, trace)
