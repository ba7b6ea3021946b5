"""The messages of errors that new users meet, each from a real server."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings

import pytest

from etcd_client import (
    TLS,
    Channel,
    Client,
    ClientClosedError,
    RevisionCompactedError,
    WatchTimeoutError,
    WrongEventLoopError,
    errors,
)
from etcd_testing import EtcdServer

# Keys and revisions ----------------------------------------------------------------------


async def test_a_key_that_is_modified_twice_is_named(client: Client, key_prefix: bytes) -> None:
    put = client.transactions.put(key_prefix + b"twice", b"v")
    with pytest.raises(errors.DuplicateKeyError) as caught:
        await client.transaction([], [client.transactions.put(key_prefix, b"v"), put, put])
    assert caught.value.key == key_prefix + b"twice"
    assert f"duplicate key given in txn request; the key is {key_prefix + b'twice'!r}" in str(
        caught.value
    )
    assert caught.value.message == "etcdserver: duplicate key given in txn request"


async def test_a_long_key_is_shortened_in_the_message(client: Client, key_prefix: bytes) -> None:
    put = client.transactions.put(key_prefix + b"x" * 1000, b"v")
    with pytest.raises(errors.DuplicateKeyError) as caught:
        await client.transaction([], [put, put])
    assert repr(key_prefix)[:-1] in str(caught.value)
    assert len(str(caught.value)) < 250


async def test_the_message_has_the_compacted_revision() -> None:
    async with EtcdServer() as server, Client(endpoints=server.endpoint) as client:
        for _ in range(5):
            await client.put(b"k", b"v")
        await client.compact(5)
        read = client.transactions.get(b"k", revision=2)
        for call in (
            client.get(b"k", revision=2),
            client.get_prefix(b"k", revision=2),
            client.transaction([], [read]),
            client.compact(2),
        ):
            with pytest.raises(RevisionCompactedError) as caught:
                await call
            assert caught.value.compacted_revision == 5
            assert "; the compacted revision is 5 (" in str(caught.value)
        with pytest.raises(RevisionCompactedError, match="compacted below 5"):
            async for _ in client.watch(b"k", start_revision=2):
                pass


# Authentication --------------------------------------------------------------------------


async def test_the_message_suggests_a_username_to_a_client_without_one() -> None:
    async with EtcdServer() as server:
        await server.enable_auth("of root")
        async with Client(endpoints=server.endpoint) as client:
            for call in (client.get(b"k"), client.put(b"k", b"v"), client.defragment()):
                with pytest.raises(errors.EmptyUserNameError) as caught:
                    await call
                assert "the client has no username: give it username and password" in str(
                    caught.value
                )
            with pytest.raises((errors.PermissionDeniedError, errors.EmptyUserNameError)) as told:
                async for _ in client.watch(b"k"):
                    pass
            assert "the client has no username" in str(told.value)


async def test_the_message_does_not_suggest_a_username_to_a_user_without_permission() -> None:
    async with EtcdServer() as server:
        await server.etcdctl("user", "add", "u:p")
        await server.enable_auth("of root")
        async with Client(endpoints=server.endpoint, username="u", password="p") as client:
            with pytest.raises(errors.PermissionDeniedError) as caught:
                async for _ in client.watch(b"k"):
                    pass
    assert "username" not in str(caught.value)


async def test_a_user_on_a_server_without_authentication_is_logged_once(
    etcd_endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(endpoints=etcd_endpoint, username="u", password="pass-word") as client:
        await asyncio.gather(*(client.get(b"k") for _ in range(5)))
        with pytest.raises(WatchTimeoutError):
            await client.watch_once(b"error texts/nothing", timeout=0.05)
    (line,) = (record for record in caplog.records if "authentication" in record.getMessage())
    assert line.levelno == logging.WARNING
    assert line.getMessage() == (
        "authentication is not enabled on the server: the user 'u' and the password are not used"
    )


# TLS -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["https://", ""])
async def test_the_message_mentions_tls_to_a_server_without_it(
    etcd_endpoint: str, scheme: str
) -> None:
    tls = None if scheme else TLS()
    client = Client(endpoints=scheme + etcd_endpoint, tls=tls, connect_wait_timeout=2)
    with pytest.raises(errors.TLSHandshakeError) as caught:
        await client.get(b"k")
    assert "if the server does not use TLS, write http:// and give no tls" in str(caught.value)
    with pytest.raises(WatchTimeoutError, match="if the server does not use TLS"):
        _ = await client.watch(b"k", timeout=3)
    await client.close()


@pytest.mark.parametrize("client_cert_auth", [False, True])
async def test_the_message_suggests_tls_to_a_server_with_it(client_cert_auth: bool) -> None:
    async with EtcdServer(tls=True, client_cert_auth=client_cert_auth) as server:
        client = Client(endpoints=server.endpoint, connect_wait_timeout=2)
        with pytest.raises(errors.ConnectionFailedError) as caught:
            await client.get(b"k")
        assert "if the server uses TLS, write https:// or give tls" in str(caught.value)
        await client.close()


async def test_the_message_does_not_mention_tls_without_a_server() -> None:
    for tls in (None, TLS()):
        client = Client(endpoints="127.0.0.1:1", tls=tls, connect_wait_timeout=2)
        with pytest.raises(errors.ConnectionFailedError) as caught:
            await client.get(b"k")
        assert caught.value.hint is None
        await client.close()


# The client, not its channel ---------------------------------------------------------------


async def test_the_message_of_a_closed_client_names_the_client(etcd_endpoint: str) -> None:
    client = Client(endpoints=etcd_endpoint)
    lease = await client.lease(60)
    watch = await client.watch(b"error texts/k")
    reading = asyncio.create_task(watch.__anext__())
    await asyncio.sleep(0)
    await lease.revoke()
    await client.close()
    for call in (reading, client.get(b"k"), client.lease(5), client.lock(b"k").acquire()):
        with pytest.raises(ClientClosedError) as caught:
            await call
        assert str(caught.value).startswith("the client ")
        assert "channel" not in str(caught.value)


def test_the_message_about_another_event_loop_names_the_client(etcd_endpoint: str) -> None:
    client = Client(endpoints=etcd_endpoint)

    async def close() -> None:
        await client.close()

    first = asyncio.new_event_loop()
    first.run_until_complete(client.get(b"k"))
    with pytest.raises(WrongEventLoopError, match="the client belongs to another event loop"):
        asyncio.run(client.get(b"k"))
    first.run_until_complete(close())
    first.close()


async def test_the_warning_about_an_unclosed_client_names_the_client(etcd_endpoint: str) -> None:
    client = Client(endpoints=etcd_endpoint)
    await client.get(b"k")
    channel = client.channel
    assert isinstance(channel, Channel)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        channel.__del__()
    assert [str(warning.message) for warning in caught] == [f"unclosed client of {etcd_endpoint}"]
    await client.close()
    gc.collect()
