"""An operation is cancelled at each of its awaits, and what it does wrong then is found."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import pytest

from etcd_testing import cancel_everywhere


class Resource:
    """Something that is taken in two steps, and given back in one."""

    def __init__(self) -> None:
        self.taken = 0

    async def take(self) -> None:
        await asyncio.sleep(0)
        self.taken += 1
        try:
            await asyncio.sleep(0)
        except BaseException:
            self.taken -= 1
            raise

    async def give_back(self, _: object = None) -> None:
        self.taken -= 1

    async def check(self) -> None:
        assert self.taken == 0


async def test_what_gives_back_all_that_it_took_passes() -> None:
    resource = Resource()
    assert await cancel_everywhere(resource.take, resource.check, undo=resource.give_back) > 50


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
def test_an_operation_on_a_loop_with_eager_tasks_is_cancelled_everywhere() -> None:
    async def scenario() -> int:
        asyncio.get_running_loop().set_task_factory(vars(asyncio)["eager_task_factory"])
        resource = Resource()
        return await cancel_everywhere(resource.take, resource.check, undo=resource.give_back)

    assert asyncio.run(scenario()) > 50


async def test_what_is_left_behind_by_one_cancellation_is_found() -> None:
    resource = Resource()

    async def forget() -> None:
        await asyncio.sleep(0)
        resource.taken += 1
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="left something behind"):
        await cancel_everywhere(forget, resource.check, undo=resource.give_back)


async def test_what_is_left_behind_by_a_second_cancellation_is_found() -> None:
    resource = Resource()

    async def give_back_slowly() -> None:
        resource.taken += 1
        try:
            await asyncio.sleep(0.001)
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)
                resource.taken -= 1

    with pytest.raises(AssertionError, match=r"again \d turns later, left something behind"):
        await cancel_everywhere(give_back_slowly, resource.check)


async def test_a_cancellation_that_is_swallowed_is_found() -> None:
    async def swallow() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="swallowed"):
        await cancel_everywhere(swallow, Resource().check)


@pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="Python 3.10 itself loses messages from one task to another, so none is checked there",
)
async def test_a_cancellation_that_loses_its_message_is_found() -> None:
    async def lose() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise asyncio.CancelledError from None

    with pytest.raises(AssertionError, match=r"raised CancelledError\(\)"):
        await cancel_everywhere(lose, Resource().check)


async def test_an_error_of_the_operation_is_raised() -> None:
    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cancel_everywhere(fail, Resource().check)
