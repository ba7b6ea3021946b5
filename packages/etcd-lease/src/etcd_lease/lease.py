"""A lease: a time to live that keys can share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from etcd_channel import ClientError, Service
from etcd_channel.arguments import check_int, check_timeout
from etcd_channel.errors import LeaseNotFoundError
from etcd_lease._clock import now
from etcd_lease._keeper import Keeper
from etcd_lease._life import Life
from etcd_lease.errors import LeaseExpiredError
from etcd_lease.requests import checked_lease_id
from etcd_lease.results import LeaseInfo, LeaseRefresh

if TYPE_CHECKING:
    from etcd_lease.client import LeaseClient

__all__ = ["Lease", "Loss", "PendingLease"]

T = TypeVar("T")

_log = logging.getLogger("etcd_lease")


class Lease:
    """A lease: the keys that were put with it are deleted when it ends.

    Made by `LeaseClient.lease`, or by anyone who knows the id of one: `ttl` is the number
    of seconds that it was granted for, `etcd_client` a `LeaseClient` or `Client`. It ends
    when it is revoked, or was not renewed for its time to live: by `refresh`, or for as
    long as it is wanted by `keep_alive`.

    It is an async context manager, which revokes it at the end of the block.

    What `is_lost`, `lost` and `remaining` promise: while the lease is not lost, the server
    has it. They count its time to live from the moment at which the last request that was
    acknowledged (the grant, a renewal) was *sent*, by a clock of this machine which goes on
    while the process is stopped, its event loop blocked or the machine suspended. The clock
    is asked each time, so after such a stall the lease is lost before anything can be told
    of it; and lost is lost, also when an answer comes in later, or when the server, which
    began to count later, still has the lease for a moment. (Only etcd's own mistake can take
    a lease away earlier: a leader that goes on after a stall may revoke what the next one
    has renewed, https://github.com/etcd-io/etcd/issues/15247. It is told by the next
    keep-alive.)

    What they cannot promise: that the lease is not lost in the next instant, while a
    request that relies on it is under way. Where two must never act at once the store has
    to decide: by a transaction that compares a key which lives with the lease, or by a
    fencing token (the `create_revision` of that key) which whatever is written to
    checks (https://etcd.io/docs/latest/learning/why/, "Notes on the usage of lock and
    lease").

    A lease that was made from an id alone is neither lost nor sure to live until the server
    has been heard of it: by `refresh` or `keep_alive`. All `Lease` objects of one id on one
    channel share what is known.
    """

    def __init__(self, lease_id: int, ttl: int, etcd_client: LeaseClient) -> None:
        number = checked_lease_id("lease_id", lease_id)
        seconds = check_int("ttl", ttl, minimum=1)
        if not isinstance(etcd_client, Service) or not hasattr(etcd_client, "revoke_lease"):
            raise TypeError(
                f"etcd_client must be a LeaseClient or a Client, not {type(etcd_client).__name__}"
            )
        keeper = etcd_client.channel.shared(Keeper)
        self._begin(etcd_client, keeper, keeper.life(number, seconds))

    def _begin(self, client: LeaseClient, keeper: Keeper, life: Life) -> None:
        self._client = client
        self._keeper = keeper
        self._life = life

    @classmethod
    def _granted(cls, client: LeaseClient, keeper: Keeper, life: Life) -> Lease:
        """Make the lease of this life, be it lost by now."""
        lease = cls.__new__(cls)
        lease._begin(client, keeper, life)
        return lease

    @property
    def id(self) -> int:
        """The id of the lease."""
        return self._life.id

    @property
    def ttl(self) -> int:
        """The seconds that it was granted for; the server may grant more than it was asked."""
        return self._life.ttl

    def __repr__(self) -> str:
        lost = ", lost" if self.is_lost else ""
        return f"Lease(id={self.id}, ttl={self.ttl}{lost})"

    # What the server says --------------------------------------------------------------

    async def revoke(self, *, timeout: float | None = None) -> None:
        """End the lease, and delete the keys that were put with it.

        As `LeaseClient.revoke_lease`: from the call on it is lost and no longer kept alive,
        whatever comes of it.
        """
        await self._client.revoke_lease(self.id, timeout=timeout)

    async def refresh(self, *, timeout: float | None = None) -> LeaseRefresh:
        """Renew the lease once: it lives for its whole time to live from now on.

        Raises `LeaseExpiredError` when it is gone. A lease that is lost is not renewed, and
        nothing is sent.
        """
        return await self._ask(self._client.refresh_lease(self.id, timeout=timeout))

    async def remaining_ttl(self, *, timeout: float | None = None) -> int:
        """Ask the server for the whole seconds that are left; 0 in the last one.

        Raises `LeaseExpiredError` when it is lost. `remaining` says the same without a call.
        """
        return (await self._info(keys=False, timeout=timeout)).ttl

    async def granted_ttl(self, *, timeout: float | None = None) -> int:
        """Ask the server for the seconds that it was granted for.

        Raises `LeaseExpiredError` when it is lost.
        """
        return (await self._info(keys=False, timeout=timeout)).granted_ttl

    async def keys(self, *, timeout: float | None = None) -> list[bytes]:
        """Ask the server for the keys that end with the lease.

        Raises `LeaseExpiredError` when it is lost.
        """
        return (await self._info(keys=True, timeout=timeout)).keys

    async def _info(self, *, keys: bool, timeout: float | None) -> LeaseInfo:
        return await self._ask(self._client.get_lease_info(self.id, keys=keys, timeout=timeout))

    async def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        """Await a question to the server, unless the lease is lost before or meanwhile."""
        try:
            self.check()
            answer = await question
        except LeaseExpiredError:
            raise
        except LeaseNotFoundError as error:
            self.check()
            raise LeaseExpiredError(str(error), lease_id=self.id) from error
        finally:
            question.close()
        self.check()
        return answer

    # Whether it lives ------------------------------------------------------------------

    async def keep_alive(self, *, timeout: float | None = None) -> None:
        """Keep the lease alive from now on: until it is revoked, lost, or `stop_keep_alive`.

        Returns when the lease is known to live: at once, or when nothing was heard of it
        yet after a refresh. Raises `LeaseExpiredError` when it is lost. To keep alive what
        is kept alive is no error.

        All leases of a channel are renewed on one stream, each after a third of its time to
        live. What is not answered within half a second is sent again, and after another on
        a new stream to the next member. Dropping the `Lease` object does not stop it.
        """
        if timeout is not None:
            check_timeout("timeout", timeout)
        if not self._life.confirmed:
            await self.refresh(timeout=timeout)
        self.check()
        self._keeper.keep(self._life)

    def stop_keep_alive(self) -> None:
        """Keep the lease alive no longer: it lives for what is left of its time to live."""
        self._keeper.release(self._life)

    @property
    def is_lost(self) -> bool:
        """Whether the lease is lost, by the clock; once True it is True for ever."""
        return self._life.lost(now()) is not None

    @property
    def lost(self) -> Loss:
        """To await the loss: `error = await lease.lost`.

        What it returns, and does not raise, is the `LeaseExpiredError` that says why: the
        server has the lease no more, its time to live ran out without a renewal, this
        client revoked it, or nothing keeps it alive any more because the channel was closed.
        Any number of tasks may wait, and be cancelled. After the machine was suspended a
        waiter may wake up later than `is_lost` knows, by a third of the time to live where
        the lease is kept alive. This is no task and no future; where one is needed,
        `asyncio.ensure_future(lease.lost)` makes one.
        """
        return Loss(self._life)

    @property
    def remaining(self) -> float:
        """The seconds for which the lease surely lives, by the clock.

        0.0 when it is lost, or when nothing was heard of it yet.
        """
        return self._life.remaining(now())

    def check(self) -> None:
        """Raise the `LeaseExpiredError` that says why the lease is lost, if it is."""
        ending = self._life.lost(now())
        if ending is not None:
            raise self._life.error(ending)

    # The block that it is for ----------------------------------------------------------

    async def __aenter__(self) -> Lease:
        self.check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Revoke the lease.

        If that fails it is logged: the server ends the lease when its time is up. If the
        lease was kept alive and lost all the same, and the block ended well without knowing
        it, that is raised as `LeaseExpiredError`.
        """
        ending = self._life.lost(now())
        if ending is None or not (ending.gone or ending.wanted):
            await self._end()
        if error is None and ending is not None and self._life.kept and not ending.wanted:
            raise self._life.error(ending)

    async def _end(self) -> None:
        """Revoke, also if the task that leaves the block is cancelled meanwhile."""
        task = asyncio.create_task(self._revoke_quietly(), name="etcd Lease.LeaseRevoke")
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._client.channel.clean_up(_joined(task))
            raise

    async def _revoke_quietly(self) -> None:
        try:
            # When its time is up the server needs nobody to end it.
            await self.revoke(timeout=min(self.ttl, self._client.channel.timeout))
        except LeaseNotFoundError:
            pass
        except ClientError as error:
            _log.warning("the lease %d was not revoked, it ends by itself: %s", self.id, error)


class Loss(Awaitable[LeaseExpiredError]):
    """Waits for a lease to be lost; see `Lease.lost`."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def __await__(self) -> Generator[Any, None, LeaseExpiredError]:
        return self._wait().__await__()

    async def _wait(self) -> LeaseExpiredError:
        life = self._life
        loop = asyncio.get_running_loop()
        while (ending := life.lost(now())) is None:
            changed: asyncio.Future[None] = loop.create_future()
            wake = partial(_wake, changed)
            life.watch(wake)
            try:
                # Whoever waits watches the clock as well: a lease that nobody keeps alive
                # is lost without anything happening.
                timeout = life.remaining(now()) if life.confirmed else None
                await asyncio.wait([changed], timeout=timeout)
            finally:
                life.unwatch(wake)
        return life.error(ending)

    def __repr__(self) -> str:
        return f"Loss(lease={self._life.id})"


class PendingLease(Coroutine[Any, Any, Lease]):
    """A lease that is being granted: `await` gives it, `async with` revokes it at the end.

    It is a coroutine to asyncio, so that it can be made a task.
    """

    def __init__(self, granting: Coroutine[Any, Any, Lease]) -> None:
        self._granting = granting
        self._lease: Lease | None = None

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
        return self._lease

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._lease is not None
        await self._lease.__aexit__(kind, error, trace)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _joined(task: asyncio.Task[Any]) -> None:
    await task
