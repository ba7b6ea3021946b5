"""Locks, elections and watches through the proxy, also when it or the member is restarted."""

from __future__ import annotations

import asyncio

import pytest

from etcd_client import Client
from etcd_lock import Election, Mutex
from etcd_testing import EtcdServer, GrpcProxy


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_a_lock_is_waited_for_and_refreshed(
    etcd_grpc_proxy: GrpcProxy, key_prefix: bytes, keep_alive: bool
) -> None:
    async with (
        Client(endpoints=[etcd_grpc_proxy.endpoint]) as one,
        Client(endpoints=[etcd_grpc_proxy.endpoint]) as two,
    ):
        other = two.lock(key_prefix, ttl=60, keep_alive=keep_alive)
        async with one.lock(key_prefix, ttl=60, keep_alive=keep_alive) as held:
            assert await held.is_acquired()
            if not keep_alive:
                await held.refresh()
            waiting = asyncio.create_task(other.acquire(timeout=60))
            await asyncio.sleep(0.5)
            assert not waiting.done()
        assert await waiting
        assert await other.is_acquired()
        assert await other.release()


async def test_mutexes_and_elections_of_sessions(
    etcd_grpc_proxy: GrpcProxy, key_prefix: bytes
) -> None:
    async with (
        Client(endpoints=[etcd_grpc_proxy.endpoint]) as client,
        Client(endpoints=[etcd_grpc_proxy.endpoint]) as witness,
    ):
        async with client.session(ttl=30) as session, witness.session(ttl=30) as other:
            async with Mutex(session, key_prefix + b"mutex") as mutex:
                assert await mutex.is_acquired()
                assert not await Mutex(other, key_prefix + b"mutex").acquire(timeout=0)
            async with Mutex(other, key_prefix + b"mutex"):
                pass
            election = Election(session, key_prefix + b"election")
            assert await election.campaign(b"one")
            observed = Election(other, key_prefix + b"election").observe()
            assert (await anext(observed)).value == b"one"
            await election.proclaim(b"two")
            assert (await anext(observed)).value == b"two"
            assert await election.resign()


@pytest.mark.parametrize("what", ["proxy", "member", "proxy killed", "member killed"])
async def test_a_watch_misses_nothing_over_a_restart(what: str) -> None:
    async with EtcdServer() as server, GrpcProxy(server) as proxy:
        async with (
            Client(endpoints=[proxy.endpoint]) as client,
            Client(endpoints=[server.endpoint]) as writer,
        ):
            async with client.watch_prefix(b"k/") as watch:
                events = aiter(watch)
                for count in range(3):
                    await writer.put(b"k/%d" % count, b"before")
                    assert (await asyncio.wait_for(anext(events), 60)).kv.key == b"k/%d" % count
                    program = proxy if what.startswith("proxy") else server
                    await (program.kill() if what.endswith("killed") else program.stop())
                    if program is proxy:
                        await writer.put(b"k/meanwhile", b"")
                    await program.start()
                    if program is server:
                        await writer.put(b"k/meanwhile", b"")
                    event = await asyncio.wait_for(anext(events), 60)
                    assert event.kv.key == b"k/meanwhile"


async def test_a_lease_is_kept_alive_over_a_restart_of_the_proxy() -> None:
    async with EtcdServer() as server, GrpcProxy(server) as proxy:
        async with Client(endpoints=[proxy.endpoint]) as client:
            lease = await client.lease(24, keep_alive=True)
            for _ in range(3):
                # A lease is kept alive after a third of its time to live.
                await asyncio.sleep(lease.ttl / 3 + 0.5)
                await proxy.restart()
            lease.check()
            assert await client.leases() == [lease.id]
            await lease.revoke()
