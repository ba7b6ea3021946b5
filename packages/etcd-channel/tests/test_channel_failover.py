"""Members that die, freeze and come back: reads go on, and no write is sent twice that may have
been applied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
from channel_support import HANG, LEASE_GRANT, PUT, RANGE, STATUS

from etcd_channel import Channel, ClientError, ConnectionFailedError, Rpc, errors
from etcd_testing import EtcdCluster, EtcdServer, FaultProxy
from etcd_testing.played import PlayedEtcd, messages


def put(key: bytes, value: bytes = b"v") -> Any:
    return messages.PutRequest(key=key, value=value)


def get(key: bytes) -> Any:
    return messages.RangeRequest(key=key)


async def version(endpoint: str, key: bytes) -> int:
    """Return how often a key was put, read on a separate connection."""
    async with Channel(endpoint) as channel:
        response = await channel.call(RANGE, get(key))
        return int(response.kvs[0].version) if response.kvs else 0


@pytest.fixture
async def cluster() -> AsyncIterator[EtcdCluster]:
    async with EtcdCluster(3) as cluster:
        yield cluster


async def id_in_use(channel: Channel) -> int:
    return int((await channel.call(STATUS, messages.StatusRequest())).header.member_id)


async def members_by_id(cluster: EtcdCluster) -> dict[int, EtcdServer]:
    found = {}
    for member in cluster.members:
        async with Channel(member.endpoint) as direct:
            found[await id_in_use(direct)] = member
    return found


async def outcome(call: Awaitable[Any]) -> ClientError | None:
    """Return the error with which a call ended; None if it succeeded."""
    try:
        await asyncio.wait_for(call, HANG)
    except ClientError as error:
        return error
    return None


async def put_until_done(channel: Channel, request: Any) -> None:
    """Put a key, again as often as it may not have been done; for tests not about that."""
    while await outcome(channel.call(PUT, request)) is not None:
        pass


# A cluster -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["kill", "stop", "pause"])
async def test_reads_and_writes_continue_when_the_member_in_use_fails(
    end: str, cluster: EtcdCluster
) -> None:
    members = await members_by_id(cluster)
    async with Channel(cluster.endpoints, timeout=HANG) as channel:
        for number in range(2):
            await put_until_done(channel, put(b"k", b"%d" % number))
            used = await id_in_use(channel)
            await getattr(members[used], end)()
            response = await channel.call(RANGE, get(b"k"))
            assert response.kvs[0].value == b"%d" % number
            assert await id_in_use(channel) != used
            await (members[used].resume() if end == "pause" else members[used].start())
            await members[used].wait_healthy()


async def test_a_write_that_certainly_was_not_sent_is_sent_to_the_next_member(
    cluster: EtcdCluster,
) -> None:
    members = await members_by_id(cluster)
    async with Channel(cluster.endpoints, timeout=HANG, keepalive_timeout=HANG) as channel:
        used = members[await id_in_use(channel)]
        await used.kill()
        await cluster.leader()
        # The first may find the connection gone under its hands, and then does not know what
        # became of it.
        results = []
        for _ in range(20):
            results.append(await outcome(channel.call(PUT, put(b"n"))))  # noqa: PERF401
        unknown = [error for error in results if error is not None]
        assert len(unknown) <= 2
        assert not any(error.definite for error in unknown)
        alive = next(member for member in cluster.members if member is not used)
        assert 20 - len(unknown) <= await version(alive.endpoint, b"n") <= 20


async def test_a_member_without_a_leader_is_replaced_by_the_next_one(cluster: EtcdCluster) -> None:
    """A member that is isolated from the others answers probes, but does not serve calls."""
    followers = await cluster.followers()
    leader = await cluster.leader()
    async with Channel(leader.endpoint) as channel:
        await channel.call(PUT, put(b"k"))
        for follower in followers:
            await follower.pause()
        with pytest.raises(ClientError) as caught:
            await channel.call(PUT, put(b"k"), timeout=1)
        assert not caught.value.definite
        for follower in followers:
            await follower.resume()
        await channel.call(RANGE, get(b"k"), timeout=HANG)


async def test_a_call_with_an_endpoint_is_sent_to_that_member_only(cluster: EtcdCluster) -> None:
    async with Channel(cluster[0].endpoint) as channel:
        ids = set()
        for member in cluster.members:
            for _ in range(3):
                status = await channel.call(
                    STATUS, messages.StatusRequest(), endpoint=member.endpoint
                )
                ids.add(status.header.member_id)
        assert len(ids) == 3
        await cluster[2].kill()
        with pytest.raises(ConnectionFailedError) as caught:
            await channel.call(
                STATUS, messages.StatusRequest(), endpoint=cluster[2].endpoint, timeout=3
            )
        assert caught.value.endpoint == cluster[2].endpoint
        # Its failure does not affect the other members.
        await channel.call(STATUS, messages.StatusRequest())


# One server ----------------------------------------------------------------------------


async def test_calls_survive_a_restart_shorter_than_the_connect_timeout() -> None:
    async with EtcdServer() as server:
        async with Channel(server.endpoint, connect_timeout=HANG, timeout=HANG) as channel:
            await channel.call(PUT, put(b"k"))
            await server.kill()
            restart = asyncio.create_task(server.start())
            # Where the news of the end comes together with a call, it cannot know its fate.
            error = await outcome(channel.call(PUT, put(b"k")))
            assert error is None or not error.definite
            # From then on nothing leaves before there is a connection again.
            await channel.call(PUT, put(b"k"))
            await restart
            response = await channel.call(RANGE, get(b"k"))
            assert response.kvs[0].version == (3 if error is None else 2)


async def test_a_read_whose_response_is_lost_is_sent_again(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint) as channel:
        await channel.call(PUT, put(key_prefix))
        killed = proxy.kill_next_reply()
        response = await channel.call(RANGE, get(key_prefix))
        assert killed.done()
        assert response.kvs[0].value == b"v"


async def test_a_write_whose_response_is_lost_is_sent_once_and_not_definite(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint) as channel:
        await channel.call(PUT, put(key_prefix))
        for count in (2, 3, 4):
            killed = proxy.kill_next_reply()
            with pytest.raises(ConnectionFailedError) as caught:
                await channel.call(PUT, put(key_prefix))
            assert killed.done()
            assert not caught.value.definite
            assert caught.value.method == "KV.Put"
            # A read reconnects first, so that the next reply is the put's.
            response = await channel.call(RANGE, get(key_prefix))
            assert response.kvs[0].version == count


async def test_many_writes_whose_responses_are_lost_are_each_sent_once(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with (
        FaultProxy(etcd_endpoint) as proxy,
        Channel(proxy.endpoint, timeout=HANG, keepalive_timeout=HANG) as channel,
    ):
        await channel.connect()
        proxy.drop("to_client")
        keys = [key_prefix + b"%d" % number for number in range(32)]
        calls = [asyncio.create_task(channel.call(PUT, put(key))) for key in keys]
        await asyncio.wait_for(_all_put(etcd_endpoint, keys), HANG)
        proxy.heal()
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), HANG)
        for key, result in zip(keys, results, strict=True):
            assert isinstance(result, ClientError)
            assert not result.definite
            assert await version(etcd_endpoint, key) == 1


async def _all_put(endpoint: str, keys: list[bytes]) -> None:
    for key in keys:
        while not await version(endpoint, key):  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.02)


async def test_a_call_that_may_have_been_applied_is_not_definite_whatever_follows() -> None:
    """A lease grant may be sent again. That the second sending is refused says nothing of the
    first: "lease already exists" may be its echo."""
    codes = [
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out"),
        (grpc.StatusCode.FAILED_PRECONDITION, "etcdserver: lease already exists"),
    ]

    async def grant(request: Any, context: Any) -> Any:
        await context.abort(*codes.pop(0))

    async with PlayedEtcd({LEASE_GRANT: grant}) as server, Channel(server.endpoint) as channel:
        with pytest.raises(errors.DuplicateLeaseError) as caught:
            await channel.call(LEASE_GRANT, messages.LeaseGrantRequest(TTL=5, ID=7))
        assert not caught.value.definite
        assert server.calls == {"Lease.LeaseGrant": 2}


@pytest.mark.parametrize(
    ("code", "words", "sendings"),
    [
        ("UNAVAILABLE", "etcdserver: leader changed", 1),
        ("UNAVAILABLE", "etcdserver: request timed out", 1),
        ("UNAVAILABLE", "etcdserver: server stopped", 1),
        ("DEADLINE_EXCEEDED", "etcdserver: context deadline exceeded", 1),
        ("INTERNAL", "the disk is gone", 1),
        ("UNKNOWN", "raft: stopped", 1),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", 1),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", 3),
    ],
)
async def test_a_write_is_sent_again_only_if_it_was_not_proposed(
    code: str, words: str, sendings: int
) -> None:
    async def refuse(request: Any, context: Any) -> Any:
        if server.calls["KV.Put"] < 3:
            await context.abort(grpc.StatusCode[code], words)
        return messages.PutResponse()

    async with PlayedEtcd({PUT: refuse}) as server, Channel(server.endpoint) as channel:
        if sendings == 1:
            with pytest.raises(ClientError):
                await channel.call(PUT, put(b"k"))
        else:
            await channel.call(PUT, put(b"k"))
        assert server.calls["KV.Put"] == sendings


async def test_a_read_leaves_time_for_the_members_that_were_not_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A member that accepts a call and never answers must not use up the whole timeout."""
    never = asyncio.Event()

    async def hang(request: Any, context: Any) -> Any:
        await never.wait()

    async def answer(request: Any, context: Any) -> Any:
        return messages.RangeResponse(count=7)

    async with PlayedEtcd({RANGE: hang}) as silent, PlayedEtcd({RANGE: answer}) as well:
        monkeypatch.setattr("os.urandom", bytes)  # the first endpoint is tried first
        async with Channel([silent.endpoint, well.endpoint], timeout=12) as channel:
            assert (await channel.call(RANGE, get(b"k"))).count == 7
        assert silent.calls == well.calls == {"KV.Range": 1}
        never.set()


