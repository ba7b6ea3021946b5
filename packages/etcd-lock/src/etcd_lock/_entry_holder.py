"""The base class of what is held with an entry of a queue."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from etcd_channel import NonCopyable
from etcd_kv import Compare
from etcd_lock._hold import Hold, LockLoss
from etcd_lock.queue_entry import QueueEntry

__all__ = ["EntryHolder"]


class EntryHolder(NonCopyable):
    """An object that is held while its entry of a queue is admitted.

    `label` precedes its name in errors and in the log, for example "the mutex".
    """

    def __init__(self, entry: QueueEntry, name: bytes, label: str) -> None:
        self._entry = entry
        self._name = name
        self._title = entry._name = f"{label} {name!r}"

    @property
    def key(self) -> bytes:
        """The key of this session's entry in the queue."""
        return self._entry.key

    @property
    def fencing_token(self) -> int | None:
        """The create revision of the key, higher than that of every earlier holder.

        None while it is not held.
        """
        return self._entry.fencing_token if self._entry.admitted else None

    @property
    def lost(self) -> LockLoss:
        """A coroutine that waits for the loss: `error = await mutex.lost`, see `Lock.lost`.

        Raises `ValueError` while it is not held.
        """
        if not self._entry.admitted:
            raise ValueError(f"{self._title} is not held by this session")
        return self._entry.lost

    def ownership(self) -> Compare:
        """Return a compare that succeeds while this session holds it.

        Add it to the transactions that must be protected: one that arrives after the loss changes
        nothing. Raises `ValueError` while it is not held.
        """
        if not self._entry.admitted:
            raise ValueError(f"{self._title} is not held by this session")
        return self._entry.ownership()

    async def _release(self, release: Callable[[], Coroutine[Any, Any, bool]], hold: Hold) -> bool:
        """Call `release` if `hold` is the present one; else it is lost, and False is returned."""
        if self._entry._hold is hold:
            return await release()
        await hold.record_deleted_key()
        return False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self._name!r}, fencing_token={self.fencing_token})"
