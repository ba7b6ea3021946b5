"""Every method of the client, and a program written for the documented API, through the proxy."""

from __future__ import annotations

import ast
import asyncio
import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from etcd_auth import PermissionKind
from etcd_channel import ClientError
from etcd_channel.errors import (
    BadLeaderTransfereeError,
    LeaseNotFoundError,
    NoInflightDowngradeError,
    UnsupportedByServerError,
)
from etcd_client import Client, Election, STMTransaction
from etcd_testing import EtcdServer, GrpcProxy

TESTS = Path(__file__).parents[2] / "packages" / "etcd-client" / "tests"


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    async with EtcdServer(args=["--strict-reconfig-check=false"]) as server:
        yield server


@pytest.fixture
async def proxy(server: EtcdServer) -> AsyncIterator[GrpcProxy]:
    async with GrpcProxy(server) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: GrpcProxy) -> AsyncIterator[Client]:
    async with Client(
        endpoints=[proxy.endpoint], connect_wait_timeout=30, keepalive_timeout=30, timeout=60
    ) as client:
        yield client


async def test_a_program_for_the_documented_api_prints_the_same_as_without_the_proxy(
    proxy: GrpcProxy,
) -> None:
    program = await asyncio.create_subprocess_exec(
        *[sys.executable, "-W", "error", str(TESTS / "old_program.py")],
        *[proxy.host, str(proxy.client_port), "/old/"],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(program.communicate(), 60)
    assert complained.decode() == ""
    expected = (TESTS / "old_program.txt").read_text(encoding="utf-8")
    assert said.decode().splitlines() == expected.splitlines()


async def test_keys_and_values(client: Client) -> None:
    await client.connect()
    assert client.channel.endpoints
    txn = client.transactions
    put = await client.put(b"a", b"1")
    assert await client.replace(b"a", b"1", b"2")
    succeeded, _ = await client.transaction([txn.value(b"a") == b"2"], [txn.put(b"b", b"3")])
    assert succeeded
    got = await client.get(b"b")
    assert got is not None
    assert got.value == b"3"
    for found in (
        await client.get_all(),
        await client.get_prefix(b""),
        await client.get_range(b"a", b"c"),
    ):
        assert [kv.value for kv in found] == [b"2", b"3"]
    assert [kv.key async for kv in client.scan_prefix(b"", page_size=1)] == [b"a", b"b"]
    assert [kv.key async for kv in client.scan_range(b"a", b"c", page_size=1)] == [b"a", b"b"]
    with pytest.raises(UnsupportedByServerError):
        await anext(client.stream_range(b"a", b"c"))
    await client.compact(put.header.revision, physical=True)
    assert await client.delete(b"a") is not None
    assert (await client.delete_range(b"a", b"c")).deleted == 1
    assert (await client.delete_prefix(b"b")).deleted == 0


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_scan_of_several_pages(client: Client, reverse: bool) -> None:
    keys = [b"scan/%03d" % number for number in range(500)]
    await client.put_many((key, b"v") for key in keys)
    scan = client.scan_prefix(b"scan/", page_bytes=3000, reverse=reverse)
    assert [kv.key async for kv in scan] == (keys[::-1] if reverse else keys)
    assert scan.count == 500


async def test_bulk_operations(client: Client) -> None:
    pairs = [(b"bulk/%03d" % number, b"%d" % number) for number in range(300)]
    keys = [key for key, _ in pairs]
    assert (await client.put_many(pairs)).done == 300
    assert [found and found.value for found in await client.get_many(keys)] == [
        value for _, value in pairs
    ]
    assert [key async for key, _ in client.scan_many(keys)] == keys
    assert (await client.delete_many(keys)).deleted == 300


async def test_calls_that_share_transactions(client: Client) -> None:
    shared = client.coalescing()
    await asyncio.gather(*(shared.put(b"shared/%d" % n, b"%d" % n) for n in range(50)))
    found = await asyncio.gather(*(shared.get(b"shared/%d" % n) for n in range(50)))
    assert [kv and kv.value for kv in found] == [b"%d" % n for n in range(50)]
    deleted = await asyncio.gather(*(shared.delete(b"shared/%d" % n) for n in range(50)))
    assert all(deletion is not None for deletion in deleted)


async def test_a_namespace(client: Client) -> None:
    inside = client.namespace(b"namespace/")
    assert inside.key_prefix == b"namespace/"
    async with inside.watch(b"k") as watch, inside.lock(b"lock", timeout=60):
        await inside.put(b"k", b"v")
        event = await asyncio.wait_for(watch.__anext__(), 60)
        assert (event.kv.key, event.kv.value) == (b"k", b"v")
    assert [kv.key for kv in await inside.get_all()] == [b"k"]
    assert await client.get(b"namespace/k") is not None


async def test_transactions_that_are_run_again(client: Client) -> None:
    async def increment(t: STMTransaction) -> None:
        counter = await t.get(b"counter")
        t.put(b"counter", b"%d" % (int(counter.value if counter else b"0") + 1))

    await asyncio.gather(*(client.stm(increment, timeout=60) for _ in range(10)))
    counter = await client.get(b"counter")
    assert counter is not None
    assert counter.value == b"10"


async def test_watches(client: Client) -> None:
    async with client.watch(b"k") as one, client.watch_prefix(b"k") as many:
        await client.put(b"k", b"v")
        for watch in (one, many):
            assert (await anext(aiter(watch))).kv.value == b"v"
    revision = (await client.put(b"k", b"w")).header.revision
    for event in (
        await client.watch_once(b"k", start_revision=revision),
        await client.watch_prefix_once(b"k", start_revision=revision),
    ):
        assert event.kv.value == b"w"


async def test_caches(client: Client) -> None:
    await client.put(b"cache/a", b"1")
    async with client.cache(b"cache/") as cache:
        for number in range(10):
            put = await client.put(b"cache/b", b"%d" % number)
            await cache.catch_up(at_least=put.header.revision, timeout=60)
            await client.put(b"other", b"")
            await cache.catch_up(linearizable=True, timeout=60)
            entry = cache.get(b"cache/b")
            assert entry is not None
            assert entry.value == b"%d" % number
    async for change in client.watch_from_list(b"cache/"):
        assert (change.kind, change.key) == ("PUT", b"cache/a")
        break


async def test_leases(client: Client) -> None:
    lease = await client.lease(60)
    await client.put(b"k", b"v", lease=lease)
    assert (await client.refresh_lease(lease)).ttl == 60
    assert (await client.get_lease_info(lease)).keys == [b"k"]
    assert await client.leases() == [lease.id]
    await client.revoke_lease(lease)
    for call in (client.refresh_lease, client.get_lease_info, client.revoke_lease):
        with pytest.raises(LeaseNotFoundError):
            await call(lease.id)
    assert await client.get(b"k") is None


async def test_server_side_locks_and_elections(client: Client) -> None:
    lease = await client.lease(60)
    key = await client.server_lock(b"lock", lease)
    await client.server_unlock(key)
    leader = await client.server_campaign(b"election", b"one", lease)
    assert (await client.server_leader(b"election")).value == b"one"
    async for seen in client.server_observe(b"election"):
        assert seen.value == b"one"
        break
    await client.server_proclaim(leader, b"two")
    await client.server_resign(leader)


async def test_an_election_of_the_client(client: Client) -> None:
    async with client.session(60) as session, Election(session, b"election").lead(b"one"):
        leader = await client.election_leader(b"election")
        assert leader is not None
        assert leader.value == b"one"
        async for seen in client.observe_election(b"election"):
            assert seen.value == b"one"
            break
    assert await client.election_leader(b"election") is None


async def test_recipes(client: Client) -> None:
    assert await client.counter(b"recipes/counter").add(2) == 2
    assert not await client.barrier(b"recipes/barrier").is_held()
    latch = client.count_down_latch(b"recipes/latch", 1)
    await latch.count_down()
    assert await latch.wait(timeout=60)
    queue = client.queue(b"recipes/queue")
    await queue.put(b"1")
    assert await queue.get(timeout=60) == b"1"
    first = client.priority_queue(b"recipes/first")
    await first.put(b"later", 2)
    await first.put(b"sooner", 1)
    assert await first.get(timeout=60) == b"sooner"
    work = client.work_queue(b"recipes/work")
    await work.put(b"job")
    assert await work.size() == 1
    assert await client.group(b"recipes/group").members() == {}
    assert client.partitioner(b"recipes/parts", [b"1"]).owned == frozenset()
    async with (
        client.registration(b"recipes/service", "127.0.0.1:1", ttl=60),
        client.discovery(b"recipes/service") as found,
    ):
        assert await found.wait(timeout=60)
        assert [endpoint.address for endpoint in found.endpoints] == ["127.0.0.1:1"]


async def test_members_and_maintenance(client: Client, server: EtcdServer) -> None:
    [member] = await client.members()
    assert member.client_urls == [server.url]
    assert (await client.status()).version == server.version
    [of_cluster] = await client.status_cluster()
    assert of_cluster.member == member
    assert isinstance(await client.hash(), int)
    assert (await client.hash_kv()).hash
    assert await client.create_alarm()
    assert await client.list_alarms()
    assert await client.disarm_alarm()
    assert await client.list_alarms() == []
    await client.defragment()
    await client.defragment_cluster()
    file = io.BytesIO()
    await client.snapshot(file)
    assert file.tell()
    with pytest.raises(BadLeaderTransfereeError):
        await client.move_leader(1)
    if server.version.startswith("3.4."):
        with pytest.raises(UnsupportedByServerError):
            await client.validate_downgrade("3.4.0")
    else:
        assert await client.validate_downgrade("3.4.0")
        with pytest.raises(ClientError, match="downgrade"):
            await client.enable_downgrade("3.0.0")
        with pytest.raises(NoInflightDowngradeError):
            await client.cancel_downgrade()
    added = await client.add_member(["http://127.0.0.1:1"], learner=True)
    await client.update_member(added.id, ["http://127.0.0.1:2"])
    with pytest.raises(UnsupportedByServerError):
        await client.promote_member(added.id)
    await client.remove_member(added.id)
    assert await client.sync_endpoints() == (server.endpoint,)


async def test_users_and_roles(client: Client, proxy: GrpcProxy, server: EtcdServer) -> None:
    await client.user_add("root", "password")
    await client.user_grant_role("root", "root")
    await client.user_add("user", "password")
    await client.role_add("role")
    await client.role_grant_permission("role", PermissionKind.READWRITE, b"own/", prefix=True)
    await client.user_grant_role("user", "role")
    await client.auth_enable()
    async with (
        Client(endpoints=[proxy.endpoint], username="root", password="password") as root,
        Client(endpoints=[proxy.endpoint], username="user", password="password") as user,
    ):
        async with user.watch(b"own/key") as watch:
            await user.put(b"own/key", b"v")
            assert (await anext(aiter(watch))).kv.value == b"v"
        if not server.version.startswith("3.4."):
            assert (await root.auth_status()).enabled
        await root.user_change_password("user", "other")
        assert (await root.user_get("user")).roles == ("role",)
        assert await root.user_list() == ["root", "user"]
        assert "role" in await root.role_list()
        assert (await root.role_get("role")).permissions
        await root.role_revoke_permission("role", b"own/", prefix=True)
        await root.user_revoke_role("user", "role")
        await root.role_delete("role")
        await root.user_delete("user")
        await root.auth_disable()


async def test_two_clients_on_one_channel(proxy: GrpcProxy) -> None:
    async with Client(endpoints=[proxy.endpoint]) as client:
        second = Client.on(client.channel)
        await second.put(b"k", b"v")
        found = await client.get(b"k")
        assert found is not None
        assert found.value == b"v"


async def test_closing(proxy: GrpcProxy) -> None:
    client = Client(endpoints=[proxy.endpoint])
    await client.put(b"k", b"v")
    await client.close()


async def test_an_environment_that_names_a_proxy(proxy: GrpcProxy) -> None:
    async with Client.from_env({"ETCDCTL_ENDPOINTS": proxy.endpoint}) as client:
        await client.put(b"k", b"v")


async def test_the_endpoints_become_those_of_the_members(
    proxy: GrpcProxy, server: EtcdServer
) -> None:
    async with Client(endpoints=[proxy.endpoint]) as client:
        client.sync_endpoints_every(0.1)

        async def synced() -> None:
            while client.channel.endpoints != (server.endpoint,):  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.01)

        await asyncio.wait_for(synced(), 60)


def test_every_method_of_the_client_is_called_here() -> None:
    called = {
        node.attr
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    public = {name for name in dir(Client) if not name.startswith("_")}
    assert public - called == set()
