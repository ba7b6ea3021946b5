"""Iterations that end early do not seem complete."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import etcd_sync
from etcd_channel import ClientClosedError
from etcd_sync._loop_thread import GIVE_BACK_TIME, LoopThread
from etcd_sync._portal import Portal

TIME = 60.0


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[etcd_sync.Client]:
    with etcd_sync.Client(endpoints=etcd_endpoint) as client:
        yield client


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


@pytest.fixture
def thirty(client: etcd_sync.Client, key_prefix: bytes) -> bytes:
    """The prefix of thirty keys with the value v."""
    client.put_many([(key_prefix + b"%d" % number, b"v") for number in range(30)])
    return key_prefix


def test_an_iteration_of_a_closed_client_is_refused_as_closed() -> None:
    portal, waiting = Portal(), threading.Event()

    async def items() -> AsyncIterator[int]:
        waiting.set()
        await asyncio.Event().wait()
        yield 1

    iteration = portal.iterate(items())
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(next, iteration)
        assert waiting.wait(TIME)
        portal.close()
        with pytest.raises(ClientClosedError):
            reading.result(TIME)
    with pytest.raises(ClientClosedError):
        next(iteration)


def test_an_iteration_cannot_be_closed_where_nothing_can_be_waited_for(portal: Portal) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2

    iteration = portal.iterate(items())
    assert next(iteration) == 1
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="in another thread"):
        portal.call(iteration.close)
    assert time.monotonic() - began < GIVE_BACK_TIME
    iteration.close()


def test_a_scan_that_was_interrupted_does_not_seem_complete(
    client: etcd_sync.Client, thirty: bytes
) -> None:
    scan = client.scan_prefix(thirty, page_size=10)
    assert [next(scan).value for _ in range(10)] == [b"v"] * 10
    # As if Ctrl-C had ended the wait for the second page.
    source = scan.pages()._source
    source.interrupted = True
    for _ in range(2):
        with pytest.raises(RuntimeError, match="begin another"):
            list(scan)
        with pytest.raises(RuntimeError, match="begin another"):
            list(scan.pages())
    assert len(list(client.scan_prefix(thirty, page_size=10))) == 30


def test_an_iteration_of_a_client_that_was_opened_again_does_not_seem_complete(
    client: etcd_sync.Client, thirty: bytes
) -> None:
    scan = client.scan_prefix(thirty, page_size=10)
    pages = client.scan_prefix(thirty, page_size=10).pages()
    assert next(scan).value == b"v"
    assert len(next(pages)) == 10
    client.close()
    client.connect()
    with pytest.raises(ClientClosedError):
        list(pages)
    with pytest.raises(ClientClosedError):
        list(scan)
    assert len(list(client.scan_prefix(thirty))) == 30


def test_an_interrupted_iteration_does_not_seem_complete_to_those_who_wait_for_their_turn(
    portal: Portal,
) -> None:
    async def items() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    source = portal.iterate(items())._source

    async def scenario() -> None:
        first = asyncio.create_task(source.next())
        await asyncio.sleep(0)
        second = asyncio.create_task(source.next())
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(RuntimeError, match="begin another"):
            await second

    portal.run(scenario)


def test_an_iteration_that_found_no_thread_is_read_in_the_next_one(portal: Portal) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1

    iteration = portal.iterate(items())
    iteration._thread = failed = LoopThread(None)
    failed.failure = OSError(errno.EMFILE, "no file descriptor is free")
    failed.stop()
    assert list(iteration) == [1]


def test_closing_a_scan_ends_the_read_of_another_thread(
    client: etcd_sync.Client, key_prefix: bytes
) -> None:
    client.put(key_prefix, b"v")
    scan = client.scan_prefix(key_prefix)
    reading = threading.Event()

    async def never() -> None:
        reading.set()
        await asyncio.Event().wait()

    pages = scan.pages()
    pages._source._iterable = _Never(never)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(list, pages)
        assert reading.wait(TIME)
        scan.close()
        assert waiting.result(TIME) == []


class _Never:
    """An asynchronous iterator whose item never comes."""

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __aiter__(self) -> _Never:
        return self

    async def __anext__(self) -> Any:
        await self._wait()
