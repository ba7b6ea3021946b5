"""A watch that is dropped before its first use warns, as a coroutine that was never awaited."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from watch_support import connect, within

from etcd_channel import Channel
from etcd_watch import Watch, WatchClient


@pytest.fixture
def nobody() -> WatchClient:
    """A client of no server: nothing is sent."""
    return WatchClient(Channel("127.0.0.1:1"))


@contextmanager
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


async def test_a_watch_that_is_not_awaited_warns_by_its_public_name(nobody: WatchClient) -> None:
    unused = "was never awaited, entered or iterated over$"
    with pytest.warns(RuntimeWarning, match=rf"^watch 'WatchClient\.watch' {unused}"):
        nobody.watch(b"k")  # type: ignore[unused-awaitable]  # the mistake itself
    with pytest.warns(RuntimeWarning, match=rf"^watch 'WatchClient\.watch_prefix' {unused}"):
        nobody.watch_prefix(b"k")  # type: ignore[unused-awaitable]  # the mistake itself


async def test_the_name_is_that_of_the_program_s_own_client() -> None:
    class Mine(WatchClient):
        pass

    with pytest.warns(RuntimeWarning, match=r"^watch 'Mine\.watch' was never awaited"):
        Mine(Channel("127.0.0.1:1")).watch(b"k")  # type: ignore[unused-awaitable]  # the mistake itself


async def test_a_watch_that_was_used_does_not_warn(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        start = await writer.put(key_prefix, b"1")
        with no_warning():
            async with client.watch(key_prefix):
                pass
            watch = await client.watch(key_prefix)
            await watch.cancel()
            async for _event in client.watch(key_prefix, start_revision=start):
                break
            _ = await within(anext(client.watch(key_prefix, start_revision=start).responses()))
            _ = await client.watch_once(key_prefix, start_revision=start)
            handed_on = client.watch(key_prefix)
            _ = await asyncio.create_task(enter(handed_on))
            del watch, handed_on
            # Cancelled before its first step, it does not even ask for the watch.
            task = asyncio.ensure_future(client.watch(key_prefix))
            task.cancel()
            await asyncio.wait([task])
            del task


async def enter(watch: Watch) -> None:
    async with watch:
        pass


async def test_a_watch_that_was_ended_before_its_first_use_does_not_warn(
    nobody: WatchClient,
) -> None:
    with no_warning():
        watch = nobody.watch(b"k")
        await watch.cancel()
        del watch


async def test_a_watch_that_is_refused_at_its_first_use_does_not_warn(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        async with client.watch(key_prefix, watch_id=3):
            with no_warning():
                with pytest.raises(ValueError, match="watch_id 3 is in use"):
                    _ = await client.watch(key_prefix, watch_id=3)


async def test_a_watch_that_could_not_be_made_does_not_warn(nobody: WatchClient) -> None:
    bad: Any = "k"
    with no_warning():
        for make in (nobody.watch, nobody.watch_prefix):
            with pytest.raises(TypeError):
                _ = make(bad)
            with pytest.raises(TypeError):
                _ = make(b"k", timeout=bad)


def test_a_watch_that_is_left_when_the_interpreter_ends_writes_nothing() -> None:
    program = """
from etcd_channel import Channel
from etcd_watch import WatchClient

watch = WatchClient(Channel("127.0.0.1:1")).watch(b"k")
watch.itself = watch
"""
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
