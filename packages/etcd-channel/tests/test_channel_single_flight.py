"""`SingleFlight` runs work once for many callers, some of which time out or are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from channel_support import HANG

from etcd_channel import ClientClosedError, ConnectionTimeoutError
from etcd_channel._single_flight import SingleFlight, StillRunning


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return self.begun


async def started(work: Awaitable[object], turns: int = 3) -> asyncio.Task[object]:
    task = asyncio.ensure_future(work)
    assert isinstance(task, asyncio.Task)
    for _ in range(turns):
        await asyncio.sleep(0)
    return task


async def test_all_callers_while_the_work_runs_get_its_result() -> None:
    work = Work()
    flight = SingleFlight(work)
    tasks = [await started(flight.run()) for _ in range(5)]
    work.may_end.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert await flight.run() == 2, "who asks later has it done anew"


async def test_all_callers_get_its_error_and_the_next_caller_starts_it_again() -> None:
    work = Work()
    flight = SingleFlight(work)
    tasks = [await started(flight.run()) for _ in range(3)]
    work.error = ValueError("ill")
    work.may_end.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [repr(result) for result in results] == ["ValueError('ill')"] * 3
    work.error = None
    assert await flight.run() == 2


async def test_a_caller_that_times_out_does_not_stop_the_work() -> None:
    work = Work()
    flight = SingleFlight(work)
    patient = await started(flight.run())
    with pytest.raises(asyncio.TimeoutError):
        await flight.run(0.01)
    cancelled = await started(flight.run())
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()
    work.may_end.set()
    assert await patient == 1


async def test_a_timeout_error_of_the_work_is_not_the_timeout_of_the_caller() -> None:
    work = Work()
    flight = SingleFlight(work)
    task = await started(flight.run(HANG))
    work.error = ConnectionTimeoutError("ill")
    work.may_end.set()
    with pytest.raises(ConnectionTimeoutError, match="ill") as caught:
        await task
    assert not isinstance(caught.value, StillRunning)


async def test_an_error_without_a_waiting_caller_is_not_reported() -> None:
    work = Work()
    flight = SingleFlight(work)
    with pytest.raises(asyncio.TimeoutError):
        await flight.run(0.01)
    work.error = ValueError("ill")
    work.may_end.set()
    await asyncio.sleep(0)  # conftest's fixture fails what the loop would report


async def test_a_cancellation_that_arrives_with_the_result_is_not_lost() -> None:
    """asyncio.wait_for() before Python 3.12 loses it, and the canceller waits forever."""
    work = Work()
    flight = SingleFlight(work)
    waiting = await started(flight.run())
    work.may_end.set()
    while not (flight._task is not None and flight._task.done()):  # noqa: ASYNC110  # no event
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait_for(asyncio.wait([waiting]), HANG)
    assert waiting.cancelled()


async def test_close_ends_the_work_for_all_callers_and_prevents_another() -> None:
    work = Work()
    flight = SingleFlight(work)
    tasks = [await started(flight.run()) for _ in range(3)]
    await flight.close()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, ClientClosedError)
    with pytest.raises(ClientClosedError):
        await flight.run()
    assert work.begun == 1
    await flight.close()


async def test_work_that_never_ran_can_be_closed() -> None:
    work = Work()
    flight = SingleFlight(work)
    await flight.close()
    with pytest.raises(ClientClosedError):
        await flight.run()
    assert work.begun == 0


async def test_each_caller_gets_an_error_of_its_own() -> None:
    """A caller may change it, and its traceback gets the frames of the caller."""
    work = Work()
    flight = SingleFlight(work)
    tasks = [await started(flight.run()) for _ in range(2)]
    work.error = ConnectionTimeoutError("no answer", definite=True)
    work.error.__cause__ = ValueError("the cause")
    work.may_end.set()
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, ConnectionTimeoutError)
    assert isinstance(second, ConnectionTimeoutError)
    first.definite = False
    assert second.definite
    assert first.__cause__ is second.__cause__ is work.error.__cause__
