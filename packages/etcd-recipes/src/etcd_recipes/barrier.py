"""A barrier: many wait until one opens it."""

from __future__ import annotations

from etcd_channel import ChannelLike, LeaseLike, RevisionCompactedError, Service
from etcd_channel.arguments import check_key, check_wait
from etcd_recipes._recipe import Recipe
from etcd_recipes._waiting import within
from etcd_watch import EventKind

__all__ = ["Barrier"]


class Barrier(Recipe):
    """Makes others wait while a key exists.

    The key is `name` itself, as of `Barrier` in the recipes of etcd's Go client, so both exclude
    each other. It is created by `hold` and deleted by `release`, by any client.

    Guaranteed: `wait` returns True only if the key did not exist at some moment after the call.
    Not guaranteed: that the barrier is still open when `wait` has returned; one that is released
    and held again at once lets those pass that waited.
    """

    def __init__(self, client: ChannelLike | Service, name: bytes) -> None:
        super().__init__(client)
        self.name = check_key("name", name)

    async def hold(self, lease: LeaseLike | None = None, *, timeout: float | None = None) -> bool:
        """Close the barrier; return False if it was closed already.

        With a `lease` it opens when the lease ends; without, it stays closed until `release`.
        `timeout` is the number of seconds that the call may take. After a cancellation, or an
        error that is not `definite`, it may have been closed.
        """
        txn = self._kv.transactions
        result = await self._kv.transaction(
            [txn.version(self.name) == 0], [txn.put(self.name, b"", lease)], timeout=timeout
        )
        return result.succeeded

    async def release(self, *, timeout: float | None = None) -> bool:
        """Open the barrier; return False if it was open.

        `timeout` is the number of seconds that the call may take.
        """
        return await self._kv.delete(self.name, timeout=timeout) is not None

    async def is_held(self, *, timeout: float | None = None) -> bool:
        """Ask etcd whether the barrier is closed."""
        return await self._kv.get(self.name, keys_only=True, timeout=timeout) is not None

    async def wait(self, *, timeout: float | None = None) -> bool:
        """Wait until the barrier is open; return False if that took longer than `timeout` seconds.

        None sets no limit, 0 does not wait. It survives breaks of the connection and leaves no
        watch behind, also when it is cancelled.
        """
        seconds = check_wait("timeout", timeout)
        if (revision := await self._held_at()) is None:
            return True
        if seconds == 0:
            return False
        return bool(await within(seconds, self._until_open(revision)))

    async def _held_at(self) -> int | None:
        """Return the revision of the store if the barrier is closed."""
        found = await self._kv.get(self.name, keys_only=True)
        return None if found is None else found.header.revision

    async def _until_open(self, revision: int | None) -> bool:
        while revision is not None:
            try:
                async with self._watches.watch(
                    self.name, start_revision=revision + 1, kind=EventKind.DELETE
                ) as watch:
                    async for _ in watch:
                        return True
            except RevisionCompactedError:
                pass  # the history was compacted while the stream was broken: read again
            revision = await self._held_at()
        return True

    def __repr__(self) -> str:
        return f"Barrier(name={self.name!r})"
