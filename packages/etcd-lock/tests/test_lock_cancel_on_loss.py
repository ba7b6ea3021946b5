"""Bodies with `cancel_on_loss` are cancelled when the object that they hold is lost."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from lock_loss_support import HANG, Blocks, Held, every_kind, every_loss

from etcd_channel import ClientError


@every_loss
async def test_cancel_on_loss_cancels_the_body_and_raises_the_loss(
    block: Blocks, lines: Callable[[], list[str]], kind: str, how: str
) -> None:
    cancelled = False

    async def body() -> None:
        nonlocal cancelled
        async with block(kind, cancel_on_loss=True) as held:
            held.lose_soon(how)
            try:
                await asyncio.wait_for(asyncio.Event().wait(), HANG)
            except asyncio.CancelledError:
                cancelled = True
                raise

    with pytest.raises(ClientError) as raised:
        await body()
    assert cancelled
    block.held.check(raised.value, how)
    assert isinstance(raised.value.__context__, asyncio.CancelledError)
    assert lines() == ["WARNING etcd_lease" if how == "revoke" else "WARNING etcd_lock"]
    _nothing_is_left_of_the_cancellation()
    await asyncio.sleep(0)


def _nothing_is_left_of_the_cancellation() -> None:
    if sys.version_info >= (3, 11):
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


@every_kind
async def test_a_body_is_cancelled_even_if_another_task_awaited_the_loss(
    block: Blocks, kind: str
) -> None:
    monitors: list[asyncio.Future[ClientError]] = []

    async def body() -> None:
        async with block(kind, cancel_on_loss=True) as held:
            monitors.append(asyncio.ensure_future(held.lost()))
            held.lose_soon("revoke")
            await asyncio.wait_for(asyncio.Event().wait(), HANG)

    with pytest.raises(ClientError):
        await body()
    block.held.check(await monitors[0], "revoke")


@every_kind
async def test_an_error_raised_by_a_cancelled_body_has_the_loss_in_its_context(
    block: Blocks, kind: str
) -> None:
    async def body() -> None:
        async with block(kind, cancel_on_loss=True) as held:
            held.lose_soon("revoke")
            try:
                await asyncio.wait_for(asyncio.Event().wait(), HANG)
            finally:
                raise KeyError("while cleaning up")

    with pytest.raises(KeyError) as raised:
        await body()
    cancellation = raised.value.__context__
    assert isinstance(cancellation, asyncio.CancelledError)
    last: BaseException = cancellation
    while last.__context__ is not None:
        last = last.__context__
    block.held.check(last, "revoke")
    _nothing_is_left_of_the_cancellation()


@every_kind
async def test_a_body_that_swallows_its_cancellation_gets_the_loss(
    block: Blocks, kind: str
) -> None:
    async def body() -> None:
        async with block(kind, cancel_on_loss=True) as held:
            held.lose_soon("revoke")
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(asyncio.Event().wait(), HANG)

    with pytest.raises(ClientError) as raised:
        await body()
    block.held.check(raised.value, "revoke")
    _nothing_is_left_of_the_cancellation()


@every_kind
async def test_a_body_that_ends_as_it_is_cancelled_gets_the_loss(block: Blocks, kind: str) -> None:
    """The cancellation is requested while the task runs, and reaches it after the body."""
    if sys.version_info < (3, 11):
        pytest.skip("Task.uncancel is new in Python 3.11")

    async def body() -> None:
        async with block(kind, cancel_on_loss=True) as held:
            task = asyncio.current_task()
            assert task is not None
            held.lose_soon("revoke")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as cancellation:
                # The cancellation arrives a second time, after the body has ended.
                task.uncancel()
                task.cancel(*cancellation.args)

    with pytest.raises(ClientError) as raised:
        await body()
    block.held.check(raised.value, "revoke")
    _nothing_is_left_of_the_cancellation()


@every_kind
async def test_a_callers_cancellation_takes_precedence_over_that_for_a_loss(
    block: Blocks, kind: str
) -> None:
    entered = asyncio.Event()
    held: list[Held] = []

    async def work() -> None:
        async with block(kind, cancel_on_loss=True) as each:
            held.append(each)
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                # Python 3.10 cannot count cancellations: there, the second one must come later.
                task.cancel("the caller's")
                raise

    task = asyncio.create_task(work())
    await asyncio.wait_for(entered.wait(), HANG)
    held[0].lose_soon("revoke")
    await asyncio.wait([task])
    if sys.version_info >= (3, 11):
        assert task.cancelled()
    else:
        assert task.cancelled() or isinstance(task.exception(), held[0].error)


@every_kind
async def test_a_timeout_around_a_lost_body_neither_swallows_the_loss_nor_fires(
    block: Blocks, kind: str
) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("asyncio.timeout is new in Python 3.11")

    outer, inner = asyncio.timeout(HANG), asyncio.timeout(HANG)

    async def body() -> None:
        async with outer, block(kind, cancel_on_loss=True) as held, inner:
            held.lose_soon("revoke")
            await asyncio.Event().wait()

    with pytest.raises(ClientError) as raised:
        await body()
    block.held.check(raised.value, "revoke")
    assert not outer.expired()
    assert not inner.expired()
    _nothing_is_left_of_the_cancellation()


@every_kind
async def test_a_timeout_that_expires_while_a_body_is_cancelled_raises_timeout_error(
    block: Blocks, kind: str
) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("asyncio.timeout is new in Python 3.11")

    async def body() -> None:
        async with asyncio.timeout(None) as outer:
            async with block(kind, cancel_on_loss=True) as held:
                held.lose_soon("revoke")
                try:
                    await asyncio.Event().wait()
                finally:
                    outer.reschedule(0)
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await body()
    _nothing_is_left_of_the_cancellation()


@every_kind
async def test_an_anyio_scope_around_a_lost_body_gets_the_loss(block: Blocks, kind: str) -> None:
    outer = anyio.CancelScope()

    async def body() -> None:
        with outer:
            async with block(kind, cancel_on_loss=True) as held:
                held.lose_soon("revoke")
                with anyio.fail_after(HANG):
                    await anyio.sleep_forever()

    with pytest.raises(ClientError) as raised:
        await body()
    block.held.check(raised.value, "revoke")
    assert not outer.cancel_called
    await anyio.lowlevel.checkpoint()
    _nothing_is_left_of_the_cancellation()


@every_kind
async def test_an_anyio_scope_that_is_cancelled_with_the_loss_ends_as_usual(
    block: Blocks, kind: str
) -> None:
    reached = False
    with anyio.CancelScope() as outer:
        async with block(kind, cancel_on_loss=True) as held:
            held.lose_soon("revoke")
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                outer.cancel()
                raise
        reached = True
    assert outer.cancelled_caught
    assert not reached
    await anyio.lowlevel.checkpoint()
    _nothing_is_left_of_the_cancellation()


@every_kind
async def test_a_task_group_in_a_lost_body_cancels_its_tasks_first(
    block: Blocks, kind: str
) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("TaskGroup is new in Python 3.11")
    ended: list[str] = []

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("child")

    async def body() -> None:
        async with block(kind, cancel_on_loss=True) as held, asyncio.TaskGroup() as group:
            group.create_task(child())
            held.lose_soon("revoke")

    with pytest.raises(ClientError) as raised:
        await body()
    block.held.check(raised.value, "revoke")
    assert ended == ["child"]
    _nothing_is_left_of_the_cancellation()


@every_kind
async def test_a_lost_body_in_a_task_of_a_group_ends_the_group_with_the_loss(
    block: Blocks, kind: str
) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("TaskGroup is new in Python 3.11")
    held: list[Held] = []

    async def work() -> None:
        async with block(kind, cancel_on_loss=True) as each:
            held.append(each)
            each.lose_soon("revoke")
            await asyncio.Event().wait()

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            group.create_task(asyncio.Event().wait())

    with pytest.RaisesGroup(ClientError) as raised:
        await body()
    (loss,) = raised.value.exceptions
    held[0].check(loss, "revoke")
