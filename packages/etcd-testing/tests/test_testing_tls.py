"""Servers that speak TLS, with certificates made for them or given to them."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

import pytest

from etcd_testing import EtcdctlError, EtcdServer, EtcdTestingError, TLSFiles

pytest.importorskip("trustme", reason="the extra `tls` is not installed")


async def test_a_server_has_certificates_made_for_it() -> None:
    async with EtcdServer(tls=True) as server:
        assert server.url == f"https://{server.endpoint}"
        assert server.tls is not None
        await server.etcdctl("put", "k", "v")
        with pytest.raises(EtcdctlError):
            await server.etcdctl(
                f"--endpoints=http://{server.endpoint}",
                "--dial-timeout=300ms",
                "--command-timeout=300ms",
                "get",
                "k",
            )
        await handshake(server, ssl.create_default_context(cafile=server.tls.ca))
        with pytest.raises(ssl.SSLCertVerificationError):
            await handshake(server, ssl.create_default_context())
        assert await server.healthy(timeout=60)


async def test_a_server_asks_for_client_certificates() -> None:
    async with EtcdServer(tls=True, client_cert_auth=True) as server:
        assert server.tls is not None
        assert server.tls.client_cert is not None
        await server.etcdctl("put", "k", "v")
        context = ssl.create_default_context(cafile=server.tls.ca)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await handshake(server, context)
        context.load_cert_chain(server.tls.client_cert, server.tls.client_key)
        await handshake(server, context)


async def test_given_certificates_are_used(tmp_path: Path) -> None:
    files = TLSFiles.create(tmp_path, hosts=["127.0.0.1"], client_name="root")
    async with EtcdServer(tls=files, client_cert_auth=True) as server:
        assert server.tls is files
        await server.enable_auth()
        # The common name of the certificate is the user, without any password.
        await server.etcdctl("put", "k", "v", "--user=")
    assert files.ca.exists()


async def test_two_servers_can_share_an_authority() -> None:
    async with EtcdServer(tls=True) as one:
        two = EtcdServer()
        two.share_tls(one)
        async with two:
            assert two.tls == one.tls
            assert two.url.startswith("https://")
            await two.etcdctl("put", "k", "v")


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ca should be a file"):
        TLSFiles(ca=tmp_path / "none", server_cert=tmp_path, server_key=tmp_path)
    with pytest.raises(TypeError, match="ca should be a path, not int"):
        TLSFiles(ca=1, server_cert=tmp_path, server_key=tmp_path)  # type: ignore[arg-type]  # the point
    there = tmp_path / "there"
    there.touch()
    with pytest.raises(ValueError, match="client_cert and client_key"):
        TLSFiles(ca=there, server_cert=there, server_key=there, client_cert=there)


def test_without_trustme_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(EtcdTestingError, match=r'pip install "etcd-testing\[tls\]"'):
        TLSFiles.create(tmp_path)


async def handshake(server: EtcdServer, context: ssl.SSLContext) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.client_port, ssl=context)
    try:
        # With TLS 1.3 a server refuses a client's certificate only after the client's handshake.
        writer.write(b"GET /version HTTP/1.0\r\n\r\n")
        assert b"etcdserver" in await reader.read()
    finally:
        writer.close()
