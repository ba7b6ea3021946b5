"""etcd's own proxy: a process like a server's, before whatever it is told."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from etcd_testing import EtcdCluster, EtcdServer, GrpcProxy, StartError, TLSFiles


async def through(proxy: GrpcProxy, server: EtcdServer, *args: str) -> str:
    """Run etcdctl through the proxy; `server` lends it its certificates, if it has any."""
    return await server.etcdctl(f"--endpoints={proxy.url}", *args)


async def test_what_is_put_through_the_proxy_is_on_the_server() -> None:
    async with EtcdServer() as server, GrpcProxy(server) as proxy:
        assert proxy.endpoint != server.endpoint
        assert await through(proxy, server, "put", "key", "value") == "OK\n"
        assert await server.etcdctl("get", "--print-value-only", "key") == "value\n"
        assert proxy.version == server.version
        assert proxy.endpoints == [proxy.endpoint]
        assert f"GrpcProxy grpc-proxy {proxy.url} pid={proxy.pid}" in repr(proxy)
        assert "listening for gRPC proxy client requests" in proxy.logs()


async def test_it_comes_back_under_its_endpoint() -> None:
    async with EtcdServer() as server, GrpcProxy(server) as proxy:
        before, endpoint = proxy.pid, proxy.endpoint
        await proxy.restart()
        assert proxy.pid != before
        assert proxy.endpoint == endpoint
        await proxy.kill()
        assert not proxy.running
        assert proxy.returncode == -signal.SIGKILL
        assert not await proxy.healthy()
        await proxy.start()
        assert await proxy.healthy(timeout=60)
        await proxy.pause()
        assert proxy.paused
        await proxy.resume()
        await proxy.wait_healthy()


async def test_it_is_healthy_when_its_server_is() -> None:
    with pytest.raises(StartError, match=r"grpc-proxy.* was not healthy after 0\.5 s"):
        async with GrpcProxy(["127.0.0.1:1"], start_timeout=0.5):
            pass
    async with EtcdServer() as server:
        await server.stop()
        proxy = GrpcProxy(server.endpoint)
        try:
            await proxy.start(wait=False)
            assert not await proxy.healthy()
            await server.start()
            await proxy.wait_healthy()
        finally:
            await proxy.close()


async def test_it_stands_before_a_whole_cluster() -> None:
    async with EtcdCluster(2) as cluster, GrpcProxy(cluster) as proxy:
        one, two = cluster.members
        assert await through(proxy, one, "put", "key", "value") == "OK\n"
        assert await two.etcdctl("get", "--print-value-only", "key") == "value\n"


async def test_it_puts_its_namespace_before_every_key() -> None:
    async with EtcdServer() as server, GrpcProxy(server, namespace="inside/") as proxy:
        await through(proxy, server, "put", "key", "value")
        assert await server.etcdctl("get", "--print-value-only", "inside/key") == "value\n"


async def test_it_returns_its_address_for_the_members() -> None:
    named = ["--resolver-prefix=proxies", "--resolver-ttl=60"]
    async with EtcdServer() as server:
        async with GrpcProxy(server, advertise_client_url=None, args=named) as proxy:
            assert proxy.endpoint in await through(proxy, server, "member", "list")


@pytest.mark.parametrize("client_cert_auth", [False, True])
async def test_it_speaks_tls_to_its_server(client_cert_auth: bool) -> None:
    pytest.importorskip("trustme")
    async with EtcdServer(tls=True, client_cert_auth=client_cert_auth) as server:
        async with GrpcProxy(server) as proxy:
            assert proxy.url.startswith("http://")
            assert proxy.tls is None
            assert await through(proxy, server, "put", "key", "value") == "OK\n"


async def test_it_speaks_tls_to_its_clients(tmp_path: Path) -> None:
    pytest.importorskip("trustme")
    files = TLSFiles.create(tmp_path)
    async with EtcdServer(tls=files) as server, GrpcProxy(server, tls=files) as proxy:
        assert proxy.url.startswith("https://")
        assert await through(proxy, server, "put", "key", "value") == "OK\n"
    async with EtcdServer() as server, GrpcProxy(server, tls=True) as proxy:
        assert proxy.tls is not None
        assert await through(proxy, server, f"--cacert={proxy.tls.ca}", "put", "k", "v") == "OK\n"


async def test_a_flag_that_it_does_not_know_is_shown_by_its_log(etcd_server: EtcdServer) -> None:
    with pytest.raises(StartError, match="no-such-flag"):
        async with GrpcProxy(etcd_server, args=["--no-such-flag"]):
            pass
    with pytest.raises(TypeError, match="args should be a sequence of flags"):
        GrpcProxy(etcd_server, args="--debug")


def test_the_fixture_stands_before_a_server_of_its_own(
    etcd_grpc_proxy: GrpcProxy, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    key = key_prefix.decode()
    asyncio.run(through(etcd_grpc_proxy, etcd_server, "put", key, "value"))
    read = ("get", "--print-value-only", key)
    assert asyncio.run(through(etcd_grpc_proxy, etcd_server, *read)) == "value\n"
    assert asyncio.run(etcd_server.etcdctl(*read)) == ""
