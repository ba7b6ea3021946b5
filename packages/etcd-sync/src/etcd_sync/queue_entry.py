"""`QueueEntry` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

import etcd_client
from etcd_client import Compare, KeyValue
from etcd_sync._handle import Handle, inner_of
from etcd_sync.loss import LockLoss
from etcd_sync.session import Session

__all__ = ["QueueEntry"]


class QueueEntry(Handle):
    """An entry of a session in a queue; the base of mutexes, semaphores and elections.

    The queue consists of all keys that begin with `prefix`, in the order of their creation. The
    entry is one of these keys: `prefix` followed by the id of the session's lease in hexadecimal,
    or by `suffix`, which must be unique in the queue (several entries of one session need one
    each). The key ends with the session's lease.

    An entry is admitted when there are fewer than `places` older entries: 1 makes a mutex, more
    make a semaphore. All contenders must use the same `places`. `behind` is the prefix of the keys
    that count as older entries, by default `prefix`: the readers of a read-write lock wait for
    older writers only.

    An admitted entry stays admitted while its key exists: no later entry overtakes it. When the key
    is deleted, `lost.wait()` returns, and `leave` returns False. The limits of locks apply as
    described for `Lock`, with `ownership` and `fencing_token` to guard changes.

    An entry is for one thread at a time. The session must be open, or `ValueError` is raised. Each
    call raises a `ClientError` if etcd cannot be reached; `enqueue`, `wait` and `acquire` raise
    `LockLostError` if the session has ended or the key was deleted. If one of these three raises or
    is interrupted, the key is deleted before the error is raised. If the deletion fails, it is
    logged, and the key is deleted in the background as soon as etcd answers, or with the lease.
    """

    _inner: etcd_client.QueueEntry

    def __init__(
        self,
        session: Session,
        prefix: bytes,
        *,
        places: int = 1,
        behind: bytes | None = None,
        suffix: bytes | None = None,
    ) -> None:
        inner_session = inner_of("session", session, Session)
        super().__init__(
            session._portal,
            session._portal.call(
                etcd_client.QueueEntry,
                inner_session,
                prefix,
                places=places,
                behind=behind,
                suffix=suffix,
            ),
        )

    @property
    def session(self) -> Session:
        return Session._of(self._portal, self._inner.session)

    @property
    def prefix(self) -> bytes:
        return self._inner.prefix

    @property
    def places(self) -> int:
        return self._inner.places

    @property
    def behind(self) -> bytes | None:
        return self._inner.behind

    @property
    def key(self) -> bytes:
        """The key of the entry; raises `ValueError` before the session is open."""
        return self._inner.key

    @property
    def fencing_token(self) -> int | None:
        """The create revision of the key, higher than that of every older entry of the queue.

        None while there is no entry.
        """
        return self._inner.fencing_token

    @property
    def admitted(self) -> bool:
        """Whether `wait` or `acquire` has returned True for the current entry."""
        return self._inner.admitted

    @property
    def lost(self) -> LockLoss:
        """The loss of the entry, admitted or not, for which `lost.wait()` waits; see `Lock.lost`.

        Raises `ValueError` while there is no entry.
        """
        return LockLoss._of(self._portal, self._read(lambda: self._inner.lost))

    def ownership(self) -> Compare:
        """Return a compare for transactions that succeeds while the entry exists.

        Raises `ValueError` while there is no entry.
        """
        return self._inner.ownership()

    def enqueue(self, value: bytes = b"") -> None:
        """Put the key of the entry with `value`, in one round trip.

        If the key exists already with the session's lease, for example from an earlier program, the
        entry takes it over with its place; if its value differs, that takes a second round trip.
        Raises `PreconditionFailedError` if the key exists with another lease, which is left
        unchanged. An interruption waits for the answer, because a deletion could overtake the put.
        """
        self._portal.run(self._inner.enqueue, value)

    def wait(self, *, timeout: float | None = None) -> bool:
        """Wait until the entry is admitted; return False if that took longer than `timeout`.

        `timeout` is the number of seconds to wait for older entries; None sets no limit, 0 does not
        wait. If it returns False, the entry keeps its place: call `wait` again, or `leave`. No
        request is sent if the answer to `enqueue` showed that the entry is admitted. Raises
        `ValueError` while there is no entry. An interruption is raised after the key was deleted.
        """
        return self._portal.run(self._inner.wait, timeout=timeout)

    def acquire(self, value: bytes = b"", *, timeout: float | None = None) -> bool:
        """Enqueue and wait; return False, without an entry, if not admitted within `timeout`.

        It takes one round trip if the entry is admitted at once. `timeout` is the number of seconds
        to wait for older entries; None sets no limit, 0 does not wait.
        """
        return self._portal.run(self._inner.acquire, value, timeout=timeout)

    def replace(self, value: bytes) -> bool:
        """Replace the value of the key; return False if the entry no longer exists.

        Nothing changes then. After an interruption the value may have been replaced. Raises
        `ValueError` while there is no entry.
        """
        return self._portal.run(self._inner.replace, value)

    def is_admitted(self) -> bool:
        """Ask etcd whether the entry exists and is admitted.

        False without a call while there is no entry, and if the session is known to be lost.
        """
        return self._portal.run(self._inner.is_admitted)

    def first(self) -> KeyValue | None:
        """Return the oldest entry of the queue, of any session; None if the queue is empty."""
        return self._portal.run(self._inner.first)

    def leave(self) -> bool:
        """Delete the entry; return whether its key still existed. False if there was no entry.

        A deletion whose answer is lost is repeated once. If the key does not exist then, and the
        session has not ended, the first attempt deleted it, and True is returned.

        After a `ClientError` the key is deleted in the background as soon as etcd answers, or with
        the lease; until then `leave` may be called again. An interruption is raised after the key
        was deleted, or after the deletion has failed, which is logged.
        """
        return self._portal.run(self._inner.leave)
