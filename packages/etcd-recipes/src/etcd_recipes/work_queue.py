"""A queue of work that is done at least once."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable

from etcd_channel import ChannelLike, ClientError, RevisionCompactedError, Service
from etcd_channel.arguments import check_bytes, check_int, check_key, check_wait
from etcd_channel.deadline import Deadline
from etcd_channel.errors import ClientClosedError, LeaseNotFoundError
from etcd_channel.tasks import log_errors
from etcd_kv import Operation, TransactionResult
from etcd_lock import Session
from etcd_recipes._claims import free_later
from etcd_recipes._job_keys import JobKeys
from etcd_recipes._recipe import Recipe
from etcd_recipes._waiting import time_is_up, within
from etcd_recipes.job import Job
from etcd_watch import EventKind, Watch

__all__ = ["WorkQueue"]

_log = logging.getLogger("etcd_recipes")

# Jobs that one transaction tries to claim: so many workers may ask at once without a conflict.
_AT_ONCE = 8

# Seconds before a worker goes on after a failure: at first, and at most.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


class WorkQueue(Recipe):
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

    def __init__(
        self, client: ChannelLike | Service, name: bytes, *, attempts: int | None = None
    ) -> None:
        super().__init__(client)
        self.name = check_key("name", name)
        self.attempts = None if attempts is None else check_int("attempts", attempts, minimum=1)
        self._last_number = 0

    async def put(self, value: bytes, *, timeout: float | None = None) -> bytes:
        """Add a job at the end, and return its id.

        `timeout` is the number of seconds that it may take. After a cancellation, or an error that
        is not `definite`, the job may have been added; it is never added twice by one call.
        """
        check_bytes("value", value)
        deadline = Deadline.of("timeout", self._channel.timeout if timeout is None else timeout)
        txn = self._kv.transactions
        while True:
            self._last_number = max(time.time_ns(), self._last_number + 1)
            keys = self._keys(b"%d" % self._last_number)
            result = await self._kv.transaction(
                [txn.version(keys.job) == 0, txn.version(keys.dead) == 0],
                [txn.put(keys.job, value)],
                timeout=deadline.timeout(),
            )
            if result.succeeded:
                return keys.id

    async def size(self, *, timeout: float | None = None) -> int:
        """Ask etcd for the number of jobs that are not done, claimed or not."""
        found = await self._kv.get_prefix(self.name + b"/jobs/", count_only=True, timeout=timeout)
        return found.count

    async def dead(self, *, timeout: float | None = None) -> dict[bytes, bytes]:
        """Ask etcd for the jobs whose attempts are used up: the value of each by its id."""
        prefix = self.name + b"/dead/"
        found = await self._kv.get_prefix(prefix, timeout=timeout)
        return {read.key[len(prefix) :]: read.value for read in found}

    async def revive(self, job_id: bytes, *, timeout: float | None = None) -> bool:
        """Make a dead job a job again, with all its attempts; return False if it is not dead."""
        keys, txn = self._keys(check_key("job_id", job_id)), self._kv.transactions
        found = await self._kv.get(keys.dead, timeout=timeout)
        if found is None:
            return False
        result = await self._kv.transaction(
            [txn.mod(keys.dead) == found.mod_revision],
            [txn.delete(keys.dead), txn.put(keys.job, found.value)],
            timeout=timeout,
        )
        return result.succeeded

    # Taking ----------------------------------------------------------------------------

    async def take(self, session: Session, *, timeout: float | None = None) -> Job | None:
        """Claim the oldest job that is free; return None if there is none for `timeout` seconds.

        None as `timeout` sets no limit, 0 does not wait. The claim ends with the session, whose
        loss raises `LeaseExpiredError` here. A session may claim any number of jobs.

        A job that is being claimed when the time is over is returned. If the task is cancelled
        while a job is being claimed, the job is given back before the cancellation is raised; the
        attempt counts. After an error that is not `definite`, a job that may have been claimed is
        given back in the background, or with the session.
        """
        if not isinstance(session, Session):
            raise TypeError(f"session must be a Session, not {type(session).__name__}")
        seconds = check_wait("timeout", timeout)
        deadline = Deadline.after(seconds)
        while True:
            session.lease.check()
            claims, free = await self._free()
            if free:
                job = await self._claim(session, free)
            elif seconds == 0:
                return None
            else:
                job = await within(
                    deadline.remaining(),
                    self._until_claimed(session, claims),
                    Job._undo,
                    unless=session.lease.until_lost(),
                )
                session.lease.check()
            if job is not None and not await self._is_over(job):
                return job
            if seconds != 0 and deadline.passed:
                return None

    async def _free(self) -> tuple[int, list[bytes]]:
        """Return the ids of the oldest jobs that are free, and a revision before that."""
        prefixes = self.name + b"/claims/", self.name + b"/jobs/"
        claims = await self._kv.get_prefix(prefixes[0], keys_only=True)
        jobs = await self._kv.get_prefix(prefixes[1], keys_only=True, limit=len(claims) + _AT_ONCE)
        claimed = {read.key[len(prefixes[0]) :] for read in claims}
        ids = [read.key[len(prefixes[1]) :] for read in jobs]
        return claims.header.revision, [each for each in ids if each not in claimed][:_AT_ONCE]

    async def _claim(self, session: Session, ids: list[bytes]) -> Job | None:
        """Claim the first of the jobs that is still free; None if others were faster."""
        return await self._or_undo(self._claim_first(session, ids), Job._undo)

    async def _claim_first(self, session: Session, ids: list[bytes]) -> Job | None:
        txn, token = self._kv.transactions, uuid.uuid4().bytes
        otherwise: list[Operation] = []
        for keys in map(self._keys, reversed(ids)):
            compares = [txn.version(keys.job) > 0, txn.version(keys.claim) == 0]
            claim = [
                txn.put(keys.claim, token, session.lease),
                txn.put(keys.attempts, b""),
                txn.get(keys.attempts),
                txn.get(keys.job),
            ]
            otherwise = [txn.txn(compares, claim, otherwise)]
        try:
            answer = await self._kv.transaction(None, otherwise)
        except LeaseNotFoundError:
            session.lease.check()
            raise
        except ClientError as error:
            if not error.definite:
                free_later(session, (self._keys(each).claim for each in ids), token)
            raise
        result: TransactionResult | None = answer.txns[0]
        for keys in map(self._keys, ids):
            if result is None:
                break
            if result.succeeded:
                (attempts,), (job,) = result.gets
                number = attempts.version
                last = self.attempts is not None and number >= self.attempts
                return Job(session, keys, job.value, number, result.revision, token, is_last=last)
            result = result.txns[0] if result.txns else None
        return None

    async def _until_claimed(self, session: Session, revision: int) -> Job | None:
        """Claim one of the jobs that are put or given back after `revision`; None to read again."""
        job = None
        try:
            async with self._watches.watch_prefix(
                self.name + b"/", start_revision=revision + 1
            ) as watch:
                job = await self._claim_freed(session, watch)
        except RevisionCompactedError:
            pass  # the history was compacted while the stream was broken
        except BaseException as error:
            # Cancelled while the watch was ending.
            if job is not None and time_is_up():
                return job
            if job is not None:
                await self._channel.run_to_completion(log_errors(job._undo()), error)
            raise
        return job

    async def _claim_freed(self, session: Session, watch: Watch) -> Job | None:
        jobs, claims = self.name + b"/jobs/", self.name + b"/claims/"
        async for response in watch.responses():
            ids: dict[bytes, None] = {}
            # A job that is done is deleted together with its claim.
            over: set[bytes] = set()
            for event in response.events:
                key, put = event.kv.key, event.kind is EventKind.PUT
                if key.startswith(jobs):
                    job_id = key[len(jobs) :]
                    if put:
                        ids[job_id] = None
                        over.discard(job_id)
                    else:
                        over.add(job_id)
                elif key.startswith(claims):
                    if put:
                        ids.pop(key[len(claims) :], None)
                    else:
                        ids[key[len(claims) :]] = None
            waiting = [each for each in ids if each not in over]
            for start in range(0, len(waiting), _AT_ONCE):
                job = await self._claim(session, waiting[start : start + _AT_ONCE])
                if job is not None:
                    return job
        return None

    async def _is_over(self, job: Job) -> bool:
        """Give a job up whose attempts were used up by workers that died; return whether it was."""
        if self.attempts is None or job.attempt <= self.attempts:
            return False
        # It was the last attempt, so this gives it up.
        await job._undo()
        return True

    # Working ---------------------------------------------------------------------------

    async def work(
        self, handler: Callable[[Job], Awaitable[object]], *, ttl: int = 30, tasks: int = 1
    ) -> None:
        """Take jobs and await `handler(job)` for each, until cancelled.

        `tasks` jobs are handled at the same time, with one session of `ttl` seconds. A job is done
        when its handler returns. If it raises, the error is logged, and the job is given back; give
        the queue a number of `attempts`, or it is tried for ever. A handler is cancelled when the
        session is lost. After a loss, or while etcd cannot be reached, it begins again with another
        session. When it is cancelled, the handlers are cancelled, and their jobs given back.
        """
        if not callable(handler):
            raise TypeError(f"handler must be callable, not {type(handler).__name__}")
        number = check_int("tasks", tasks, minimum=1)
        check_int("ttl", ttl, minimum=1)
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
        while True:
            began = loop.time()
            try:
                async with Session(self._channel, ttl) as session:
                    ending = asyncio.Event()
                    workers = [
                        asyncio.create_task(self._work(session, handler, ending))
                        for _ in range(number)
                    ]
                    try:
                        while not await _any_has_failed(workers):
                            await asyncio.sleep(_FIRST_PAUSE)
                            for place, worker in enumerate(workers):
                                if worker.done():
                                    again = self._work(session, handler, ending)
                                    workers[place] = asyncio.create_task(again)
                    except BaseException as error:
                        await self._channel.run_to_completion(_cancelled(workers, ending), error)
                        raise
                    await self._channel.run_to_completion(_cancelled(workers, ending))
                    for worker in workers:
                        if not worker.cancelled():
                            worker.result()
            except ClientClosedError:
                raise
            except ClientError as error:
                _log.warning("work on the queue %r begins again: %s", self.name, str(error))
            if loop.time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _work(
        self,
        session: Session,
        handler: Callable[[Job], Awaitable[object]],
        ending: asyncio.Event,
    ) -> None:
        pause = _FIRST_PAUSE
        # A handler may suppress the cancellation, as `asyncio.wait_for` does before Python 3.12 if
        # the result comes at the same time.
        while not ending.is_set():
            job = None
            try:
                job = await self.take(session)
                if job is None:
                    continue
                async with job:
                    await handler(job)
            except Exception as error:
                # Other handlers go on, as long as the session lives.
                session.lease.check()
                if job is None:
                    _log.warning("no job of the queue %r can be taken: %s", self.name, str(error))
                else:
                    _log.warning("the job %r was given back: %s", job.id, repr(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE

    def _keys(self, job_id: bytes) -> JobKeys:
        return JobKeys(self.name, job_id)

    def __repr__(self) -> str:
        return f"WorkQueue(name={self.name!r}, attempts={self.attempts})"


async def _any_has_failed(workers: list[asyncio.Task[None]]) -> bool:
    """Wait until a worker has ended; return False if its handler raised a `CancelledError`."""
    done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
    return not all(worker.cancelled() for worker in done)


async def _cancelled(tasks: list[asyncio.Task[None]], ending: asyncio.Event) -> None:
    ending.set()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