async def test_many_calls_that_fail_together_switch_to_the_next_member_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them marks the member as failed, but not the next one, which is healthy."""

    async def fail(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")

    async def answer(request: Any, context: Any) -> Any:
        return messages.RangeResponse(count=7)

    monkeypatch.setattr("os.urandom", bytes)
    async with PlayedEtcd({RANGE: fail}) as ill, PlayedEtcd({RANGE: answer}) as well:
        async with Channel([ill.endpoint, well.endpoint]) as channel:
            calls = [channel.call(RANGE, get(b"k")) for _ in range(64)]
            for response in await asyncio.gather(*calls):
                assert response.count == 7
        assert ill.calls["KV.Range"] == well.calls["KV.Range"] == 64


async def test_a_large_response_is_received(etcd_endpoint: str, key_prefix: bytes) -> None:
    """Larger than gRPC's default limit of 4 MiB."""
    async with Channel(etcd_endpoint) as channel:
        for number in range(6):
            await channel.call(PUT, put(key_prefix + b"%d" % number, b"x" * 1_000_000))
        request = messages.RangeRequest(key=key_prefix, range_end=key_prefix[:-1] + b"0")
        response = await channel.call(RANGE, request)
        assert sum(len(pair.value) for pair in response.kvs) == 6_000_000


