"""Mutexes and elections beside the real `etcdctl lock` and `etcdctl elect`."""

from __future__ import annotations

import asyncio

from lock_support import Program

from etcd_lock import Election, Mutex
from etcd_testing import EtcdServer


async def test_etcdctl_lock_waits_for_a_mutex(
    etcd_server: EtcdServer, program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        mutex = Mutex(session, key_prefix)
        await mutex.acquire()
        async with etcd_server.etcdctl_session("lock", key_prefix.decode()) as etcdctl:
            while (await program.kv.get_prefix(key_prefix, count_only=True)).count < 2:
                pass  # each iteration calls the server
            assert etcdctl.output() == ""
            await mutex.release()
            held = await etcdctl.line()
            assert held.encode().startswith(key_prefix + b"/")
            assert await mutex.acquire(timeout=0.2) is False
        assert await mutex.acquire(timeout=30) is True
        await mutex.release()


async def test_a_mutex_waits_for_etcdctl_lock(
    etcd_server: EtcdServer, program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        mutex = Mutex(session, key_prefix)
        async with etcd_server.etcdctl_session("lock", key_prefix.decode()) as etcdctl:
            await etcdctl.line()
            assert await mutex.acquire(timeout=0) is False
            waiting = asyncio.create_task(mutex.acquire())
            while (await program.kv.get_prefix(key_prefix, count_only=True)).count < 2:
                pass  # each iteration calls the server
            assert not waiting.done()
        assert await asyncio.wait_for(waiting, 60) is True
        await mutex.release()


async def test_etcdctl_elect_follows_a_leader_and_is_followed(
    etcd_server: EtcdServer, program: Program, key_prefix: bytes
) -> None:
    name = key_prefix.decode()
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        await election.campaign(b"ours")
        async with etcd_server.etcdctl_session("elect", "--listen", name) as listener:
            assert (await listener.line()).encode() == election.key
            assert await listener.line() == "ours"
        async with etcd_server.etcdctl_session("elect", name, "theirs") as etcdctl:
            while (await program.kv.get_prefix(key_prefix, count_only=True)).count < 2:
                pass  # each iteration calls the server
            assert etcdctl.output() == ""
            await election.resign()
            assert (await etcdctl.line()).encode().startswith(key_prefix + b"/")
            leader = await election.leader()
            assert leader is not None
            assert leader.value == b"theirs"
            assert await election.campaign(b"ours", timeout=0.2) is False
        assert await election.campaign(b"ours", timeout=30) is True


async def test_the_servers_own_lock_excludes_a_mutex(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session, program.leases.lease(60) as lease:
        mutex = Mutex(session, key_prefix)
        key = await program.server_side.server_lock(key_prefix, lease)
        assert await mutex.acquire(timeout=0) is False
        await program.server_side.server_unlock(key)
        assert await mutex.acquire(timeout=0) is True
        await mutex.release()
