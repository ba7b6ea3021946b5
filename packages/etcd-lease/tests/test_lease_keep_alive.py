"""Keep-alive over restarts, kills, broken connections and silence, and the loss of leases."""

from __future__ import annotations

import asyncio
import gc
import operator
import time
from contextlib import suppress

import pytest
from lease_support import is_there, short_lease, until

from etcd_channel import Channel
from etcd_lease import Lease, LeaseClient, LeaseExpiredError
from etcd_lease._keep_alive_stream import LEASES_PER_STREAM
from etcd_testing import EtcdCluster, EtcdServer, FaultProxy

HANG = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""


async def renewed(*leases: Lease) -> None:
    """Wait until one of these leases is renewed once more; none must be lost meanwhile."""
    left = [lease.remaining for lease in leases]
    while True:
        await asyncio.sleep(0.01)
        for lease in leases:
            lease.check()
        before, left = left, [lease.remaining for lease in leases]
        if any(map(operator.gt, left, before)):
            return


async def renewed_at_the_server(lease_id: int, client: LeaseClient) -> None:
    """Wait until a lease of 9 s has more time at the server than one that is granted now."""
    later = await client.lease(9)
    info = await client.get_lease_info(later.id)
    while (await client.get_lease_info(lease_id)).ttl <= info.ttl:
        await asyncio.sleep(0.05)
        info = await client.get_lease_info(later.id)
    await later.revoke()


async def short_lease_renewed(client: LeaseClient, ttl: int) -> Lease:
    """Return a lease that is kept alive and was renewed; another one if a busy machine lost it."""
    for _ in range(10):
        lease = await short_lease(client, ttl)
        with suppress(LeaseExpiredError):
            await lease.keep_alive()
            await lease.keep_alive()
            await renewed(lease)
            return lease
    raise AssertionError(f"no lease of {ttl} s was renewed in time")


async def streams(server: EtcdServer, kind: str = "started") -> int:
    """Return how many keep-alive streams a server has counted as started or as handled (ended)."""
    metrics = await server.metrics()
    return round(
        sum(
            value
            for name, value in metrics.items()
            if name.startswith(f"grpc_server_{kind}_total")
            and 'grpc_method="LeaseKeepAlive"' in name
        )
    )


async def has_streams(server: EtcdServer, count: int) -> bool:
    """Return whether this many streams, or more, were started: a slow one is replaced."""
    return await streams(server) >= count


async def all_ended(server: EtcdServer) -> bool:
    """Return whether no stream is open, of one or more."""
    handled = await streams(server, "handled")
    return 1 <= handled == await streams(server)


async def one_was_needed(server: EtcdServer, channel: Channel) -> bool:
    """Return whether one stream was started, beside those that a busy machine made silent."""
    return 1 <= await streams(server) <= 1 + channel.reconnects


