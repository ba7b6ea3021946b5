"""One piece of work for many: done once, given up by some, ended by close()."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from channel_support import HANG

from etcd_channel import ClientClosedError
from etcd_channel._single_flight import SingleFlight


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


async def test_all_who_ask_while_it_runs_get_its_one_result() -> None:
    work = Work()
    flight = SingleFlight(work)
    tasks = [await started(flight.run()) for _ in range(5)]
    work.may_end.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert await flight.run() == 2, "who asks later has it done anew"


async def test_all_get_its_one_error_and_the_next_a_new_try() -> None:
    work = Work()
    flight = SingleFlight(work)
    tasks = [await started(flight.run()) for _ in range(3)]
    work.error = ValueError("ill")
    work.may_end.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [repr(result) for result in results] == ["ValueError('ill')"] * 3
    work.error = None
    assert await flight.run() == 2


async def test_who_has_no_more_time_leaves_it_to_the_others() -> None:
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


async def test_an_error_that_nobody_waits_for_any_more_is_no_news() -> None:
    work = Work()
    flight = SingleFlight(work)
    with pytest.raises(asyncio.TimeoutError):
        await flight.run(0.01)
    work.error = ValueError("ill")
    work.may_end.set()
    await asyncio.sleep(0)  # conftest's fixture fails what the loop would report


async def test_a_cancellation_that_comes_with_the_result_is_not_lost() -> None:
    """asyncio.wait_for() loses it before Python 3.12, and who cancelled waits for ever."""
    work = Work()
    flight = SingleFlight(work)
    waiting = await started(flight.run())
    work.may_end.set()
    while not (flight._task is not None and flight._task.done()):  # noqa: ASYNC110  # no event
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait_for(asyncio.wait([waiting]), HANG)
    assert waiting.cancelled()


async def test_closing_ends_it_for_all_and_for_good() -> None:
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


async def test_what_never_ran_can_be_closed() -> None:
    work = Work()
    flight = SingleFlight(work)
    await flight.close()
    with pytest.raises(ClientClosedError):
        await flight.run()
    assert work.begun == 0
