"""A hold whose key cannot be watched."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from lock_support import Program


class Refused(Exception):
    pass


async def test_the_error_of_a_watch_is_not_kept_for_as_long_as_the_hold(
    program: Program, key_prefix: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[weakref.ref[BaseException]] = []

    async def fail() -> None:
        error = Refused("the key cannot be watched")
        errors.append(weakref.ref(error))
        failed.set()
        raise error

    failed = asyncio.Event()

    async with program.locks.lock(key_prefix, 60) as lock:
        assert lock._hold is not None
        monkeypatch.setattr(lock._hold, "_deletion", fail)
        waiting = asyncio.create_task(lock.lost)
        await asyncio.wait_for(failed.wait(), 60)
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        assert errors[0]() is None
        waiting.cancel()
        await asyncio.wait([waiting])
