"""Connections that a proxy has forgotten: silence for both sides, while new ones are served."""

from __future__ import annotations

import asyncio

import pytest
from proxy_support import LONG, SILENCE, EchoServer, abort_with_reset, connection

from etcd_testing import FaultProxy


async def test_forget_leaves_the_connections_that_are_there_in_silence_and_serves_new_ones(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as old:
        await old.echo(b"hello")
        assert proxy.forget() == 1
        await old.send(b" lost")
        await proxy.until(lambda counters: counters.dropped == 5, timeout=LONG)
        assert await old.hears_nothing()
        async with connection(proxy) as new:
            assert await new.echo(b" new") == b" new"
            proxy.heal()
            await old.send(b" lost as well")
            await proxy.until(lambda counters: counters.dropped == 18, timeout=LONG)
            assert await old.hears_nothing()
            assert await new.echo(b" still new") == b" still new"
    assert echo.received == b"hello new still new"


async def test_forget_throws_away_what_was_held(proxy: FaultProxy, echo: EchoServer) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        proxy.black_hole()
        await client.send(b" held")
        proxy.forget()
        await proxy.until(lambda counters: counters.dropped == 5, timeout=LONG)
        proxy.heal()
        assert await client.hears_nothing()
        assert echo.received == b"hello"


async def test_forget_counts_a_connection_once(proxy: FaultProxy) -> None:
    async with connection(proxy) as one:
        await one.echo(b"1")
        assert proxy.forget() == 1
        assert proxy.forget() == 0
        async with connection(proxy) as two:
            await two.echo(b"2")
            assert proxy.forget() == 1
            assert await one.hears_nothing()
            assert await two.hears_nothing()


async def test_forget_keeps_the_reset_of_a_client_from_the_server(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        proxy.forget()
        abort_with_reset(client.writer)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(echo.ends.get(), SILENCE)
        proxy.heal()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(echo.ends.get(), SILENCE)
        assert proxy.reset() == 1
        assert isinstance(await echo.end(), ConnectionResetError)


async def test_forget_keeps_the_end_of_a_server_from_the_client_and_closes_when_both_have_left(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        proxy.forget()
        echo.hang_up()
        await echo.end()
        assert await client.hears_nothing()
        assert proxy.counters.open == 1
    await proxy.until(lambda counters: counters.open == 0, timeout=LONG)


async def test_forget_holds_for_a_connection_that_has_not_reached_the_server(
    proxy: FaultProxy,
) -> None:
    proxy.black_hole()
    async with connection(proxy) as client:
        await proxy.until(lambda counters: counters.accepted == 1, timeout=LONG)
        assert proxy.forget() == 1
        proxy.heal()
        await client.send(b"lost")
        await proxy.until(lambda counters: counters.dropped == 4, timeout=LONG)
        assert await client.hears_nothing()
    await proxy.until(lambda counters: counters.open == 0, timeout=LONG)


async def test_forget_lets_no_reply_of_a_forgotten_connection_be_killed(proxy: FaultProxy) -> None:
    async with connection(proxy) as old:
        await old.echo(b"hello")
        killed = proxy.kill_next_reply()
        proxy.forget()
        await old.send(b"lost")
        assert await old.hears_nothing()
        async with connection(proxy) as new:
            await new.send(b"request")
            await asyncio.wait_for(killed, LONG)
            with pytest.raises(ConnectionResetError):
                await new.end()


async def test_close_ends_forgotten_connections_for_both_sides(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        proxy.forget()
        await proxy.close()
        assert await client.end() == b""
        assert await echo.end() is None
        assert proxy.counters.open == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
