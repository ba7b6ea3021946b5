"""TLS with real servers: trusted servers are reached, the error for others names TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from channel_support import HANG, PUT, RANGE

from etcd_channel import TLS, Channel, ClientError, ConnectionFailedError
from etcd_channel.errors import TLSHandshakeError
from etcd_testing import EtcdServer, TLSFiles
from etcd_testing.played import messages

GET = messages.RangeRequest(key=b"k")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return TLSFiles.create(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    """Of another authority."""
    return TLSFiles.create(tmp_path_factory.mktemp("strangers"))


@pytest.fixture
async def server(files: TLSFiles) -> AsyncIterator[EtcdServer]:
    async with EtcdServer(tls=files) as server:
        yield server


@pytest.fixture
async def mutual(files: TLSFiles) -> AsyncIterator[EtcdServer]:
    async with EtcdServer(tls=files, client_cert_auth=True) as server:
        yield server


async def refusal(channel: Channel) -> ClientError:
    """Return the error of a write that fails, which must be definite and within the timeout."""
    with pytest.raises(ClientError) as caught:
        await asyncio.wait_for(channel.call(PUT, messages.PutRequest(key=b"k")), HANG)
    await channel.close()
    assert caught.value.definite, "nothing was sent"
    return caught.value


async def reaches(endpoint: str, tls: TLS | None) -> None:
    async with Channel(endpoint, tls=tls) as channel:
        await channel.call(RANGE, GET)


@pytest.mark.parametrize("scheme", ["", "https://"])
async def test_a_server_whose_authority_is_trusted_is_reached(
    scheme: str, server: EtcdServer, files: TLSFiles
) -> None:
    await reaches(scheme + server.endpoint, TLS(ca_cert=files.ca))
    await reaches(scheme + server.endpoint, TLS(ca_cert=files.ca.read_bytes()))


async def test_a_server_of_another_authority_is_not_trusted(
    server: EtcdServer, strangers: TLSFiles
) -> None:
    error = await refusal(Channel(server.endpoint, tls=TLS(ca_cert=strangers.ca)))
    assert type(error) is TLSHandshakeError
    assert error.endpoint == server.endpoint


async def test_a_server_of_a_private_authority_is_not_trusted_by_default(
    server: EtcdServer,
) -> None:
    for channel in (Channel(f"https://{server.endpoint}"), Channel(server.endpoint, tls=TLS())):
        assert type(await refusal(channel)) is TLSHandshakeError


async def test_a_failed_handshake_is_raised_at_once(
    server: EtcdServer, strangers: TLSFiles
) -> None:
    # It is permanent, so no call waits for the connect timeout, which is longer than this guard.
    tls = TLS(ca_cert=strangers.ca)
    channel = Channel(server.endpoint, tls=tls, connect_timeout=10 * HANG, timeout=10 * HANG)
    assert type(await refusal(channel)) is TLSHandshakeError


async def test_the_certificate_must_carry_the_name_of_the_server(files: TLSFiles) -> None:
    other = TLSFiles.create(files.ca.parent / "named", hosts=["etcd.example.org"])
    async with EtcdServer(tls=other) as server:
        error = await refusal(Channel(server.endpoint, tls=TLS(ca_cert=other.ca)))
        assert type(error) is TLSHandshakeError
        named = TLS(ca_cert=other.ca, server_name="etcd.example.org")
        await reaches(server.endpoint, named)
        misnamed = TLS(ca_cert=other.ca, server_name="etcd.example.com")
        assert type(await refusal(Channel(server.endpoint, tls=misnamed))) is TLSHandshakeError


async def test_tls_to_a_server_without_tls_is_a_failed_handshake(
    etcd_endpoint: str, files: TLSFiles
) -> None:
    tls = TLS(ca_cert=files.ca)
    error = await refusal(Channel(etcd_endpoint, tls=tls, connect_timeout=3))
    assert type(error) is TLSHandshakeError


async def test_no_tls_to_a_server_with_tls_is_a_failed_connection(server: EtcdServer) -> None:
    error = await refusal(Channel(server.endpoint, connect_timeout=3))
    assert type(error) is ConnectionFailedError


async def test_a_client_with_a_certificate_is_accepted(mutual: EtcdServer, files: TLSFiles) -> None:
    tls = TLS(ca_cert=files.ca, client_cert=files.client_cert, client_key=files.client_key)
    await reaches(mutual.endpoint, tls)
    assert files.client_cert is not None
    assert files.client_key is not None
    certificate, key = files.client_cert.read_bytes(), files.client_key.read_bytes()
    await reaches(mutual.endpoint, TLS(ca_cert=files.ca, client_cert=certificate, client_key=key))


async def test_a_client_without_a_required_certificate_is_refused(
    mutual: EtcdServer, files: TLSFiles
) -> None:
    error = await refusal(Channel(mutual.endpoint, tls=TLS(ca_cert=files.ca), connect_timeout=5))
    assert type(error) is TLSHandshakeError


async def test_a_client_with_a_certificate_of_another_authority_is_refused(
    mutual: EtcdServer, files: TLSFiles, strangers: TLSFiles
) -> None:
    tls = TLS(ca_cert=files.ca, client_cert=strangers.client_cert, client_key=strangers.client_key)
    error = await refusal(Channel(mutual.endpoint, tls=tls, connect_timeout=5))
    assert type(error) is TLSHandshakeError


async def test_a_key_that_does_not_belong_to_the_certificate_is_refused(
    mutual: EtcdServer, files: TLSFiles, strangers: TLSFiles
) -> None:
    tls = TLS(ca_cert=files.ca, client_cert=files.client_cert, client_key=strangers.client_key)
    error = await refusal(Channel(mutual.endpoint, tls=tls, connect_timeout=5))
    assert type(error) is TLSHandshakeError


@pytest.mark.parametrize("received", [0, 1])
async def test_a_connection_that_is_reset_in_the_handshake_is_a_failed_handshake(
    received: int,
) -> None:
    """It is tried again until the timeout, because a server that is stopping resets it too."""
    connections = 0

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(received)
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1") as listener:
        port = listener.sockets[0].getsockname()[1]
        channel = Channel(f"https://127.0.0.1:{port}", connect_timeout=3)
        with pytest.raises(ConnectionFailedError) as caught:
            await asyncio.wait_for(channel.connect(), HANG)
        await channel.close()
    assert connections > 1
    # A reset before gRPC writes to the connection is seen as a failure to connect.
    if received:
        assert type(caught.value) is TLSHandshakeError
    assert "write http://" in str(caught.value)


async def test_https_and_http_endpoints_can_be_mixed(
    server: EtcdServer, etcd_endpoint: str
) -> None:
    """The scheme of an endpoint applies to this endpoint only."""
    channel = Channel([f"http://{etcd_endpoint}", f"https://{server.endpoint}"])
    await channel.call(RANGE, GET, endpoint=etcd_endpoint)
    with pytest.raises(TLSHandshakeError):
        await channel.call(RANGE, GET, endpoint=server.endpoint)
    # A call with an https:// endpoint is not sent without TLS either.
    with pytest.raises(TLSHandshakeError):
        await channel.call(RANGE, GET, endpoint=f"https://{etcd_endpoint}")
    await channel.close()


async def test_a_call_with_an_http_endpoint_is_refused_on_a_channel_with_tls(
    server: EtcdServer, files: TLSFiles
) -> None:
    async with Channel(server.endpoint, tls=TLS(ca_cert=files.ca)) as channel:
        await channel.call(RANGE, GET, endpoint=f"https://{server.endpoint}")
        for endpoint in (f"http://{server.endpoint}", "http://localhost:1"):
            with pytest.raises(ValueError, match="does not use TLS, but tls was given"):
                await channel.call(RANGE, GET, endpoint=endpoint)


async def test_a_unix_socket_is_reached() -> None:
    async with EtcdServer(unix_socket=True) as server:
        await reaches(server.unix_endpoint, None)


async def test_an_ipv6_address_is_reached() -> None:
    async with EtcdServer(host="::1") as server:
        await reaches(server.endpoint, None)
        await reaches(f"http://{server.endpoint}", None)
        await reaches(f"localhost:{server.client_port}", None)
