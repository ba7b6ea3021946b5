"""What each fault of a proxy looks like from both sides, before a plain echo server."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest
from proxy_support import LONG, SILENCE, Client, EchoServer, abort_with_reset, connection

from etcd_testing import Counters, EtcdServer, EtcdTestingError, FaultProxy


async def test_passes_everything_on_and_counts_it(proxy: FaultProxy) -> None:
    async with connection(proxy) as one, connection(proxy) as two:
        assert await one.echo(b"one") == b"one"
        assert await two.echo(b"second") == b"second"
        assert proxy.counters == Counters(accepted=2, open=2, to_server=9, to_client=9)
    await proxy.until(lambda counters: counters.open == 0, timeout=LONG)


def test_works_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with EchoServer() as echo, FaultProxy(echo.endpoint) as proxy:
            async with connection(proxy) as client:
                assert await client.echo(b"one") == b"one"
                proxy.cut()
                assert await client.end() == b""

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


async def test_passes_more_than_it_would_hold_to_a_slow_reader(proxy: FaultProxy) -> None:
    payload = bytes(range(256)) * 4096 * 16  # 16 MiB, far beyond all buffers on the way
    async with connection(proxy) as client:
        sending = asyncio.create_task(client.send(payload))
        await asyncio.sleep(SILENCE)
        assert proxy.counters.to_client < len(payload)
        assert await client.read(len(payload)) == payload
        await sending


async def test_hands_an_orderly_end_on_in_each_direction(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.send(b"last words")
        client.writer.write_eof()
        assert await client.end() == b"last words"
    assert await echo.end() is None


async def test_hands_a_reset_of_the_client_on_to_the_server(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        abort_with_reset(client.writer)
    assert isinstance(await echo.end(), ConnectionResetError)


async def test_resets_a_client_when_there_is_no_server(echo: EchoServer) -> None:
    with socket.socket() as unused:  # bound, and never listening
        unused.bind(("127.0.0.1", 0))
        host, port = unused.getsockname()
        async with FaultProxy(f"{host}:{port}") as proxy:
            async with connection(proxy) as client:
                with pytest.raises(ConnectionResetError):
                    await client.end()
            assert proxy.counters.open == 0
            proxy.upstream = echo.endpoint
            async with connection(proxy) as client:
                assert await client.echo(b"there now") == b"there now"


async def test_cut_ends_every_connection_and_takes_new_ones(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as one, connection(proxy) as two:
        await one.echo(b"1")
        await two.echo(b"2")
        assert proxy.cut() == 2
        assert await one.end() == b""
        assert await two.end() == b""
        assert await echo.end() is None
        assert proxy.counters.open == 0
        assert proxy.cut() == 0
    async with connection(proxy) as client:
        assert await client.echo(b"again") == b"again"


async def test_reset_breaks_every_connection_for_both_sides(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            await client.end()
        assert isinstance(await echo.end(), ConnectionResetError)


async def test_half_close_ends_one_direction_only(proxy: FaultProxy, echo: EchoServer) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        assert proxy.half_close("to_client") == 1
        assert await client.end() == b""
        echo.arrived.clear()
        await client.send(b" still heard")
        await asyncio.wait_for(echo.arrived.wait(), LONG)
        assert echo.received == b"hello still heard"
    assert await echo.end() is None


async def test_half_close_towards_the_server_leaves_its_answers(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.send(b"answer me")
        await asyncio.wait_for(echo.arrived.wait(), LONG)
        proxy.half_close("to_server")
        assert await echo.end() is None
        assert await client.end() == b"answer me"


async def test_refuse_keeps_the_old_connections_until_healed(proxy: FaultProxy) -> None:
    async with connection(proxy) as old:
        await old.echo(b"hello")
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await old.echo(b"still") == b"still"
        proxy.heal()
        async with connection(proxy) as new:
            assert await new.echo(b"new") == b"new"


async def test_black_hole_is_silent_to_old_and_new_and_loses_nothing(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as old:
        await old.echo(b"hello")
        proxy.black_hole()
        await old.send(b" held")
        async with connection(proxy) as new:
            await new.send(b" held too")
            assert await new.hears_nothing()
            assert await old.hears_nothing()
            assert echo.received == b"hello"
            proxy.heal()
            assert await old.read(5) == b" held"
            assert await new.read(9) == b" held too"


async def test_black_hole_hides_the_end_of_a_peer_until_healed(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        proxy.black_hole()
        abort_with_reset(client.writer)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(echo.ends.get(), SILENCE)
        proxy.heal()
        assert isinstance(await echo.end(), ConnectionResetError)


@pytest.mark.parametrize("fault", ["black_hole", "stall_after"])
async def test_what_was_held_for_a_client_that_has_left_is_thrown_away_without_a_word(
    proxy: FaultProxy, echo: EchoServer, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        if fault == "black_hole":
            proxy.black_hole("to_client")
        else:
            proxy.stall_after(0, direction="to_client")
        for _ in range(50):
            echo.arrived.clear()
            await client.send(b"piece")
            await asyncio.wait_for(echo.arrived.wait(), LONG)
    echo.hang_up()
    await echo.end()
    proxy.heal()
    await proxy.until(lambda counters: counters.open == 0, timeout=LONG)
    assert caplog.messages == []
    assert proxy.counters.to_client + proxy.counters.dropped == 5 + 50 * 5


async def test_black_hole_of_one_direction_lets_requests_through(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        proxy.black_hole("to_client")
        await client.send(b"arrives")
        await asyncio.wait_for(echo.arrived.wait(), LONG)
        assert await client.hears_nothing()
        proxy.heal()
        assert await client.read(7) == b"arrives"


async def test_delay_makes_every_byte_late_and_keeps_the_order(proxy: FaultProxy) -> None:
    loop = asyncio.get_running_loop()
    proxy.delay(0.05, jitter=0.03)
    async with connection(proxy) as client:
        began = loop.time()
        pieces = [b"%d " % number for number in range(50)]
        for piece in pieces:
            await client.send(piece)
            await asyncio.sleep(0)
        whole = b"".join(pieces)
        assert await client.read(len(whole)) == whole
        # Two ways, each late by no less than the delay less the jitter.
        assert loop.time() - began >= 0.04


async def test_stall_after_some_bytes_holds_the_rest_of_a_message(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"before")
        proxy.stall_after(4, direction="to_client")
        await client.send(b"a whole message")
        assert await client.read(4) == b"a wh"
        assert await client.hears_nothing()
        assert echo.received.endswith(b"a whole message")
        proxy.heal()
        assert await client.read(11) == b"ole message"


async def test_drop_loses_replies_and_heal_breaks_what_is_torn(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as torn, connection(proxy) as quiet:
        await quiet.echo(b"hello")
        proxy.drop()
        await torn.send(b" request")
        await proxy.until(lambda counters: counters.dropped == 8, timeout=LONG)
        assert echo.received == b"hello request"
        assert await torn.hears_nothing()
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await torn.end()
        assert await quiet.echo(b"whole") == b"whole"


async def test_kill_next_reply_lets_the_request_arrive_and_breaks_once(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        killed = proxy.kill_next_reply()
        await client.send(b" request")
        await asyncio.wait_for(killed, LONG)
        with pytest.raises(ConnectionResetError):
            await client.end()
        assert echo.received == b"hello request"
    async with connection(proxy) as client:
        assert await client.echo(b"again") == b"again"


async def test_kill_next_reply_spares_the_replies_to_earlier_requests() -> None:
    """A health check may be on its way when a test wants the reply to its own call killed."""

    def headers(stream: int) -> bytes:
        return bytes([0, 0, 2, 1, 4, 0, 0, 0, stream, 0x88, 0x88])

    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda *pair: accepted.put_nowait(pair), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultProxy(f"127.0.0.1:{port}") as proxy, connection(proxy) as client:
        await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + headers(1))
        requests, replies = await asyncio.wait_for(accepted.get(), LONG)
        await asyncio.wait_for(requests.readuntil(headers(1)), LONG)
        killed = proxy.kill_next_reply()
        replies.write(headers(1))
        assert await client.read(len(headers(1))) == headers(1)
        assert not killed.done()
        await client.send(headers(3))
        await asyncio.wait_for(requests.readuntil(headers(3)), LONG)
        replies.write(headers(1) + headers(3))
        await asyncio.wait_for(killed, LONG)
        with pytest.raises(ConnectionResetError):
            await client.end()
        replies.close()
    server.close()
    await server.wait_closed()


async def test_heal_gives_up_a_kill_that_has_not_happened(proxy: FaultProxy) -> None:
    async with connection(proxy) as client:
        killed = proxy.kill_next_reply()
        proxy.heal()
        assert killed.cancelled()
        assert await client.echo(b"spared") == b"spared"


async def test_until_says_how_far_things_went(proxy: FaultProxy) -> None:
    with pytest.raises(TimeoutError, match="accepted=0"):
        await proxy.until(lambda counters: counters.accepted == 1, timeout=SILENCE)


async def test_close_leaves_no_connection_and_no_task(echo: EchoServer) -> None:
    tasks_before = asyncio.all_tasks()
    async with FaultProxy(echo.endpoint) as proxy:
        proxy.black_hole()
        async with connection(proxy) as waiting:
            await proxy.until(lambda counters: counters.open == 1, timeout=LONG)
            await proxy.close()
            assert await waiting.end() == b""
    await proxy.close()
    left = {task for task in asyncio.all_tasks() - tasks_before if not task.done()}
    assert not {task for task in left if "_open" in repr(task)}
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_bad_arguments_are_named(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="upstream"):
        FaultProxy("nowhere")
    with pytest.raises(ValueError, match="direction"):
        proxy.drop("sideways")  # type: ignore[arg-type]  # it is the point
    with pytest.raises(ValueError, match="seconds"):
        proxy.delay(-1)
    with pytest.raises(ValueError, match="size"):
        proxy.stall_after(-1)
    with pytest.raises(EtcdTestingError, match="not started"):
        FaultProxy("127.0.0.1:1").refuse()


async def test_a_real_etcd_is_used_through_a_proxy(
    etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    key = key_prefix.decode() + "k"
    async with FaultProxy(etcd_server.endpoint) as proxy:
        through = f"--endpoints={proxy.endpoint}"
        await etcd_server.etcdctl(through, "put", key, "1")
        assert await etcd_server.etcdctl("get", "--print-value-only", key) == "1\n"

        # The write is applied, and its caller gets no answer.
        killed = proxy.kill_next_reply()
        put = etcd_server.etcdctl_session(through, "--command-timeout=60s", "put", key, "2")
        async with put as session:
            await asyncio.wait_for(killed, LONG)
            proxy.refuse()
            assert await session.ended(timeout=90) != 0
        assert await etcd_server.etcdctl("get", "--print-value-only", key) == "2\n"


async def test_freeze_silences_the_connections_that_are_there_and_serves_new_ones(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as old:
        await old.echo(b"hello")
        assert proxy.freeze() == 1
        await old.send(b" held")
        async with connection(proxy) as new:
            assert await new.echo(b" new") == b" new"
            assert await old.hears_nothing()
            proxy.heal()
            assert await old.read(5) == b" held"


async def test_freeze_hides_the_end_of_a_peer_until_healed(
    proxy: FaultProxy, echo: EchoServer
) -> None:
    async with connection(proxy) as client:
        await client.echo(b"hello")
        proxy.freeze()
        client.writer.write_eof()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(echo.ends.get(), SILENCE)
        assert await client.hears_nothing()
        proxy.heal()
        assert await echo.end() is None


async def test_without_file_descriptors_it_complains_once_in_a_while_and_accepts_later(
    proxy: FaultProxy,
) -> None:
    loop = asyncio.get_running_loop()
    complaints = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raw = socket.socket()  # It gets the lowest descriptor: the rest of them are above.
    raw.setblocking(False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raw.fileno() + 1, hard))
    try:
        await loop.sock_connect(raw, ("127.0.0.1", proxy.port))
        await asyncio.sleep(SILENCE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loop.set_exception_handler(handler)
    assert complaints == [f"{proxy.endpoint} accepts no connection"]
    reader, writer = await asyncio.open_connection(sock=raw)
    client = Client(reader, writer)
    assert await client.echo(b"hello") == b"hello"
    writer.close()
    await writer.wait_closed()
