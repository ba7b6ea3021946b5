"""Discovery: the endpoints of a service, as they are now."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing

import pytest
from recipes_support import PATIENCE, PATIENT, Program, waiting

from etcd_channel import Channel, ClientClosedError, ConnectionTimeoutError
from etcd_recipes import Discovery, Endpoint
from etcd_testing import EtcdServer, FaultProxy, cancel_everywhere


async def test_it_follows_what_is_registered(program: Program, other: Program) -> None:
    async with other.recipes.registration(b"web", "a:1", metadata=[1], ttl=60):
        async with program.recipes.discovery(b"web") as discovery:
            assert discovery.endpoints == (Endpoint("a:1", [1], b"web/a:1"),)
            assert discovery.revision > 0
            assert await discovery.wait(1)
            async with waiting(discovery.wait(2)):
                async with other.recipes.registration(b"web", "b:2", ttl=60):
                    assert await discovery.wait(2)
                    assert [each.address for each in discovery.endpoints] == ["a:1", "b:2"]
            async with aclosing(discovery.changes()) as changes:
                async for endpoints in changes:
                    if len(endpoints) == 1:
                        break
            assert not await discovery.wait(2, timeout=0)
            assert not await discovery.wait(2, timeout=0.05)
    await program.nothing_is_left()


async def test_each_endpoint_gets_its_turn(program: Program) -> None:
    async with program.recipes.discovery(b"web") as discovery:
        assert discovery.endpoints == ()
        assert discovery.pick() is None
        assert discovery.pick_random() is None
        for name in (b"a", b"b", b"c"):
            await program.kv.put(b"web/" + name, Endpoint(name.decode()).to_json())
        assert await discovery.wait(3, timeout=PATIENCE)
        picked = Counter(discovery.pick() for _ in range(30))
        assert sorted(picked.values()) == [10, 10, 10]
        assert {discovery.pick_random() for _ in range(500)} == set(discovery.endpoints)


async def test_values_that_are_no_endpoints_are_left_out_and_logged_once(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    await program.kv.put(b"web/x", b"no JSON")
    async with program.recipes.discovery(b"web") as discovery:
        assert discovery.endpoints == ()
        # As Go's endpoint manager writes it.
        await program.kv.put(b"web/y", b'{"Op":0,"Addr":"127.0.0.1:7","Metadata":null}')
        assert await discovery.wait(1, timeout=PATIENCE)
        assert discovery.pick() == Endpoint("127.0.0.1:7", None, b"web/y")
    assert caplog.text.count("b'web/x' is not an endpoint") == 1


async def test_the_list_is_kept_and_mended_over_a_break_and_a_compaction(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    await program.kv.put(b"web/a", Endpoint("a:1").to_json())
    async with faulty.recipes.discovery(b"web") as discovery:
        await program.until_watchers(1)
        proxy.refuse()
        proxy.cut()
        await program.kv.delete(b"web/a")
        written = await program.kv.put(b"web/b", Endpoint("b:1").to_json())
        await program.kv.compact(written.header.revision)
        assert [each.address for each in discovery.endpoints] == ["a:1"]
        proxy.heal()
        async with aclosing(discovery.changes()) as changes:
            async for endpoints in changes:
                if [each.address for each in endpoints] == ["b:1"]:
                    break


async def test_those_who_wait_are_told_of_the_end(server: EtcdServer) -> None:
    async with Channel(server.endpoint, **PATIENT) as channel:
        async with Discovery(channel, b"web") as discovery:
            wait = asyncio.create_task(discovery.wait())
            await asyncio.sleep(0)
        assert await wait is False
        with pytest.raises(ValueError, match="is not followed"):
            await discovery.wait()
        async with discovery:
            wait = asyncio.create_task(discovery.wait())
            await asyncio.sleep(0)
            await channel.close()
            with pytest.raises(ClientClosedError):
                await asyncio.wait_for(wait, PATIENCE)


async def test_a_list_that_cannot_be_read_in_time_is_an_error(
    faulty: Program, proxy: FaultProxy
) -> None:
    proxy.refuse()
    proxy.cut()
    with pytest.raises(ConnectionTimeoutError, match="could not read the endpoints of b'web'"):
        async with faulty.recipes.discovery(b"web", timeout=0.2):
            raise AssertionError("the body ran")


async def test_the_error_names_why_the_list_cannot_be_read(
    program: Program, server: EtcdServer
) -> None:
    await server.enable_auth()
    causes: list[str] = []
    # The longer time is for a machine that is too busy to get one answer in the shorter.
    for timeout in (2, 30):
        with pytest.raises(ConnectionTimeoutError) as failure:
            async with program.recipes.discovery(b"web", timeout=timeout):
                raise AssertionError("the body ran")
        causes.append(str(failure.value.__cause__))
        if "user name is empty" in causes[-1]:
            break
    assert "user name is empty" in causes[-1]


async def test_a_cancelled_discovery_leaves_no_watch(program: Program) -> None:
    async def discover() -> None:
        async with program.recipes.discovery(b"web") as discovery:
            await discovery.wait(timeout=0.001)

    async def no_watch() -> None:
        await program.until_watchers(0)

    assert await cancel_everywhere(discover, no_watch, every=7)
