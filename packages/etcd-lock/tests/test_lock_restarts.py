"""Locks that are held, and those that wait for them, survive a server that is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from lock_support import Program, until_queued

from etcd_channel import Channel
from etcd_lock import (
    Election,
    MultiLock,
    Mutex,
    ReadWriteLock,
    Semaphore,
    Session,
)
from etcd_testing import EtcdServer

HANG = 60.0

Make = Callable[[Session], AbstractAsyncContextManager[Any]]

KINDS: dict[str, Make] = {
    "mutex": lambda session: Mutex(session, b"name", cancel_on_loss=True),
    "write lock": lambda session: ReadWriteLock(session, b"name").write_lock(),
    "permit": lambda session: Semaphore(session, b"name", 1).permit(),
    "multi-lock": lambda session: MultiLock(session, [b"name/1", b"name/2"], cancel_on_loss=True),
    "lead": lambda session: Election(session, b"name").lead(b"value"),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
async def test_a_holder_keeps_its_lock_over_a_restart_and_the_waiter_gets_it_afterwards(
    own_server: EtcdServer, make: Make
) -> None:
    inside: list[str] = []

    async def wait(session: Session) -> None:
        async with make(session):
            inside.append("the waiter")

    async with Channel(own_server.endpoint, connect_timeout=HANG) as channel:
        program = Program(channel)
        async with Session(channel, 600) as first, Session(channel, 600) as second:
            async with make(first):
                count = (await program.kv.get_all(count_only=True)).count
                waiting = asyncio.create_task(wait(second))
                await until_queued(program, b"name", 2 * count)
                directory = own_server.directory
                await own_server.etcdctl("snapshot", "save", str(directory / "snapshot"))
                await own_server.kill()
                await own_server.start()
                assert (await program.kv.get_all(count_only=True)).count == 2 * count
                assert not waiting.done()
                assert not first.is_lost
                inside.append("the holder")
            await asyncio.wait_for(waiting, HANG)
        assert inside == ["the holder", "the waiter"]
        assert (await program.kv.get_all(count_only=True)).count == 0
