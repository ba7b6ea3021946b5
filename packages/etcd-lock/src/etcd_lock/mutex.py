"""A fair mutex in etcd's own key layout."""

from __future__ import annotations

import asyncio
from types import TracebackType

from etcd_kv import Compare
from etcd_lock._queue import Place
from etcd_lock.errors import LockLostError, LockTimeoutError
from etcd_lock.lock import check_wait
from etcd_lock.session import Session

__all__ = ["Mutex"]


class Mutex:
    """A lock that is given in the order in which it was asked for.

    It excludes, and is excluded by, Go's `concurrency.Mutex` and `etcdctl lock` of the
    same name. `session` holds it: it is lost with the session's lease. `name` is the
    prefix of the keys. `timeout` is for `async with`, which raises `LockTimeoutError`
    after so many seconds; None waits for as long as it takes. The body never runs without
    the mutex, and `LockLostError` is raised on leaving when it was lost on the way.

    What `Lock` says of fencing holds here too.
    """

    def __init__(self, session: Session, name: bytes, *, timeout: float | None = None) -> None:
        self._place = Place(session, name)
        self.timeout = check_wait("timeout", timeout)

    @property
    def key(self) -> bytes:
        """The key of this session's place in the queue."""
        return self._place.key

    @property
    def fencing_token(self) -> int | None:
        """The create revision of the key: rising from holder to holder; None if not held."""
        return self._place.revision

    def ownership(self) -> Compare:
        """Return the compare that holds while the mutex is held; for transactions that it
        protects. `ValueError` when it is not."""
        return self._place.ownership()

    async def acquire(self, timeout: float | None = None) -> bool:
        """Acquire the mutex; say whether that came about within `timeout` seconds.

        None waits for as long as it takes, 0 does not wait. Without success, also by
        cancellation, nothing is left in the queue. Tasks that share a session take turns.
        Raises `LockLostError` when the session ends meanwhile.
        """
        wait = check_wait("timeout", timeout)
        turn = self._place.session.turn(self.key)
        deadline = None if wait is None else asyncio.get_running_loop().time() + wait
        if not await turn.take(wait):
            return False
        held = False
        try:
            held = await self._place.take(b"", deadline)
        finally:
            if not held:
                turn.give()
        return held

    async def is_acquired(self) -> bool:
        """Ask etcd whether the mutex is held; False at once when the session is known lost."""
        if self._place.revision is None or self._place.session.is_lost:
            return False
        return await self._place.is_first()

    async def release(self) -> bool:
        """Release the mutex; say whether it was still held. False if it was not acquired."""
        if self._place.revision is None:
            return False
        try:
            return await self._place.leave()
        finally:
            self._place.session.turn(self.key).give()

    async def __aenter__(self) -> Mutex:
        if not await self.acquire(self.timeout):
            raise LockTimeoutError(
                f"the mutex {self._place.prefix!r} was not to be had in {self.timeout} s"
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        held = await self.release()
        if error is None and not held:
            raise LockLostError(f"the mutex {self._place.prefix!r} was lost before its body ended")

    def __repr__(self) -> str:
        return f"Mutex(name={self._place.prefix[:-1]!r}, fencing_token={self.fencing_token})"
