"""The lease service against a real server: grant, revoke, refresh, info, list."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import time
from typing import Any

import pytest
from lease_support import is_there, short_lease, until

from etcd_channel import Channel, ClientClosedError, DuplicateLeaseError, ResponseHeader
from etcd_channel.errors import LeaseNotFoundError, LeaseTTLTooLargeError
from etcd_lease import Lease, LeaseClient, LeaseExpiredError, LeaseInfo, LeaseRefresh
from etcd_testing import EtcdServer


async def test_a_lease_is_granted_and_listed_until_it_is_revoked(client: LeaseClient) -> None:
    lease = await client.lease(60)
    assert isinstance(lease, Lease)
    assert lease.ttl == 60
    assert 0 < lease.id < 1 << 63
    assert lease.id in await client.leases()
    await client.revoke_lease(lease.id)
    assert lease.id not in await client.leases()


async def test_a_constructed_result_equals_a_received_one(client: LeaseClient) -> None:
    async with client.lease(60) as lease:
        info = await client.get_lease_info(lease.id)
        refresh = await client.refresh_lease(lease.id)
    header = ResponseHeader(
        cluster_id=info.header.cluster_id,
        member_id=info.header.member_id,
        revision=info.header.revision,
        raft_term=info.header.raft_term,
    )
    by_hand = LeaseInfo(header, lease.id, info.ttl, 60, [])
    assert by_hand == info
    assert repr(by_hand) == repr(info)
    assert LeaseRefresh(refresh.header, lease.id, 60) == refresh


async def test_a_lease_has_the_requested_id_and_zero_requests_none(
    client: LeaseClient,
) -> None:
    async with client.lease(60, 4711) as lease:
        assert lease.id == 4711
        with pytest.raises(DuplicateLeaseError) as raised:
            await client.lease(60, lease_id=4711)
        assert raised.value.definite
        assert 4711 in await client.leases()
    async with client.lease(60, 0) as first, client.lease(60, None) as second:
        assert len({0, first.id, second.id}) == 3


async def test_the_server_may_grant_a_longer_ttl_than_requested() -> None:
    slow = ("--heartbeat-interval=100", "--election-timeout=10000")
    async with EtcdServer(args=slow) as server, Channel(server.endpoint) as channel:
        lease = await LeaseClient(channel).lease(1)
        assert lease.ttl == 15
        assert await lease.granted_ttl() == 15
        assert lease.remaining > 1


async def test_the_server_checks_the_maximum_ttl(client: LeaseClient) -> None:
    async with client.lease(9_000_000_000, keep_alive=True) as lease:
        assert await lease.granted_ttl() == 9_000_000_000
        assert lease.remaining > 8_999_999_990
    for ttl in (9_000_000_001, (1 << 63) - 1):
        with pytest.raises(LeaseTTLTooLargeError):
            await client.lease(ttl)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"ttl": -(1 << 63) - 1}, ValueError, "ttl must be at least -9223372036854775808"),
        ({"ttl": 1 << 63}, ValueError, "ttl must be at most 9223372036854775807"),
        ({"ttl": "10"}, TypeError, "ttl must be an int, not str: '10'"),
        ({"ttl": 1.5}, TypeError, "ttl must be an int, not float: 1.5"),
        ({"ttl": True}, TypeError, "ttl must be an int, not bool: True"),
        ({"ttl": None}, TypeError, "ttl must be an int, not NoneType: None"),
        ({"ttl": 1, "lease_id": -(1 << 63) - 1}, ValueError, "lease_id must be at least"),
        ({"ttl": 1, "lease_id": 1 << 63}, ValueError, "lease_id must be at most"),
        (
            {"ttl": 1, "lease_id": "x"},
            ValueError,
            "lease_id must be a whole number, which this str is not",
        ),
        ({"ttl": 1, "lease_id": False}, TypeError, "lease_id must be a lease or its id, an int"),
        ({"ttl": 1, "keep_alive": 2}, TypeError, "keep_alive must be a bool, not int"),
        ({"ttl": 1, "timeout": 0}, ValueError, "timeout must be a positive"),
        ({"ttl": 1, "timeout": "1"}, TypeError, "timeout must be a number of seconds"),
    ],
)
async def test_a_bad_argument_of_a_grant_is_refused_and_nothing_is_sent(
    nobody: LeaseClient, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await nobody.lease(**arguments)


@pytest.mark.parametrize("call", ["revoke_lease", "refresh_lease", "get_lease_info"])
@pytest.mark.parametrize(
    ("lease_id", "error", "words"),
    [
        (0, ValueError, "lease_id must not be 0, which stands for no lease"),
        (-(1 << 63) - 1, ValueError, "lease_id must be at least -9223372036854775808"),
        (1 << 63, ValueError, "lease_id must be at most 9223372036854775807"),
        ("", ValueError, "lease_id must be a whole number, not ''"),
        (None, TypeError, "lease_id must be a lease or its id, an int, not NoneType"),
        (True, TypeError, "lease_id must be a lease or its id, an int, not bool"),
    ],
)
async def test_a_bad_lease_id_is_refused_and_nothing_is_sent(
    nobody: LeaseClient, call: str, lease_id: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await getattr(nobody, call)(lease_id)
    with pytest.raises(ValueError, match="timeout must be a positive"):
        await getattr(nobody, call)(1, timeout=-1)


async def test_keys_of_the_wrong_type_are_refused(nobody: LeaseClient) -> None:
    with pytest.raises(TypeError, match="keys must be a bool, not int"):
        await nobody.get_lease_info(1, keys=2)  # type: ignore[arg-type]  # the mistake itself


async def test_refresh_restarts_the_time_to_live(client: LeaseClient) -> None:
    async with client.lease(60) as lease:
        # The remaining seconds are rounded down: one fewer at once, all of them after a refresh.
        assert await lease.remaining_ttl() < 60
        refreshed = await client.refresh_lease(lease.id)
        assert (refreshed.id, refreshed.ttl) == (lease.id, 60)
        assert (refreshed.id, refreshed.ttl) == (refreshed.ID, refreshed.TTL)
        assert refreshed.header.member_id
        assert pickle.loads(pickle.dumps(refreshed)) == refreshed


async def test_refresh_extends_the_deadline(client: LeaseClient) -> None:
    async with client.lease(60) as lease:
        before = time.monotonic() + lease.remaining
        await asyncio.sleep(0.5)
        await client.refresh_lease(lease)
        assert lease.remaining + time.monotonic() > before
        assert lease.remaining < 60


async def test_info_has_the_remaining_seconds_and_the_attached_keys(
    client: LeaseClient, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    async with client.lease(60) as lease:
        names = [(key_prefix + name).decode() for name in (b"a", b"b")]
        for name in names:
            await etcd_server.etcdctl("put", f"--lease={lease.id:x}", name, "value")
        info = await client.get_lease_info(lease.id)
        assert info.id == info.ID == lease.id
        # Whole seconds, rounded down; a busy machine may take some for the calls before.
        assert 30 <= info.ttl == info.TTL < 60
        assert info.granted_ttl == info.grantedTTL == 60
        assert sorted(info.keys) == [name.encode() for name in names]
        assert info.header.revision
        assert pickle.loads(pickle.dumps(info)) == info
        assert (await client.get_lease_info(lease.id, keys=False)).keys == []
        assert sorted(await lease.keys()) == sorted(info.keys)
    assert await etcd_server.etcdctl("get", "--prefix", key_prefix.decode()) == ""


async def test_calls_for_a_missing_lease_raise_not_found(client: LeaseClient) -> None:
    lease = await client.lease(60)
    await lease.revoke()
    for lease_id in (lease.id, 77):
        for call in (client.revoke_lease, client.refresh_lease, client.get_lease_info):
            with pytest.raises(LeaseNotFoundError) as raised:
                await call(lease_id)
            assert raised.value.definite
            assert not isinstance(raised.value, LeaseExpiredError)


async def test_a_lease_that_is_not_renewed_expires(client: LeaseClient) -> None:
    lease = await short_lease(client)
    error = await asyncio.wait_for(lease.lost, 60)
    assert isinstance(error, LeaseExpiredError)
    assert error.lease_id == lease.id
    await until(lambda: is_there(client, lease), False)


async def test_calls_accept_a_lease_in_place_of_its_id(client: LeaseClient) -> None:
    lease = await client.lease(60)
    assert (await client.refresh_lease(lease)).id == lease.id
    assert (await client.get_lease_info(lease)).id == lease.id
    await client.revoke_lease(lease)


async def test_a_pending_lease_is_a_coroutine_to_asyncio(client: LeaseClient) -> None:
    pending = client.lease(60)
    assert asyncio.iscoroutine(pending)
    assert inspect.isawaitable(pending)
    first = await asyncio.create_task(pending)
    second, third = await asyncio.gather(client.lease(60), client.lease(60))
    fourth = await asyncio.wait_for(client.lease(60), 60)
    for lease in (first, second, third, fourth):
        await lease.revoke()


async def test_a_pending_lease_that_is_not_awaited_warns(nobody: LeaseClient) -> None:
    expected = r"^coroutine 'LeaseClient\.lease' was never awaited$"
    with pytest.warns(RuntimeWarning, match=expected):
        nobody.lease(60)  # type: ignore[unused-awaitable]  # the mistake itself
    nobody.lease(60).close()


async def test_calls_on_a_closed_channel_raise_client_closed(etcd_endpoint: str) -> None:
    channel = Channel(etcd_endpoint)
    await channel.close()
    client = LeaseClient(channel)
    for call in (
        client.lease(60),
        client.revoke_lease(1),
        client.refresh_lease(1),
        client.get_lease_info(1),
        client.leases(),
    ):
        with pytest.raises(ClientClosedError):
            await call


async def test_a_channel_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"channel must be a Channel, a view or .* not str"):
        LeaseClient("localhost:2379")  # type: ignore[arg-type]  # the mistake itself
