"""`Portal`: coroutines that run for threads without an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import traceback
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import pytest

from etcd_channel import ClientClosedError
from etcd_sync import _loop_thread
from etcd_sync._loop_thread import LoopThread
from etcd_sync._portal import Portal

TIME = 60.0


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


async def answer(value: object = 42) -> object:
    await asyncio.sleep(0)
    return value


def test_a_coroutine_runs_in_another_thread_and_returns_its_result(portal: Portal) -> None:
    async def where() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    first, second = portal.run(where), portal.run(where)

    assert first == second != threading.get_ident()


def test_an_exception_is_raised_with_the_frames_of_both_threads(portal: Portal) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost") as raised:
        portal.run(fails)

    names = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert names[0] == "test_an_exception_is_raised_with_the_frames_of_both_threads"
    assert names[-1] == "fails"


def test_a_plain_function_is_called_in_the_loops_thread(portal: Portal) -> None:
    assert portal.call(asyncio.get_running_loop) is portal.call(asyncio.get_running_loop)
    assert portal.call(dict, key=1) == {"key": 1}
    with pytest.raises(ZeroDivisionError):
        portal.call(divmod, 1, 0)


def test_a_coroutine_has_the_context_variables_of_its_caller(portal: Portal) -> None:
    variable = contextvars.ContextVar("variable", default="default")

    async def value() -> str:
        return variable.get()

    variable.set("the caller's")

    assert portal.run(value) == portal.call(variable.get) == "the caller's"


def test_a_call_inside_a_running_loop_is_refused_with_what_to_use(portal: Portal) -> None:
    async def main() -> None:
        portal.run(answer)

    with pytest.raises(RuntimeError, match=r"use etcd_client\.Client"):
        asyncio.run(main())


def test_a_call_in_the_portals_own_thread_is_refused(portal: Portal) -> None:
    with pytest.raises(RuntimeError, match="call the client in another thread"):
        portal.call(lambda: portal.run(answer))


def test_a_call_after_close_is_refused_until_it_is_opened_again(portal: Portal) -> None:
    before = portal.call(threading.get_ident)
    portal.close()
    portal.close()

    with pytest.raises(ClientClosedError, match="is closed"):
        portal.run(answer)
    with pytest.raises(ClientClosedError, match="is closed"):
        next(portal.iterate(countdown(1)))

    portal.reopen()
    assert portal.run(answer) == 42
    assert before


def test_close_ends_the_waits_of_other_threads(portal: Portal) -> None:
    started = threading.Semaphore(0)
    closed: list[str] = []

    async def forever() -> None:
        started.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.append("given back")

    with ThreadPoolExecutor(8) as threads:
        waits = [threads.submit(portal.run, forever) for _ in range(8)]
        assert all(started.acquire(timeout=TIME) for _ in range(8))
        portal.close()
        for wait in waits:
            with pytest.raises(ClientClosedError):
                wait.result(TIME)
    assert closed == ["given back"] * 8


def test_close_ends_a_wait_for_what_goes_on_when_it_is_cancelled(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loop_thread, "GIVE_BACK_TIME", 0.1)
    started = threading.Event()

    async def goes_on() -> None:
        started.set()
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as threads:
        wait = threads.submit(portal.run, goes_on)
        assert started.wait(TIME)
        portal.close()
        with pytest.raises(ClientClosedError) as raised:
            wait.result(TIME)
    assert not raised.value.definite


def test_closing_is_awaited_in_the_loop_once() -> None:
    calls: list[int] = []

    async def closing() -> None:
        calls.append(threading.get_ident())

    portal = Portal(closing)
    portal.close()
    assert calls == []

    portal.reopen()
    own = portal.call(threading.get_ident)
    portal.close()
    portal.close()
    assert calls == [own]


def test_many_threads_each_have_their_own_result(portal: Portal) -> None:
    def work(number: int) -> bool:
        return all(portal.run(answer, (number, each)) == (number, each) for each in range(50))

    with ThreadPoolExecutor(64) as threads:
        assert all(threads.map(work, range(64), timeout=TIME))


# Iterators -----------------------------------------------------------------------------


async def countdown(start: int, ended: list[str] | None = None) -> AsyncIterator[int]:
    try:
        for number in range(start, 0, -1):
            await asyncio.sleep(0)
            yield number
    finally:
        if ended is not None:
            await asyncio.sleep(0)
            ended.append("ended")


def test_an_iterator_has_all_items_in_order(portal: Portal) -> None:
    iterator = portal.iterate(countdown(100))

    assert list(iterator) == list(range(100, 0, -1))
    assert list(iterator) == []


def test_an_iterator_is_closed_as_a_context_manager(portal: Portal) -> None:
    ended: list[str] = []
    with portal.iterate(countdown(100, ended)) as iterator:
        assert next(iterator) == 100
    assert ended == ["ended"]
    assert next(iterator, None) is None


def test_an_iterator_is_closed_when_it_is_dropped(portal: Portal) -> None:
    ended = threading.Event()

    async def items() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    for item in portal.iterate(items()):
        assert item == 1
        break

    assert ended.wait(TIME)


def test_an_error_of_an_iterator_is_raised_after_the_items_before_it(portal: Portal) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise KeyError("lost")

    iterator = portal.iterate(items())
    assert [next(iterator), next(iterator)] == [1, 2]
    with pytest.raises(KeyError, match="lost"):
        next(iterator)
    assert list(iterator) == []


def test_nothing_is_read_ahead(portal: Portal) -> None:
    read: list[int] = []

    async def items() -> AsyncIterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    iterator = portal.iterate(items())
    for number in range(100):
        assert next(iterator) == number
        assert len(read) == number + 1


def test_threads_that_share_an_iterator_have_each_item_once(portal: Portal) -> None:
    iterator = portal.iterate(countdown(2000))
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: list(iterator), range(8), timeout=TIME))
    assert sorted(item for part in taken for item in part) == list(range(1, 2001))


def test_close_ends_a_wait_for_an_item(portal: Portal) -> None:
    waiting = threading.Event()

    async def items() -> AsyncIterator[int]:
        waiting.set()
        await asyncio.Event().wait()
        yield 1

    with ThreadPoolExecutor(1) as threads:
        wait = threads.submit(next, portal.iterate(items()))
        assert waiting.wait(TIME)
        portal.close()
        with pytest.raises(ClientClosedError):
            wait.result(TIME)


def test_closing_an_iterator_ends_the_waits_of_threads_for_an_item(portal: Portal) -> None:
    waiting = threading.Event()
    ended: list[str] = []

    async def items() -> AsyncIterator[int]:
        try:
            waiting.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            await asyncio.sleep(0)
            ended.append("ended")

    iterator = portal.iterate(items())
    with ThreadPoolExecutor(4) as threads:
        waits = [threads.submit(list, iterator) for _ in range(4)]
        assert waiting.wait(TIME)
        iterator.close()
        assert [wait.result(TIME) for wait in waits] == [[]] * 4
    assert ended == ["ended"]


def test_an_iterator_that_is_closed_before_its_thread_has_started_has_no_items() -> None:
    class Slow(Portal):
        def thread(self) -> LoopThread:
            thread = super().thread()
            iterator.close()  # as another thread may at this moment
            return thread

    portal = Slow()
    iterator = portal.iterate(countdown(2))
    assert list(iterator) == []
    portal.close()


# Context managers ----------------------------------------------------------------------


class Manager:
    def __init__(self) -> None:
        self.tasks: list[object] = []
        self.errors: list[BaseException | None] = []

    async def __aenter__(self) -> str:
        self.tasks.append(asyncio.current_task())
        return "entered"

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        await asyncio.sleep(0)
        self.tasks.append(asyncio.current_task())
        self.errors.append(error)
        return isinstance(error, LookupError)


def test_a_manager_is_left_in_the_task_that_entered_it(portal: Portal) -> None:
    manager = Manager()

    assert portal.enter(manager) == "entered"
    assert not portal.exit(manager, None, None, None)

    assert manager.tasks[0] is manager.tasks[1]
    assert manager.errors == [None]
    with pytest.raises(RuntimeError, match="more often"):
        portal.exit(manager, None, None, None)


def test_a_manager_has_the_exception_of_the_body_and_may_suppress_it(portal: Portal) -> None:
    manager = Manager()
    for error, suppressed in ((KeyError(1), True), (ValueError(2), False)):
        portal.enter(manager)
        assert bool(portal.exit(manager, type(error), error, None)) is suppressed
        assert manager.errors.pop() is error


def test_an_error_of_a_manager_is_raised(portal: Portal) -> None:
    @asynccontextmanager
    async def fails(where: str) -> AsyncIterator[None]:
        if where == "begin":
            raise KeyError(where)
        yield
        raise KeyError(where)

    with pytest.raises(KeyError, match="begin"):
        portal.enter(fails("begin"))
    manager = fails("end")
    portal.enter(manager)
    with pytest.raises(KeyError, match="end"):
        portal.exit(manager, None, None, None)


def test_close_leaves_blocks_before_the_client_is_closed() -> None:
    order: list[str] = []

    @asynccontextmanager
    async def block() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            order.append("left")

    async def closing() -> None:
        order.append("closed")

    portal = Portal(closing)
    manager = block()
    portal.enter(manager)
    portal.close()

    assert order == ["left", "closed"]
    with pytest.raises(ClientClosedError):
        portal.exit(manager, None, None, None)


def test_threads_may_be_in_blocks_of_one_manager_at_once(portal: Portal) -> None:
    manager = Manager()
    together = threading.Barrier(8)

    def work(_: int) -> None:
        assert portal.enter(manager) == "entered"
        together.wait(TIME)
        assert not portal.exit(manager, None, None, None)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8), timeout=TIME))
    assert len(set(map(id, manager.tasks))) == 8
