"""What a lease says of itself, and the block that it is for."""

from __future__ import annotations

import asyncio
import pickle
import time
from typing import Any

import pytest
from lease_support import is_there, until

from etcd_channel import Channel, ClientClosedError
from etcd_channel.errors import LeaseNotFoundError
from etcd_lease import Lease, LeaseClient, LeaseExpiredError
from etcd_testing import EtcdServer


async def test_the_documented_methods(client: LeaseClient) -> None:
    lease = await client.lease(60)
    assert repr(lease) == f"Lease(id={lease.id}, ttl=60)"
    assert (await lease.refresh()).ttl == 60
    assert 58 <= await lease.remaining_ttl() <= 60
    assert await lease.granted_ttl() == 60
    assert await lease.keys() == []
    await lease.revoke()
    assert repr(lease) == f"Lease(id={lease.id}, ttl=60, lost)"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0, 10), ValueError, "lease_id must be at least 1"),
        (("1", 10), TypeError, "lease_id must be an int, not str"),
        ((1, 0), ValueError, "ttl must be at least 1"),
        ((1, None), TypeError, "ttl must be an int, not NoneType"),
    ],
)
async def test_a_lease_of_bad_arguments_is_refused(
    nobody: LeaseClient, arguments: tuple[Any, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Lease(*arguments, nobody)


async def test_a_lease_of_something_else_than_a_client_is_refused(nobody: LeaseClient) -> None:
    for other in (None, nobody.channel):
        with pytest.raises(TypeError, match="etcd_client must be a LeaseClient or a Client"):
            Lease(1, 10, other)  # type: ignore[arg-type]  # the mistake itself


async def test_a_lease_made_of_an_id_knows_nothing_until_the_server_was_heard(
    client: LeaseClient, etcd_endpoint: str
) -> None:
    granted = await client.lease(60)
    async with Channel(etcd_endpoint) as other:
        lease = Lease(granted.id, 45, LeaseClient(other))
        assert lease.ttl == 45
        assert not lease.is_lost
        assert lease.remaining == 0.0
        await lease.refresh()
        assert lease.ttl == 60
        assert 0 < lease.remaining <= 60
    await granted.revoke()


async def test_a_lease_made_of_an_id_that_is_gone_is_lost_when_the_server_says_so(
    client: LeaseClient,
) -> None:
    for question in ("refresh", "keys", "remaining_ttl", "granted_ttl", "keep_alive"):
        lease = Lease(77, 10, client)
        with pytest.raises(LeaseExpiredError, match="77") as raised:
            await getattr(lease, question)()
        assert raised.value.lease_id == 77
        assert lease.is_lost


async def test_what_is_known_of_an_id_is_shared_on_a_channel(client: LeaseClient) -> None:
    lease = await client.lease(60)
    same = Lease(lease.id, 60, LeaseClient(client.channel))
    assert same.remaining > 0
    await client.revoke_lease(lease.id)
    assert same.is_lost
    assert lease.is_lost


async def test_the_id_of_a_lost_lease_can_be_granted_anew_and_the_lost_stays_lost(
    client: LeaseClient, etcd_server: EtcdServer
) -> None:
    first = await client.lease(60, 4712, keep_alive=True)
    # Another revokes it, and before this client is told the id is taken again.
    await etcd_server.etcdctl("lease", "revoke", f"{4712:x}")
    async with client.lease(60, 4712) as second:
        assert first.is_lost
        assert not second.is_lost


async def test_after_a_stall_a_lease_is_lost_before_anything_else_was_done(
    client: LeaseClient,
) -> None:
    lease = await client.lease(1, keep_alive=True)
    waiting = asyncio.ensure_future(lease.lost)
    await asyncio.sleep(0)
    # Neither a timer nor an answer can be taken meanwhile.
    time.sleep(1.1)  # noqa: ASYNC251  # the loop is to be blocked
    assert lease.is_lost
    assert lease.remaining == 0.0
    for question in (lease.refresh, lease.remaining_ttl, lease.keep_alive):
        with pytest.raises(LeaseExpiredError, match="no renewal was acknowledged"):
            await question()
    assert isinstance(await waiting, LeaseExpiredError)


async def test_a_lease_that_is_lost_is_not_renewed_although_the_server_has_it(
    client: LeaseClient,
) -> None:
    lease = await client.lease(1)
    await client.refresh_lease(lease.id)
    renewing = asyncio.create_task(_renew_elsewhere(client.channel.endpoints[0], lease.id))
    assert isinstance(await lease.lost, LeaseExpiredError)
    assert await is_there(client, lease)
    with pytest.raises(LeaseExpiredError):
        await lease.refresh()
    # By id it can be: that claims nothing.
    assert (await client.refresh_lease(lease.id)).ttl == 1
    assert lease.is_lost
    renewing.cancel()
    await asyncio.wait([renewing])


async def _renew_elsewhere(endpoint: str, lease_id: int) -> None:
    async with Channel(endpoint) as channel:
        lease = Lease(lease_id, 1, LeaseClient(channel))
        await lease.keep_alive()
        await lease.lost


async def test_lost_can_be_awaited_by_many_and_given_up_by_each(client: LeaseClient) -> None:
    lease = await client.lease(60)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(lease.lost, 0.01)
    waiting = [asyncio.ensure_future(lease.lost) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await lease.revoke()
    await asyncio.wait(waiting)
    assert waiting[0].cancelled()
    for waiter in waiting[1:]:
        assert "this client revoked it" in str(waiter.result())
    assert str(await lease.lost) == str(waiting[1].result())


async def test_the_wait_for_the_loss_of_an_unknown_lease_begins_with_what_is_heard(
    client: LeaseClient, etcd_endpoint: str
) -> None:
    granted = await client.lease(1)
    async with Channel(etcd_endpoint) as other:
        lease = Lease(granted.id, 1, LeaseClient(other))
        waiting = asyncio.ensure_future(lease.lost)
        await asyncio.sleep(0)
        await lease.refresh()
        assert not waiting.done()
        assert isinstance(await asyncio.wait_for(waiting, 10), LeaseExpiredError)


async def test_the_error_of_a_loss_survives_pickling(client: LeaseClient) -> None:
    lease = await client.lease(60)
    await lease.revoke()
    error = await lease.lost
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), copied.lease_id) == (type(error), str(error), lease.id)


# The block -----------------------------------------------------------------------------


async def test_a_block_revokes_its_lease_at_the_end(client: LeaseClient) -> None:
    async with client.lease(60) as lease:
        assert await is_there(client, lease)
    assert not await is_there(client, lease)
    async with await client.lease(60, keep_alive=True) as lease:
        assert await is_there(client, lease)
    assert not await is_there(client, lease)
    assert lease.is_lost


async def test_a_block_that_fails_revokes_its_lease_and_its_error_is_what_is_raised(
    client: LeaseClient,
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.lease(60) as lease:
            raise ZeroDivisionError
    assert not await is_there(client, lease)


async def test_a_block_that_is_cancelled_revokes_its_lease(client: LeaseClient) -> None:
    held: list[Lease] = []

    async def body() -> None:
        async with client.lease(60, keep_alive=True) as lease:
            held.append(lease)
            await asyncio.Event().wait()

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(body(), 0.5)
    assert not await is_there(client, held[0])


async def test_a_block_may_revoke_its_lease_itself(client: LeaseClient) -> None:
    async with client.lease(60, keep_alive=True) as lease:
        await lease.revoke()


async def test_a_block_whose_lease_was_lost_although_it_was_kept_alive_says_so(
    client: LeaseClient, etcd_server: EtcdServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(error: Exception | None) -> None:
        async with client.lease(2, keep_alive=True) as lease:
            await etcd_server.etcdctl("lease", "revoke", f"{lease.id:x}")
            await asyncio.wait_for(lease.lost, 10)
            if error is not None:
                raise error

    with pytest.raises(LeaseExpiredError, match="the server has it no more"):
        await body(None)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is lost: the server has it no more" in caplog.text
    # Its own error is what counts, where it has one.
    with pytest.raises(ZeroDivisionError):
        await body(ZeroDivisionError())


async def test_a_block_that_nobody_kept_the_lease_alive_for_ends_well_without_it(
    client: LeaseClient,
) -> None:
    async with client.lease(1) as lease:
        await lease.lost


async def test_a_lost_lease_begins_no_block(client: LeaseClient) -> None:
    lease = await client.lease(60)
    await lease.revoke()
    with pytest.raises(LeaseExpiredError):
        async with lease:
            raise AssertionError("the block was run")


async def test_a_block_of_a_lease_that_is_known_by_its_id(client: LeaseClient) -> None:
    granted = await client.lease(60)
    async with Lease(granted.id, 60, client):
        assert await is_there(client, granted)
    assert not await is_there(client, granted)


async def test_closing_the_channel_loses_the_leases_that_it_kept(etcd_endpoint: str) -> None:
    channel = Channel(etcd_endpoint)
    client = LeaseClient(channel)
    lease = await client.lease(2, keep_alive=True)
    waiting = asyncio.ensure_future(lease.lost)
    await asyncio.sleep(0)
    await channel.close()
    error = await waiting
    assert isinstance(error.__cause__, ClientClosedError)
    assert lease.is_lost
    with pytest.raises(LeaseExpiredError):
        await lease.refresh()
    with pytest.raises(ClientClosedError):
        await lease.revoke()


async def test_a_lease_lost_by_the_clock_is_revoked_at_the_end_of_its_block(
    client: LeaseClient,
) -> None:
    async with client.lease(1) as lease:
        renewing = asyncio.create_task(_renew_elsewhere(client.channel.endpoints[0], lease.id))
        await lease.lost
        assert await is_there(client, lease)
    await until(lambda: is_there(client, lease), False)
    await asyncio.wait([renewing])
    with pytest.raises(LeaseNotFoundError):
        await client.refresh_lease(lease)
