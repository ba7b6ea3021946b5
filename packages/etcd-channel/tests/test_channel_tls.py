"""TLS with real servers: who is trusted is reached, who is not is refused by that name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from channel_support import HANG, PUT, RANGE, messages

from etcd_channel import TLS, Channel, ClientError, ConnectionFailedError
from etcd_channel.errors import TLSHandshakeError
from etcd_testing import EtcdServer, TLSFiles

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
    """How a write fails, definitely and within the time."""
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


async def test_a_server_of_no_public_authority_is_not_trusted_by_default(
    server: EtcdServer,
) -> None:
    for channel in (Channel(f"https://{server.endpoint}"), Channel(server.endpoint, tls=TLS())):
        assert type(await refusal(channel)) is TLSHandshakeError


async def test_a_failed_handshake_is_told_at_once(server: EtcdServer, strangers: TLSFiles) -> None:
    # It will not go away: so nobody waits for the connect timeout, here longer than the guard.
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


async def test_tls_to_a_server_that_speaks_none_is_a_failed_handshake(
    etcd_endpoint: str, files: TLSFiles
) -> None:
    tls = TLS(ca_cert=files.ca)
    error = await refusal(Channel(etcd_endpoint, tls=tls, connect_timeout=0.5))
    assert type(error) is TLSHandshakeError


async def test_no_tls_to_a_server_that_wants_it_is_a_failed_connection(server: EtcdServer) -> None:
    error = await refusal(Channel(server.endpoint, connect_timeout=0.5))
    assert type(error) is ConnectionFailedError


async def test_a_client_that_shows_its_certificate_is_let_in(
    mutual: EtcdServer, files: TLSFiles
) -> None:
    tls = TLS(ca_cert=files.ca, client_cert=files.client_cert, client_key=files.client_key)
    await reaches(mutual.endpoint, tls)
    assert files.client_cert is not None
    assert files.client_key is not None
    certificate, key = files.client_cert.read_bytes(), files.client_key.read_bytes()
    await reaches(mutual.endpoint, TLS(ca_cert=files.ca, client_cert=certificate, client_key=key))


async def test_a_client_without_a_certificate_is_refused_where_one_is_wanted(
    mutual: EtcdServer, files: TLSFiles
) -> None:
    error = await refusal(Channel(mutual.endpoint, tls=TLS(ca_cert=files.ca), connect_timeout=1))
    assert type(error) is TLSHandshakeError


async def test_a_client_with_a_strangers_certificate_is_refused(
    mutual: EtcdServer, files: TLSFiles, strangers: TLSFiles
) -> None:
    tls = TLS(ca_cert=files.ca, client_cert=strangers.client_cert, client_key=strangers.client_key)
    error = await refusal(Channel(mutual.endpoint, tls=tls, connect_timeout=1))
    assert type(error) is TLSHandshakeError


async def test_a_key_that_is_not_the_certificates_is_refused(
    mutual: EtcdServer, files: TLSFiles, strangers: TLSFiles
) -> None:
    tls = TLS(ca_cert=files.ca, client_cert=files.client_cert, client_key=strangers.client_key)
    error = await refusal(Channel(mutual.endpoint, tls=tls, connect_timeout=1))
    assert type(error) is TLSHandshakeError


async def test_https_and_http_endpoints_can_stand_side_by_side(
    server: EtcdServer, etcd_endpoint: str
) -> None:
    """Each endpoint's scheme holds for it alone."""
    channel = Channel([f"http://{etcd_endpoint}", f"https://{server.endpoint}"])
    await channel.call(RANGE, GET, endpoint=etcd_endpoint)
    with pytest.raises(TLSHandshakeError):
        await channel.call(RANGE, GET, endpoint=server.endpoint)
    # Nor is one that is addressed by https:// asked in the clear.
    with pytest.raises(TLSHandshakeError):
        await channel.call(RANGE, GET, endpoint=f"https://{etcd_endpoint}", timeout=1)
    await channel.close()


async def test_an_addressed_member_gets_no_plain_connection_beside_tls(
    server: EtcdServer, files: TLSFiles
) -> None:
    async with Channel(server.endpoint, tls=TLS(ca_cert=files.ca)) as channel:
        await channel.call(RANGE, GET, endpoint=f"https://{server.endpoint}")
        for endpoint in (f"http://{server.endpoint}", "http://localhost:1"):
            with pytest.raises(ValueError, match="without TLS, but tls was given"):
                await channel.call(RANGE, GET, endpoint=endpoint)


async def test_a_unix_socket_is_reached() -> None:
    async with EtcdServer(unix_socket=True) as server:
        await reaches(server.unix_endpoint, None)


async def test_an_ipv6_address_is_reached() -> None:
    async with EtcdServer(host="::1") as server:
        await reaches(server.endpoint, None)
        await reaches(f"http://{server.endpoint}", None)
        await reaches(f"localhost:{server.client_port}", None)
