"""A key of a service's instance that comes back by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from etcd_channel import (
    ChannelLike,
    ClientError,
    ConnectionTimeoutError,
    RevisionCompactedError,
    Service,
)
from etcd_channel.arguments import check_callback, check_int, check_key, check_wait
from etcd_channel.errors import ClientClosedError, LeaseNotFoundError
from etcd_lease import Lease
from etcd_recipes._recipe import Recipe
from etcd_recipes._waiting import within
from etcd_recipes.endpoint import Endpoint
from etcd_watch import EventKind

__all__ = ["Registration", "RegistrationChange"]

_log = logging.getLogger("etcd_recipes")

# Seconds between two attempts to register: the first and the longest pause.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class RegistrationChange:
    """A change of a registration, for its `on_change`."""

    registered: bool
    """Whether it is registered from now on."""
    gap: float
    """The seconds for which it was not registered, as far as is known; 0.0 when it begins."""
    reason: str
    """Why it is not registered; empty if it is."""


class Registration(Recipe):
    """A key with the address of a service's instance, which is there as long as the program is.

    The key is `<service>/<instance>` with a lease of `ttl` seconds, and its value the JSON of
    `naming/endpoints` of etcd's Go client, so its resolver for gRPC finds the instance. `instance`
    None means the address. `metadata` is anything that JSON can hold.

    `async with` registers, and removes the key at the end. It raises `ConnectionTimeoutError` if
    that takes longer than `timeout` seconds, None without limit; nothing is left then.

    Guaranteed: while the program runs and reaches etcd, the key is there. It comes back by itself
    after the loss of its lease, a deletion of the key, and an outage of any length. `on_change` is
    called with a `RegistrationChange` when the key is lost and when it is back; it must not block,
    and an error of it is logged. If the program dies, the key ends with the lease.
    Not guaranteed: that a gap is noticed at once. A lease that was ended on the server is noticed
    with its key; an outage after `ttl` seconds. If another program registers the same instance, the
    last one to come has the key, and this one comes back when that key is gone. It does not take
    the key back before, whatever happens to its own lease meanwhile. Only if the answer to its very
    first put is lost does it put the key again whoever has it then.
    """

    def __init__(
        self,
        client: ChannelLike | Service,
        service: bytes,
        address: str,
        *,
        metadata: object = None,
        instance: bytes | None = None,
        ttl: int = 10,
        timeout: float | None = 30,
        on_change: Callable[[RegistrationChange], object] | None = None,
    ) -> None:
        super().__init__(client)
        self.service = check_key("service", service)
        endpoint = Endpoint(address, metadata)
        self._value = endpoint.to_json()
        name = address.encode() if instance is None else check_key("instance", instance)
        self.endpoint = Endpoint(address, metadata, self.service + b"/" + name)
        self.ttl = check_int("ttl", ttl, minimum=1)
        self.timeout = check_wait("timeout", timeout)
        self._on_change = None if on_change is None else check_callback("on_change", on_change)
        self._lease: Lease | None = None
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        # Whether it has had the key in this block, and the leases with which it may have put it.
        self._came = False
        self._own: set[int] = set()
        # Whether another program is known to have the key.
        self._taken = False
        # Why the last attempt to register failed.
        self._error: ClientError | None = None
        # The time at which it was lost.
        self._lost_at: float | None = None

    @property
    def key(self) -> bytes:
        """The key of the instance."""
        return self.endpoint.key

    @property
    def is_registered(self) -> bool:
        """Whether it is registered, as far as is known here without a call."""
        return self._lease is not None and not self._lease.is_lost

    async def __aenter__(self) -> Registration:
        if self._task is not None:
            raise ValueError(f"the instance {self.key!r} is being registered already")
        self._came, self._taken = False, False
        self._own.clear()
        self._error, self._lost_at = None, None
        self._first = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(), name=f"registration of {self.key!r}")
        try:
            await asyncio.wait(
                [self._first, self._task], timeout=self.timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if self._task.done():
                self._task.result()
            if not self._first.done():
                raise ConnectionTimeoutError(
                    f"could not register {self.key!r} within {self.timeout} s"
                ) from self._error
        except BaseException as error:
            await self._channel.run_to_completion(self._end(), error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._channel.run_to_completion(self._end(), error)

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                if self._taken:
                    await self._until_free()
                    pause = _FIRST_PAUSE
                # Leaving the block revokes the lease, and so deletes the key.
                async with self._leases.lease(self.ttl, keep_alive=True) as lease:
                    revision = await self._put(lease)
                    if revision is not None:
                        self._registered(lease)
                        pause = _FIRST_PAUSE
                        self._not_registered(await self._until_lost(lease, revision))
                if self._taken:
                    continue
            except ClientClosedError:
                raise
            except ClientError as error:
                # The cause of a later error; its frames would keep the channel.
                self._error = error.with_traceback(None)
                self._not_registered(str(error))
            except asyncio.CancelledError:
                self._lease = None
                raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _put(self, lease: Lease) -> int | None:
        """Put the key, and return the revision; None if another program has it by now.

        The first time the key is put whoever has it: the last one to come has it.
        """
        self._own.add(lease.id)
        try:
            if self._came:
                revision = await self._put_again(lease)
            else:
                put = await self._kv.put(self.key, self._value, lease)
                revision = put.header.revision
        except ClientError as error:
            if error.definite:
                self._own.discard(lease.id)
            raise
        if revision is None:
            self._taken = True
        else:
            self._came, self._own = True, {lease.id}
        return revision

    async def _put_again(self, lease: Lease) -> int | None:
        """Put the key unless another program has it; an earlier one of this program is replaced."""
        txn, seen = self._kv.transactions, 0
        while True:
            result = await self._kv.transaction(
                [txn.mod(self.key) == seen],
                [txn.put(self.key, self._value, lease)],
                [txn.get(self.key, keys_only=True)],
            )
            if result.succeeded:
                return result.revision
            found = next(iter(result.gets[0]), None)
            if found is not None and found.lease not in self._own:
                return None
            seen = 0 if found is None else found.mod_revision

    async def _until_lost(self, lease: Lease, revision: int) -> str:
        """Return when the key is gone, and why."""
        reason = await within(None, self._until_gone(lease, revision), unless=lease.until_lost())
        if reason is None:
            return str(lease.loss)
        return reason

    async def _until_gone(self, lease: Lease, revision: int) -> str:
        while True:
            try:
                async with self._watches.watch(self.key, start_revision=revision + 1) as watch:
                    async for event in watch:
                        if event.kind is EventKind.DELETE:
                            return await self._why_deleted(lease)
                        if event.kv.lease != lease.id:
                            return self._taken_by_another()
            except RevisionCompactedError:
                pass  # the history was compacted while the stream was broken: read again
            except ClientClosedError:
                raise
            except ClientError as error:
                # It is registered all the same, and the end of the lease will be noticed.
                _log.warning("the key %r cannot be watched: %s", self.key, str(error))
                await asyncio.sleep(_LONGEST_PAUSE)
            found = await self._kv.get(self.key, keys_only=True)
            if found is None:
                return await self._why_deleted(lease)
            revision = found.header.revision
            if found.lease != lease.id:
                return self._taken_by_another()

    async def _why_deleted(self, lease: Lease) -> str:
        """Ask whether the lease still exists: a deletion may have come with its end."""
        try:
            await self._leases.get_lease_info(lease, keys=False)
        except LeaseNotFoundError:
            return "its lease is gone"
        except ClientError:
            pass
        return "its key was deleted"

    def _taken_by_another(self) -> str:
        self._taken = True
        return "another program registered the same instance"

    async def _until_free(self) -> None:
        """Wait until the key that another program has put is gone.

        Without a lease: its loss, or an error, is no reason to take the key from the other one.
        """
        while self._taken:
            found = await self._kv.get(self.key, keys_only=True)
            if found is None:
                break
            try:
                async with self._watches.watch(
                    self.key, start_revision=found.header.revision + 1, kind=EventKind.DELETE
                ) as watch:
                    async for _ in watch:
                        self._taken = False
                        break
            except RevisionCompactedError:
                pass  # the history was compacted while the stream was broken: read again
        self._taken = False

    def _registered(self, lease: Lease) -> None:
        now, before = asyncio.get_running_loop().time(), self._lost_at
        self._lease, self._lost_at = lease, None
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
        gap = 0.0 if before is None else now - before
        self._tell(RegistrationChange(True, gap, ""))

    def _not_registered(self, reason: str) -> None:
        if self._lease is None:
            return  # it is known already, or was never registered
        self._lease, self._lost_at = None, asyncio.get_running_loop().time()
        _log.warning("%r is not registered: %s", self.key, reason)
        self._tell(RegistrationChange(False, 0.0, reason))

    def _tell(self, change: RegistrationChange) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change(change)
        except Exception:
            _log.exception("on_change of the registration %r failed", self.key)

    def __repr__(self) -> str:
        return f"Registration(key={self.key!r}, is_registered={self.is_registered})"