async def test_a_lease_is_kept_alive_beyond_its_time_to_live(
    client: LeaseClient, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    key = key_prefix.decode()
    async with client.lease(9, keep_alive=True) as lease:
        other = await client.lease(9)
        await etcd_server.etcdctl("put", f"--lease={lease.id:x}", key, "value")
        await until(lambda: is_there(client, other), False)
        assert not lease.is_lost
        assert await etcd_server.etcdctl("get", "--print-value-only", key) == "value\n"
    assert await etcd_server.etcdctl("get", key) == ""


async def test_keep_alive_can_begin_later_and_stop(client: LeaseClient) -> None:
    lease = await short_lease_renewed(client, 2)
    lease.stop_keep_alive()
    error = await asyncio.wait_for(lease.lost, HANG)
    # Nothing but the clock ended it.
    assert "no renewal was acknowledged for its time to live of 2 s" in str(error)
    await until(lambda: is_there(client, lease), False)


async def test_a_lease_known_by_its_id_is_kept_alive(
    client: LeaseClient, etcd_endpoint: str
) -> None:
    granted = await client.lease(9)
    async with Channel(etcd_endpoint, connect_timeout=HANG) as other:
        lease = Lease(granted.id, 60, LeaseClient(other))
        await lease.keep_alive()
        assert lease.ttl == 9
        await renewed(lease)
        await renewed_at_the_server(lease.id, client)
        await lease.revoke()


async def test_a_lease_is_kept_alive_without_a_reference_to_its_object(client: LeaseClient) -> None:
    lease_id = (await client.lease(9, keep_alive=True)).id
    gc.collect()
    await renewed_at_the_server(lease_id, client)
    await client.revoke_lease(lease_id)


async def test_two_hundred_leases_and_two_clients_use_one_stream() -> None:
    async with EtcdServer() as server:
        async with Channel(server.endpoint, connect_timeout=HANG) as channel:
            clients = LeaseClient(channel), LeaseClient(channel)
            leases = await asyncio.gather(
                *(clients[number % 2].lease(15, keep_alive=True) for number in range(200))
            )
            await asyncio.gather(*map(renewed, leases))
            assert await one_was_needed(server, channel)
            assert len(await clients[0].leases()) == 200
            await asyncio.gather(*(lease.revoke() for lease in leases))
            assert await clients[0].leases() == []
            assert await streams(server, "handled") <= channel.reconnects
        await until(lambda: all_ended(server), True)


async def test_the_stream_is_opened_for_the_first_renewal_that_is_due() -> None:
    async with EtcdServer() as server, Channel(server.endpoint, connect_timeout=HANG) as channel:
        client = LeaseClient(channel)
        async with client.lease(300, keep_alive=True):
            async with client.lease(600, keep_alive=True):
                pass
            assert await streams(server) == 0
            async with client.lease(9, keep_alive=True) as lease:
                await renewed(lease)
            assert await one_was_needed(server, channel)


async def test_a_lease_whose_stream_was_not_opened_yet_is_lost_when_the_channel_is_closed(
    etcd_endpoint: str,
) -> None:
    async with Channel(etcd_endpoint) as channel:
        client = LeaseClient(channel)
        lease = await client.lease(60, keep_alive=True)
        lost = asyncio.create_task(lease.until_lost())
        await asyncio.sleep(0)
    assert "closed" in str(await asyncio.wait_for(lost, HANG))
    async with Channel(etcd_endpoint) as channel:
        await LeaseClient(channel).revoke_lease(lease.id)


async def test_more_leases_than_a_stream_takes_are_kept_alive_on_several() -> None:
    async with EtcdServer() as server:
        async with FaultProxy(server.endpoint) as proxy, Channel(proxy.endpoint) as channel:
            client = LeaseClient(channel)
            places = asyncio.Semaphore(64)

            async def granted() -> Lease:
                async with places:
                    return await client.lease(20, keep_alive=True)

            leases = await asyncio.gather(*(granted() for _ in range(LEASES_PER_STREAM + 50)))
            await until(lambda: has_streams(server, 2), True)
            # The place of a lease that is released is taken by the next one.
            await leases[0].revoke()
            leases[0] = await granted()
            # A lease that is kept alive already stays on its stream.
            await asyncio.gather(*(lease.keep_alive() for lease in leases))
            proxy.cut()
            await asyncio.wait_for(asyncio.gather(*map(renewed, leases)), HANG)
            assert await streams(server) >= 4
            assert len(await client.leases()) == len(leases)


async def test_a_revocation_by_another_client_is_noticed(
    client: LeaseClient, etcd_server: EtcdServer
) -> None:
    lease = await client.lease(9, keep_alive=True)
    other = await client.lease(9, keep_alive=True)
    await etcd_server.etcdctl("lease", "revoke", f"{lease.id:x}")
    error = await asyncio.wait_for(lease.lost, HANG)
    assert "the server no longer has it" in str(error)
    await renewed(other)
    await other.revoke()


async def test_leases_are_kept_alive_over_a_restart_of_the_server() -> None:
    async with EtcdServer() as server, Channel(server.endpoint) as channel:
        client = LeaseClient(channel)
        # They are renewed at different times, so that some renewal is due soon.
        leases = [await client.lease(15, keep_alive=True) for _ in range(8)]
        await server.restart()
        await renewed(*leases)
        await server.kill()
        await server.start()
        await renewed(*leases)
        assert sorted(await client.leases()) == sorted(lease.id for lease in leases)


async def test_leases_are_kept_while_the_members_are_killed_in_turn() -> None:
    async with EtcdCluster(3) as cluster, Channel(cluster.endpoints) as channel:
        client = LeaseClient(channel)
        leases = [await client.lease(15, keep_alive=True) for _ in range(8)]
        for member in cluster.members:
            await member.kill()
            await renewed(*leases)
            await member.start()
        assert sorted(await client.leases()) == sorted(lease.id for lease in leases)


async def test_leases_are_kept_while_a_member_stops_answering() -> None:
    async with EtcdCluster(3) as cluster, Channel(cluster.endpoints) as channel:
        client = LeaseClient(channel)
        leases = [await client.lease(15, keep_alive=True) for _ in range(8)]
        for _ in range(2):
            follower = (await cluster.followers())[0]
            await follower.pause()
            await renewed(*leases)
            await follower.resume()
            await follower.wait_healthy()
        # The last member is not resumed: a leader that continues after a stall may revoke what the
        # next one has renewed (etcd issue 15247).
        await (await cluster.leader()).pause()
        await renewed(*leases)
        assert sorted(await client.leases()) == sorted(lease.id for lease in leases)


async def test_a_lease_is_kept_while_its_connection_is_cut_again_and_again(
    etcd_server: EtcdServer,
) -> None:
    async with FaultProxy(etcd_server.endpoint) as proxy, Channel(proxy.endpoint) as channel:
        lease = await LeaseClient(channel).lease(9, keep_alive=True)
        for number in range(25):
            await asyncio.sleep(0.2)
            fault = (proxy.cut, proxy.reset, proxy.half_close)[number % 3]
            fault()
            assert not lease.is_lost
        await renewed(lease)
        assert channel.reconnects
        await lease.revoke()


async def test_a_lease_survives_a_silence_shorter_than_its_ttl(
    etcd_server: EtcdServer,
) -> None:
    async with FaultProxy(etcd_server.endpoint) as proxy, Channel(proxy.endpoint) as channel:
        lease = await LeaseClient(channel).lease(12, keep_alive=True)
        proxy.black_hole()
        await asyncio.sleep(6.0)
        proxy.heal()
        await renewed(lease)
        await lease.revoke()


async def test_a_lease_is_kept_by_another_member_when_one_falls_silent(
    etcd_server: EtcdServer,
) -> None:
    async with FaultProxy(etcd_server.endpoint) as first, FaultProxy(etcd_server.endpoint) as next_:
        async with Channel([first.endpoint, next_.endpoint]) as channel:
            client = LeaseClient(channel)
            # They are renewed at different times, so that some renewal is due soon.
            leases = [await client.lease(9, keep_alive=True) for _ in range(8)]
            # The stream is on one of the two proxies.
            for silent in (first, next_):
                silent.black_hole()
                await renewed(*leases)
                await renewed(*leases)
                silent.heal()
            await asyncio.gather(*(lease.revoke() for lease in leases))


async def test_a_lease_is_lost_in_a_silence_longer_than_its_ttl_and_stays_lost(
    client: LeaseClient, etcd_server: EtcdServer
) -> None:
    async with FaultProxy(etcd_server.endpoint) as proxy, Channel(proxy.endpoint) as channel:
        lease = await short_lease_renewed(LeaseClient(channel), 1)
        proxy.black_hole()
        began = time.monotonic()
        error = await asyncio.wait_for(lease.lost, HANG)
        # It is lost by the client's clock, without an answer of a server.
        assert "no renewal was acknowledged for its time to live of 1 s" in str(error)
        assert time.monotonic() - began < 30
        proxy.heal()
        await until(lambda: is_there(client, lease), False)
        assert lease.is_lost


async def test_an_answer_that_comes_too_late_does_not_bring_a_lease_back(
    client: LeaseClient, etcd_server: EtcdServer
) -> None:
    async with FaultProxy(etcd_server.endpoint) as proxy, Channel(proxy.endpoint) as channel:
        lease = await short_lease_renewed(LeaseClient(channel), 2)
        # The server gets the requests and renews the lease; its answers are held back.
        proxy.black_hole("to_client")
        await asyncio.wait_for(lease.lost, HANG)
        proxy.heal()
        await asyncio.sleep(0.2)
        assert lease.is_lost
        assert lease.remaining == 0.0
        with pytest.raises(LeaseExpiredError):
            await lease.refresh()


async def test_a_lease_is_kept_alive_when_tokens_expire() -> None:
    async with EtcdServer(auth_token_ttl=1) as server:
        await server.enable_auth("secret")
        async with Channel(server.endpoint, username="root", password="secret") as channel:
            lease = await LeaseClient(channel).lease(9, keep_alive=True)
            async with FaultProxy(server.endpoint) as proxy:
                through = Channel(proxy.endpoint, username="root", password="secret")
                async with through:
                    other = await LeaseClient(through).lease(9, keep_alive=True)
                    for _ in range(3):
                        await asyncio.sleep(1.5)
                        # The token has expired by now; the next stream needs a new one.
                        proxy.cut()
                        await renewed(other)
                    await other.revoke()
            await renewed(lease)
            assert (await lease.refresh()).ttl == 9
            await lease.revoke()


async def test_closing_the_channel_leaves_no_stream_and_no_task() -> None:
    async with EtcdServer() as server:
        before = asyncio.all_tasks()
        channel = Channel(server.endpoint)
        client = LeaseClient(channel)
        async with client.lease(60, keep_alive=True):
            lease = await client.lease(60)
            await lease.keep_alive()
            # Without this, the channel may be closed before the stream has reached the server.
            await until(lambda: has_streams(server, 1), True)
            await lease.revoke()
        await channel.close()
        assert asyncio.all_tasks() == before
        await until(lambda: all_ended(server), True)
        assert await one_was_needed(server, channel)
        async with Channel(server.endpoint) as witness:
            assert await LeaseClient(witness).leases() == []
