"""What a client does when its member fails, and for how long it gets no answer."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from failover_rig import Rig

from etcd_channel import ClientError
from etcd_client import Client

__all__ = ["LIMIT", "OPERATIONS", "InFlight", "Outcome", "Round"]

LIMIT = 120.0  # Seconds that a round waits for the next answer.
KEY = b"failover"
WRITE_EVERY = 0.02
# A member that has lost its leader holds a write for seconds; the next write is answered.
WRITE_TIMEOUT = 0.5
GET_EVERY = 1.0
TTL = 15
# A lease is renewed after half of its time to live, or up to 0.25 s earlier; not before this.
BEFORE_RENEWAL = TTL / 2 - 0.25 - 0.2
LOOK_EVERY = 0.005


@dataclass(frozen=True)
class InFlight:
    """The call that was in flight when the fault happened."""

    seconds: float
    """From the fault until it ended."""
    end: str
    """One of "acknowledged", "definite" and "not definite"."""


@dataclass(frozen=True)
class Outcome:
    """The result of a round."""

    seconds: float
    """Seconds without an answer; infinite if none came any more."""
    in_flight: InFlight | None = None
    failure: str | None = None
    """The error that ended a watch or a lease, which should not end."""


class Round:
    """One fault on the member that a new client uses."""

    def __init__(self, rig: Rig, fault: str, client: Client) -> None:
        self.rig = rig
        self.client = client
        self.struck = math.inf
        """When the fault began, in the loop's time."""
        self.complete = math.inf
        """When the fault was complete."""
        self._fault = fault

    async def strike(self) -> None:
        """Cause the fault on the member in use, at a random moment."""
        member = self.rig.in_use()
        await asyncio.sleep(random.uniform(0, 0.1))
        self.struck = now()
        await self.rig.strike(self._fault, member)
        self.complete = now()


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run something in the background until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], bool], *running: asyncio.Task[None]) -> bool:
    """Wait until a condition holds; return whether it did within the limit.

    Raises the error of the background task if that ends.
    """
    limit = now() + LIMIT
    while not condition():
        for task in running:
            if task.done():
                task.result()
        if now() > limit:
            return False
        await asyncio.sleep(LOOK_EVERY)
    return True


# Calls ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A call that has ended."""

    began: float
    ended: float
    end: str

    @property
    def served(self) -> bool:
        return self.end == "acknowledged"


async def calls(round: Round, call: Callable[[Client], Awaitable[object]]) -> Outcome:
    """Call in a loop; return the longest time without a success.

    It ends with the first success of a call that began after the fault was complete: a member that
    was asked to stop still answers for a while.
    """
    ended: list[Call] = []

    async def go_on() -> None:
        while True:
            began, end = now(), "acknowledged"
            try:
                await call(round.client)
            except ClientError as error:
                end = "definite" if error.definite else "not definite"
            ended.append(Call(began, now(), end))
            if end != "acknowledged":
                await asyncio.sleep(0.001)

    async with beside(go_on()) as going:
        await until(lambda: any(each.served for each in ended), going)
        await round.strike()
        again = await until(lambda: ended[-1].served and ended[-1].began >= round.complete, going)
    after = [each for each in ended if each.ended > round.struck]
    served = [round.struck, *(each.ended for each in after if each.served)]
    gap = max((later - one for one, later in itertools.pairwise(served)), default=math.inf)
    return Outcome(gap if again else math.inf, in_flight(after, round.struck))


def in_flight(after: list[Call], struck: float) -> InFlight | None:
    """The call that the fault hit: the first that failed, or else the one that took longest."""
    failed = [call for call in after if not call.served]
    met = failed[:1] or sorted(after, key=lambda call: call.began - call.ended)[:1]
    return InFlight(met[0].ended - struck, met[0].end) if met else None


async def get(round: Round) -> Outcome:
    return await calls(round, lambda client: client.get(KEY))


async def put(round: Round) -> Outcome:
    return await calls(round, lambda client: client.put(KEY, b"value"))


# Watches -------------------------------------------------------------------------------


async def watch(round: Round) -> Outcome:
    """Watch what another client writes; return the longest delay of an event after its write.

    The writer goes to a member that stays healthy, so this is the watch's delay alone.
    """
    began: dict[int, float] = {}
    written: dict[int, float] = {}
    read: dict[int, float] = {}

    async def write(endpoint: str) -> None:
        async with Client(endpoints=[endpoint]) as direct:
            for number in itertools.count():
                began[number] = now()
                try:
                    await direct.put(KEY, b"%d" % number, timeout=WRITE_TIMEOUT)
                    written[number] = now()
                except ClientError:
                    pass  # The leader may just have stopped.
                await asyncio.sleep(WRITE_EVERY)

    async with round.client.watch(KEY) as events:

        async def read_on() -> None:
            async for event in events:
                read[int(event.kv.value)] = now()

        def caught_up() -> bool:
            newest = max(written, default=-1)
            return newest in read and began[newest] >= round.complete

        direct = await round.rig.healthy_endpoint(round.rig.in_use())
        async with beside(read_on()) as reading, beside(write(direct)) as writing:
            await until(lambda: bool(read), reading, writing)
            await round.strike()
            again = await until(caught_up, reading, writing)
    if not again:
        return Outcome(math.inf)
    if lost := [number for number in written if number < max(read) and number not in read]:
        raise RuntimeError(f"the watch has lost {len(lost)} events")
    return Outcome(
        max(
            read[number] - max(moment, round.struck)
            for number, moment in written.items()
            if number in read and read[number] > round.struck
        )
    )


async def watch_beside_get(round: Round) -> Outcome:
    """The same, with a call on the client now and then."""

    async def call_now_and_then() -> None:
        while True:
            try:
                await round.client.get(KEY)
            except ClientError:
                pass  # The channel knows about the failure now, which may help the watch.
            await asyncio.sleep(GET_EVERY)

    async with beside(call_now_and_then()):
        return await watch(round)


# Leases --------------------------------------------------------------------------------


async def keep_alive(round: Round) -> Outcome:
    """Keep a lease alive, cause the fault shortly before a renewal, and wait for the renewal."""
    lease = await round.client.lease(TTL, keep_alive=True)
    renewed: list[float] = []

    async def look() -> None:
        ends = now() + lease.remaining
        while True:
            await asyncio.sleep(LOOK_EVERY)
            lease.check()
            known, ends = ends, now() + lease.remaining
            if ends > known + 1:
                renewed.append(now())

    async with beside(look()) as looking:
        await until(lambda: bool(renewed), looking)
        await asyncio.sleep(BEFORE_RENEWAL)
        await round.strike()
        again = await until(lambda: renewed[-1] > round.struck, looking)
    after = [moment for moment in renewed if moment > round.struck]
    return Outcome(after[0] - round.struck if again else math.inf)


OPERATIONS: dict[str, Callable[[Round], Awaitable[Outcome]]] = {
    "get": get,
    "put": put,
    "watch": watch,
    "watch+get": watch_beside_get,
    "keep-alive": keep_alive,
}
