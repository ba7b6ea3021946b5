"""A fair read-write lock in the key layout of Go's recipes for etcd."""

from __future__ import annotations

from etcd_channel import NonCopyable
from etcd_channel.arguments import check_flag, check_key, check_wait
from etcd_lock._check_session import check_session
from etcd_lock._numbered_entry import numbered_entry
from etcd_lock._queued_lock import QueuedLock
from etcd_lock.default_timeout import DefaultTimeout, seconds_to_wait
from etcd_lock.session import Session

__all__ = ["ReadLock", "ReadWriteLock", "WriteLock"]

_DEFAULT_TIMEOUT = DefaultTimeout("<the read-write lock's timeout>")


class ReadLock(QueuedLock):
    """A lock for reading, made by `ReadWriteLock.read_lock`, which other read locks do not exclude.

    Its methods and its loss are those of `Mutex`. The `fencing_token` is higher than that of every
    earlier writer; readers that share the lock have different ones.
    """

    def __init__(
        self, session: Session, name: bytes, *, cancel_on_loss: bool, timeout: float | None
    ) -> None:
        entry = numbered_entry(session, name + b"/read/", behind=name + b"/write/")
        super().__init__(
            entry, name, "the read lock", cancel_on_loss=cancel_on_loss, timeout=timeout
        )


class WriteLock(QueuedLock):
    """A lock for writing, made by `ReadWriteLock.write_lock`, which excludes all others.

    Its methods and its loss are those of `Mutex`. The `fencing_token` is higher than that of every
    earlier reader and writer.
    """

    def __init__(
        self, session: Session, name: bytes, *, cancel_on_loss: bool, timeout: float | None
    ) -> None:
        entry = numbered_entry(session, name + b"/write/", behind=name + b"/")
        super().__init__(
            entry, name, "the write lock", cancel_on_loss=cancel_on_loss, timeout=timeout
        )


class ReadWriteLock(NonCopyable):
    """Makes locks of which either many readers or one writer hold theirs at the same time.

    It is fair: all are served in the order of their calls. A reader waits for older writers, and a
    writer for everything older, so that readers that keep coming do not starve a writer. `name` is
    the prefix of the keys, to which a slash is added; it must not be that of a mutex or a
    semaphore, and no other name may begin with `name` and a slash. The key layout is that of
    `RWMutex` in Go's recipes.

    `timeout` is the number of seconds to wait for a lock, None without limit, and `cancel_on_loss`
    cancels the body of `async with` when its lock is lost; see `Mutex`. Any number of tasks may
    use one object, each with a lock of its own.

    A lock for reading cannot be exchanged for one for writing: a task that holds one and waits for
    the other waits for itself.

    Acquiring a free lock takes one round trip, and so does releasing it.
    """

    def __init__(
        self,
        session: Session,
        name: bytes,
        *,
        cancel_on_loss: bool = False,
        timeout: float | None = None,
    ) -> None:
        self.session = check_session(session)
        self.name = check_key("name", name)
        self.cancel_on_loss = check_flag("cancel_on_loss", cancel_on_loss)
        self.timeout = check_wait("timeout", timeout)

    def read_lock(self, *, timeout: float | None = _DEFAULT_TIMEOUT) -> ReadLock:
        """Make a lock for reading; nothing is sent before it is acquired.

        Without the argument, the `timeout` of the read-write lock applies.
        """
        wait = seconds_to_wait(timeout, self.timeout)
        return ReadLock(self.session, self.name, cancel_on_loss=self.cancel_on_loss, timeout=wait)

    def write_lock(self, *, timeout: float | None = _DEFAULT_TIMEOUT) -> WriteLock:
        """Make a lock for writing; nothing is sent before it is acquired.

        Without the argument, the `timeout` of the read-write lock applies.
        """
        wait = seconds_to_wait(timeout, self.timeout)
        return WriteLock(self.session, self.name, cancel_on_loss=self.cancel_on_loss, timeout=wait)

    def __repr__(self) -> str:
        return f"ReadWriteLock(name={self.name!r})"
