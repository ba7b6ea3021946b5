"""Recipes as traffic: a counter, a queue and a work queue that several clients share."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Iterator

from etcd_client import Client, ClientError, Session
from programme.history import Left, Used
from programme.judges.recipes import COUNTER, DONE, PREFIX
from programme.recorder import Recorder

__all__ = ["RecipeUser", "recipes_left"]

_QUEUE = f"{PREFIX}queue"
_JOBS = f"{PREFIX}jobs"
_TTL = 3
_LAST_TTL = 60
_TIMEOUT = 1.0
_LAST = 30.0
"""Seconds without progress: a claim of a client that is gone must end in them."""


class RecipeUser:
    """Adds to the counter, puts items and jobs, and takes them, until `stopping`."""

    waits = (0.0, 0.3)
    """Seconds that a call waits for an item or a job: some end while one is being taken."""

    def __init__(
        self, name: str, client: Client, recorder: Recorder, choice: random.Random
    ) -> None:
        self.name = name
        self.stopping = False
        self._client = client
        self._recorder = recorder
        self._choice = choice
        self._counter = client.counter(COUNTER.encode())
        self._queue = client.queue(_QUEUE.encode())
        self._jobs = client.work_queue(_JOBS.encode())

    async def run(self) -> None:
        """Have one session after the other, and make calls with it."""
        # More is taken than is put, so that little is left at the end: some jobs are given back.
        kinds = {self._add: 4, self._put: 2, self._get: 3, self._put_job: 2, self._work: 4}
        while not self.stopping:
            try:
                async with Session(self._client, _TTL) as session:
                    while not self.stopping and not session.is_lost:
                        await self._choice.choices([*kinds], [*kinds.values()])[0](session)
                        await asyncio.sleep(self._choice.uniform(0, 0.05))
            except ClientError:  # noqa: PERF203  # a fault, or the loss of the session by one
                await asyncio.sleep(0.05)

    async def size(self) -> int:
        """How many items and jobs there are."""
        return await self._queue.size() + await self._jobs.size()

    async def take(self, session: Session) -> None:
        """Take an item and a job."""
        await self._get(session)
        await self._work(session)

    async def _add(self, session: Session) -> None:
        with self._used("counter", "add") as used:
            used.item = str(await self._counter.add(timeout=_TIMEOUT))

    async def _put(self, session: Session) -> None:
        with self._used("queue", "put", self._recorder.value(self.name)) as used:
            await self._queue.put(used.item.encode(), timeout=_TIMEOUT)

    async def _get(self, session: Session) -> None:
        with self._used("queue", "get") as used:
            item = await self._queue.get(timeout=self._choice.uniform(*self.waits))
            used.item = "" if item is None else item.decode()

    async def _put_job(self, session: Session) -> None:
        with self._used("work queue", "put", self._recorder.value(self.name)) as used:
            await self._jobs.put(used.item.encode(), timeout=_TIMEOUT)

    async def _work(self, session: Session) -> None:
        """Take a job, write that it is worked on if it is still claimed, and end it."""
        with self._used("work queue", "done") as used:
            job = await self._jobs.take(session, timeout=self._choice.uniform(*self.waits))
            if job is None:
                return
            put = self._client.transactions.put(DONE + job.value.decode(), self.name)
            await self._client.transaction([job.ownership()], [put], timeout=_TIMEOUT)
            if self._choice.random() < 0.1:
                await job.give_back()
            elif await job.done():
                used.item = job.value.decode()

    @contextlib.contextmanager
    def _used(self, recipe: str, kind: str, item: str = "") -> Iterator[Used]:
        """Record a call of a recipe; a failure of it is recorded and does not get out."""
        used = Used(self.name, recipe, kind, item)
        self._recorder.history.add(used)
        try:
            yield used
            used.outcome = "ok"
        except ClientError as error:
            used.outcome = "definite" if self._recorder.is_definite(error) else "indefinite"
            used.error = f"{type(error).__name__}: {error}"


async def recipes_left(recorder: Recorder, direct: Client) -> None:
    """Take what is left without faults, and look for keys of recipes after that.

    The claims of clients whose sessions were not closed end with their leases.
    """
    last = RecipeUser("the last", direct, recorder, random.Random(0))
    last.waits = (0.0, 0.0)
    clock, least = asyncio.get_running_loop().time, math.inf
    end = clock() + _LAST
    async with Session(direct, _LAST_TTL) as session:
        while left := await last.size():
            if left < least:
                least, end = left, clock() + _LAST
            elif clock() > end:
                break
            await last.take(session)
    keys = await direct.get_prefix(PREFIX.encode(), keys_only=True)
    meant = (COUNTER, DONE)
    others = [kv.key.decode() for kv in keys if not kv.key.decode().startswith(meant)]
    recorder.history.add(Left("recipe key", len(others), " ".join(others)))
