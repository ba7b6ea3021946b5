"""`Job` and `WorkQueue` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import etcd_client
from etcd_client import Compare
from etcd_sync._handle import Handle, Service, inner_of
from etcd_sync._worker import in_thread
from etcd_sync.session import Session

__all__ = ["Job", "WorkQueue"]


class Job(Handle):
    """A job that was claimed by `WorkQueue.take`, for as long as the session of the claim lives.

    `with job:` records it as done at the end, and gives it back if the body raises. If the session
    is lost meanwhile, or the claim was deleted, `ClaimLostError` is raised at the end. If etcd
    cannot be reached at the end, the error is raised, and the job is given back in the background,
    or with the session.
    """

    _inner: etcd_client.Job

    @property
    def value(self) -> bytes:
        """What was put into the queue."""
        return self._inner.value

    @property
    def attempt(self) -> int:
        """How often it was claimed, 1 for the first time."""
        return self._inner.attempt

    @property
    def id(self) -> bytes:
        """The id that `WorkQueue.put` returned."""
        return self._inner.id

    @property
    def fencing_token(self) -> int:
        """The revision of the claim, higher than that of every earlier claim of the job."""
        return self._inner.fencing_token

    def ownership(self) -> Compare:
        """Return a compare for transactions that succeeds while the job is claimed by this one."""
        return self._inner.ownership()

    def done(self) -> bool:
        """Record the job as done: it is removed from the queue.

        Returns False if the claim is lost; nothing is changed then, and another one may have the
        job. It takes one round trip. If its answer is lost, it is sent once more, which has no
        effect if the first one was applied.
        """
        return self._portal.run(self._inner.done)

    def give_back(self) -> bool:
        """Let others claim the job, or give it up if this was the last attempt.

        Returns False if the claim is lost; nothing is changed then. The attempt counts.
        """
        return self._portal.run(self._inner.give_back)

    def give_up(self) -> bool:
        """Move the job to the dead letters; return False if the claim is lost."""
        return self._portal.run(self._inner.give_up)

    def __enter__(self) -> Job:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)

    _ending: threading.Event | None = None

    @property
    def ending(self) -> threading.Event:
        """Set when the work should end: the claim is lost, or `WorkQueue.work` ends."""
        if self._ending is None:
            self._ending = threading.Event()
        return self._ending


class WorkQueue(Handle):
    """A queue of jobs, each of which is done at least once, whatever happens to workers.

    A job is a key `<name>/jobs/<id>`. A worker claims it by a key `<name>/claims/<id>` with the
    lease of its session, so a job whose worker dies, or cannot reach etcd, is free again when the
    time to live of the session is over. `<name>/attempts/<id>` counts the claims by its version.
    After `attempts` claims a job that was not done is moved to `<name>/dead/<id>`; None means that
    it never is.

    Guaranteed: a job that was put is in the queue until a worker that holds its claim records it as
    done, or its attempts are used up. A job has one claim at a time, and is recorded as done once:
    a worker that has lost the claim changes nothing. The oldest job that is free is claimed first.
    Not guaranteed: that the work itself is done only once. A worker that dies after the work and
    before the record has done it, and another does it again; one that is stopped for longer than
    its time to live may work beside its successor. Guard changes with `Job.ownership()`, or pass
    `Job.fencing_token` along.
    """

    _inner: etcd_client.WorkQueue

    def __init__(self, client: Service, name: bytes, *, attempts: int | None = None) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(
            client._portal,
            client._portal.call(etcd_client.WorkQueue, inner_client, name, attempts=attempts),
        )

    @property
    def name(self) -> bytes:
        return self._inner.name

    @property
    def attempts(self) -> int | None:
        return self._inner.attempts

    def put(self, value: bytes, *, timeout: float | None = None) -> bytes:
        """Add a job at the end, and return its id.

        `timeout` is the number of seconds that it may take. After an interruption, or an error that
        is not `definite`, the job may have been added; it is never added twice by one call.
        """
        return self._portal.run(self._inner.put, value, timeout=timeout)

    def size(self, *, timeout: float | None = None) -> int:
        """Ask etcd for the number of jobs that are not done, claimed or not."""
        return self._portal.run(self._inner.size, timeout=timeout)

    def dead(self, *, timeout: float | None = None) -> dict[bytes, bytes]:
        """Ask etcd for the jobs whose attempts are used up: the value of each by its id."""
        return self._portal.run(self._inner.dead, timeout=timeout)

    def revive(self, job_id: bytes, *, timeout: float | None = None) -> bool:
        """Make a dead job a job again, with all its attempts; return False if it is not dead."""
        return self._portal.run(self._inner.revive, job_id, timeout=timeout)

    def take(self, session: Session, *, timeout: float | None = None) -> Job | None:
        """Claim the oldest job that is free; return None if there is none for `timeout` seconds.

        None as `timeout` sets no limit, 0 does not wait. The claim ends with the session, whose
        loss raises `LeaseExpiredError` here. A session may claim any number of jobs.

        A job that is being claimed when the time is over is returned. If the thread is interrupted
        while a job is being claimed, the job is given back before the interruption is raised; the
        attempt counts. After an error that is not `definite`, a job that may have been claimed is
        given back in the background, or with the session.
        """
        return Job._of_optional(
            self._portal, self._portal.run(self._inner.take, session._inner, timeout=timeout)
        )

    def work(self, handler: Callable[[Job], object], *, ttl: int = 30, tasks: int = 1) -> None:
        """Take jobs and call `handler(job)` for each.

        `tasks` jobs are handled at the same time, each in a thread, with one session of `ttl`
        seconds. A job is done when its handler returns. If it raises, the error is logged, and the
        job is given back; give the queue a number of `attempts`, or it is tried for ever.
        `Job.ending` is set when the session is lost. After a loss, or while etcd cannot be reached,
        it begins again with another session.

        It runs until it is interrupted, as by Ctrl-C, or another thread closes the client. The
        handlers are told to end then, and their jobs given back, or end with the lease if they do
        not end in time.
        """
        if not callable(handler):
            raise TypeError(f"handler must be callable, not {type(handler).__name__}")

        async def work(job: etcd_client.Job) -> None:
            claimed = Job._of(self._portal, job)
            await in_thread(handler, claimed, ending=claimed.ending)

        self._portal.run(self._inner.work, work, ttl=ttl, tasks=tasks)
