"""`finish` completes work even if its task is cancelled repeatedly."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable

import pytest

from etcd_channel import ClientError, ConnectionFailedError
from etcd_channel.errors import LeaseNotFoundError
from etcd_channel.tasks import finish, log_errors


class Work:
    """Work that ends when the test lets it."""

    def __init__(self, result: str | Exception = "result") -> None:
        self.result = result
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ended = False

    async def run(self) -> str:
        self.begun.set()
        await self.may_end.wait()
        self.ended = True
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def cancellation_of(work: Awaitable[object]) -> tuple[object, ...]:
    """Await work that is cancelled, and return with which message: where it is caught, for Python
    3.10 does not hand it on from a task to those that await it."""
    try:
        await work
    except asyncio.CancelledError as error:
        return error.args
    raise AssertionError("the cancellation was swallowed")


async def test_finish_returns_the_result_or_raises_the_error_of_the_work() -> None:
    work = Work()
    work.may_end.set()
    assert await finish(work.run()) == "result"
    failing = Work(ConnectionFailedError("no"))
    failing.may_end.set()
    with pytest.raises(ConnectionFailedError, match="no"):
        await finish(failing.run())


async def test_finish_awaits_a_task_that_is_also_awaited_elsewhere() -> None:
    work = Work()
    shared = asyncio.create_task(work.run())
    first, second = (asyncio.create_task(finish(shared)) for _ in range(2))
    await work.begun.wait()
    first.cancel()
    await asyncio.sleep(0)
    assert not first.done()
    work.may_end.set()
    assert await second == "result"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_the_first_cancellation_is_raised_when_the_work_has_ended() -> None:
    work = Work()
    reached: list[asyncio.CancelledError] = []
    cancelling = 0

    async def body() -> None:
        nonlocal cancelling
        try:
            await finish(work.run())
        except asyncio.CancelledError as error:
            assert work.ended
            reached.append(error)
            if sys.version_info >= (3, 11):
                cancelling = task.cancelling()
            raise

    task = asyncio.create_task(body())
    await work.begun.wait()
    for number in range(5):
        task.cancel(f"cancellation {number}")
        await asyncio.sleep(0)
        assert not task.done()
    work.may_end.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert reached[0].args == ("cancellation 0",)
    assert cancelling == (5 if sys.version_info >= (3, 11) else 0)


async def test_a_task_that_is_cancelled_in_each_iteration_of_the_loop_still_finishes() -> None:
    # As anyio does until a cancelled scope is left.
    work = Work()
    loop = asyncio.get_running_loop()
    turns = 0
    task = asyncio.create_task(cancellation_of(finish(work.run())))

    def cancel_again() -> None:
        nonlocal turns
        if not task.done():
            turns += 1
            task.cancel("Cancelled via cancel scope 1")
            loop.call_soon(cancel_again)

    await work.begun.wait()
    cancel_again()
    for _ in range(100):
        await asyncio.sleep(0)
    assert turns >= 100
    assert not task.done()
    work.may_end.set()
    assert await task == ("Cancelled via cancel scope 1",)
    assert work.ended


@pytest.mark.parametrize("again", [False, True])
async def test_the_cancellation_that_is_being_handled_is_raised_instead_of_a_later_one(
    again: bool,
) -> None:
    work = Work()

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            await finish(work.run(), error)
            raise

    task = asyncio.create_task(cancellation_of(body()))
    await asyncio.sleep(0)
    task.cancel("the first")
    await work.begun.wait()
    if again:
        task.cancel("the second")
    await asyncio.sleep(0)
    work.may_end.set()
    assert await task == ("the first",)
    assert work.ended


async def test_a_cancellation_is_raised_instead_of_the_error_that_is_being_handled() -> None:
    work = Work()

    async def body() -> None:
        try:
            raise ConnectionFailedError("no")
        except ClientError as error:
            await finish(work.run(), error)
            raise

    task = asyncio.create_task(cancellation_of(body()))
    await work.begun.wait()
    task.cancel("why")
    work.may_end.set()
    assert await task == ("why",)


@pytest.mark.parametrize("error", [ConnectionFailedError("gone"), RuntimeError("gone")])
async def test_an_error_of_work_in_a_cancelled_task_is_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(error)
    task = asyncio.create_task(finish(work.run()))
    await work.begun.wait()
    task.cancel()
    work.may_end.set()
    with caplog.at_level(logging.WARNING, "etcd_channel"):
        await asyncio.wait([task])
    assert task.cancelled()
    assert "gone" in caplog.text


async def test_work_that_is_cancelled_itself_has_no_result() -> None:
    work = asyncio.create_task(Work().run())
    task = asyncio.create_task(finish(work))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


if sys.version_info >= (3, 11):

    async def test_a_timeout_during_the_work_is_a_timeout_error() -> None:
        work = Work()

        async def end(limit: asyncio.Timeout) -> None:
            while not limit.expired():  # noqa: ASYNC110  # it tells nobody when it does
                await asyncio.sleep(0)
            work.may_end.set()

        async def body() -> None:
            async with asyncio.timeout(0) as limit:
                ending = asyncio.create_task(end(limit))
                await finish(work.run())
            await ending

        with pytest.raises(TimeoutError):
            await body()
        assert work.ended
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_an_error_of_the_clean_up_does_not_replace_the_cancellation_it_cleans_up_after(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError("the clean-up")

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            await finish(fail(), error)
            raise

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "clean-up in a cancelled task failed: ZeroDivisionError('the clean-up')" in caplog.text


async def test_a_cancelled_clean_up_does_not_replace_the_cancellation_it_cleans_up_after() -> None:
    async def be_cancelled() -> None:
        raise asyncio.CancelledError("of the clean-up")

    cancellation = asyncio.CancelledError("of the body")
    with pytest.raises(asyncio.CancelledError) as raised:
        await finish(be_cancelled(), cancellation)
    assert raised.value is cancellation


async def test_log_errors_raises_no_error_of_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(error: Exception) -> None:
        raise error

    with caplog.at_level(logging.WARNING, "etcd_channel"):
        await log_errors(fail(LeaseNotFoundError("no lease")))
        assert not caplog.text
        await log_errors(fail(ConnectionFailedError("gone")), "it was left")
    assert "it was left: gone" in caplog.text
    with pytest.raises(ZeroDivisionError):
        await log_errors(fail(ZeroDivisionError()))