async def test_a_request_that_is_too_large_raises_request_too_large(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Channel(etcd_endpoint) as channel:
        for size in (1_700_000, 5_000_000):
            with pytest.raises(errors.RequestTooLargeError) as caught:
                await channel.call(PUT, put(key_prefix, b"x" * size))
            assert caught.value.definite
        assert await version(etcd_endpoint, key_prefix) == 0


async def test_a_write_whose_response_is_too_large_may_have_been_applied() -> None:
    async def answer(request: Any, context: Any) -> Any:
        return messages.PutResponse(header={"cluster_id": 1 << 60, "member_id": 1 << 60})

    options = {"grpc.max_receive_message_length": 8}
    async with PlayedEtcd({PUT: answer}) as server:
        async with Channel(server.endpoint, options=options) as channel:
            with pytest.raises(errors.ResourceExhaustedError) as caught:
                await channel.call(PUT, put(b"k"))
        assert type(caught.value) is errors.ResourceExhaustedError
        assert not caught.value.definite


async def test_a_response_that_cannot_be_parsed_is_an_error() -> None:
    garbled: Any = Rpc(PUT.path, messages.PutRequest, messages.KeyValue)

    async def answer(request: Any, context: Any) -> Any:
        return messages.KeyValue(key=b"\xff")

    async with PlayedEtcd({garbled: answer}) as server, Channel(server.endpoint) as channel:
        with pytest.raises(errors.InternalError, match="the response cannot be read") as caught:
            await channel.call(PUT, put(b"k"))
        assert not caught.value.definite


async def test_a_connection_that_is_lost_without_an_error_is_replaced(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy:
        async with Channel(proxy.endpoint, connect_timeout=10) as channel:
            await put_until_done(channel, put(key_prefix))
            assert proxy.freeze()
            # The call in flight only notices that no answer comes.
            error = await outcome(channel.call(PUT, put(key_prefix), timeout=0.5))
            assert isinstance(error, errors.ConnectionTimeoutError)
            assert error.definite is False
            # The next finds that out by a dial, and dials again on a new connection.
            await asyncio.wait_for(channel.call(RANGE, get(key_prefix)), HANG)
            assert proxy.counters.accepted > 1
