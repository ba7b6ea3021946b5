"""A fair mutex in the key layout of etcd's Go client."""

from __future__ import annotations

from etcd_channel.arguments import check_key
from etcd_lock._queued_lock import QueuedLock
from etcd_lock.queue_entry import QueueEntry
from etcd_lock.session import Session

__all__ = ["Mutex"]


class Mutex(QueuedLock):
    """A fair lock: contenders acquire it in the order of their calls.

    It excludes Go's `concurrency.Mutex` and `etcdctl lock` of the same name, and every other
    `Mutex`. `name` is the prefix of the keys, to which a slash is added. `timeout` is the number
    of seconds to wait for it, in `acquire` and in `async with`, which raises `LockTimeoutError`
    then; None sets no limit. The body never runs without the mutex.

    It is lost when `session` is lost or is closed by another task, or when its key is deleted. A
    loss, `lost` and `cancel_on_loss` work as described for `Lock`; a body that has awaited the
    `lost` of the session counts as notified too. The limits of locks, and fencing, apply as
    described there.

    Acquiring a free mutex takes one round trip, and so does releasing it.
    """

    def __init__(
        self,
        session: Session,
        name: bytes,
        *,
        cancel_on_loss: bool = False,
        timeout: float | None = None,
    ) -> None:
        entry = QueueEntry(session, check_key("name", name) + b"/")
        super().__init__(entry, name, "the mutex", cancel_on_loss=cancel_on_loss, timeout=timeout)
