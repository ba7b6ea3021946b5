"""The attributes of a lease, its loss, and its `async with` block."""

from __future__ import annotations

import asyncio
import gc
import pickle
import time
import warnings
from typing import Any

import pytest
from lease_support import is_there, short_lease, until

from etcd_channel import Channel, ClientClosedError
from etcd_channel.errors import LeaseNotFoundError
from etcd_lease import Lease, LeaseClient, LeaseExpiredError
from etcd_testing import EtcdServer


async def test_the_documented_methods(client: LeaseClient) -> None:
    lease = await client.lease(60)
    assert repr(lease) == f"Lease(id={lease.id}, ttl=60)"
    assert (await lease.refresh()).ttl == 60
    assert 30 <= await lease.remaining_ttl() <= 60
    assert await lease.granted_ttl() == 60
    assert await lease.keys() == []
    await lease.revoke()
    assert repr(lease) == f"Lease(id={lease.id}, ttl=60, lost)"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0, 10), ValueError, "lease_id must not be 0"),
        ((None, 10), TypeError, "lease_id must be a lease or its id, an int, not NoneType"),
        ((1, 0), ValueError, "ttl must be at least 1"),
        ((1, None), TypeError, "ttl must be an int, not NoneType"),
    ],
)
async def test_a_lease_with_bad_arguments_is_refused(
    nobody: LeaseClient, arguments: tuple[Any, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Lease(*arguments, nobody)


async def test_a_lease_without_a_client_is_refused(nobody: LeaseClient) -> None:
    for other in (None, nobody.channel, LeaseClient):
        with pytest.raises(TypeError, match="etcd_client must be a LeaseClient or a Client"):
            Lease(1, 10, other)  # type: ignore[arg-type]  # the mistake itself


async def test_a_lease_made_from_an_id_is_unconfirmed_until_the_server_answers(
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


async def test_a_lease_made_from_an_expired_id_is_lost_when_the_server_answers(
    client: LeaseClient,
) -> None:
    for question in ("refresh", "keys", "remaining_ttl", "granted_ttl", "keep_alive"):
        lease = Lease(77, 10, client)
        with pytest.raises(LeaseExpiredError, match="77") as raised:
            await getattr(lease, question)()
        assert raised.value.lease_id == 77
        assert lease.is_lost


async def test_leases_of_one_id_share_their_state_on_a_channel(client: LeaseClient) -> None:
    lease = await client.lease(60)
    same = Lease(lease.id, 60, LeaseClient(client.channel))
    assert same.remaining > 0
    await client.revoke_lease(lease.id)
    assert same.is_lost
    assert lease.is_lost


async def test_the_id_of_a_lost_lease_can_be_granted_again_and_the_old_lease_stays_lost(
    client: LeaseClient, etcd_server: EtcdServer
) -> None:
    first = await client.lease(60, 4712, keep_alive=True)
    # Another client revokes it and grants the id again, before this client notices.
    await etcd_server.etcdctl("lease", "revoke", f"{4712:x}")
    async with client.lease(60, 4712) as second:
        assert first.is_lost
        assert not second.is_lost


async def test_a_lost_lease_does_not_end_the_next_one_with_its_id(
    client: LeaseClient, etcd_server: EtcdServer
) -> None:
    async with client.lease(60, 4714) as first:
        await etcd_server.etcdctl("lease", "revoke", f"{4714:x}")
        second = await client.lease(60, 4714, keep_alive=True)
    with pytest.raises(LeaseExpiredError):
        await first.revoke()
    assert await second.remaining_ttl() > 0
    await second.revoke()


async def test_a_lost_lease_does_not_stop_the_keep_alives_of_the_next_one_with_its_id() -> None:
    async with EtcdServer() as server, Channel(server.endpoint, connect_timeout=60) as channel:
        client = LeaseClient(channel)
        first = await client.lease(20, 4715, keep_alive=True)
        await server.etcdctl("lease", "revoke", f"{4715:x}")
        second = await client.lease(20, 4715, keep_alive=True)
        first.stop_keep_alive()
        end = time.monotonic() + second.remaining
        while time.monotonic() + second.remaining < end + 0.5:
            assert not second.is_lost
            await asyncio.sleep(0.05)


async def test_a_lease_is_lost_immediately_after_the_event_loop_was_blocked(
    client: LeaseClient,
) -> None:
    lease = await short_lease(client, keep_alive=True)
    waiting = asyncio.ensure_future(lease.lost)
    await asyncio.sleep(0)
    # No timer and no answer is processed meanwhile.
    time.sleep(1.1)  # noqa: ASYNC251  # the loop is to be blocked
    assert lease.is_lost
    assert lease.remaining == 0.0
    for question in (lease.refresh, lease.remaining_ttl, lease.keep_alive):
        with pytest.raises(LeaseExpiredError, match="no renewal was acknowledged"):
            await question()
    assert isinstance(await waiting, LeaseExpiredError)


async def test_a_lost_lease_is_not_renewed_even_if_the_server_still_has_it(
    client: LeaseClient,
) -> None:
    lease = await client.lease(9)
    await client.refresh_lease(lease.id)
    renewing = asyncio.create_task(_renew_elsewhere(client.channel.endpoints[0], lease.id))
    assert isinstance(await lease.lost, LeaseExpiredError)
    assert await is_there(client, lease)
    with pytest.raises(LeaseExpiredError):
        await lease.refresh()
    # A refresh by id works: it does not depend on this state.
    assert (await client.refresh_lease(lease.id)).ttl == 9
    assert lease.is_lost
    renewing.cancel()
    await asyncio.wait([renewing])


async def _renew_elsewhere(endpoint: str, lease_id: int) -> None:
    async with Channel(endpoint, connect_timeout=60) as channel:
        lease = Lease(lease_id, 1, LeaseClient(channel))
        await lease.keep_alive()
        await lease.lost


async def test_many_tasks_can_await_lost_and_be_cancelled(client: LeaseClient) -> None:
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


async def test_lost_is_a_coroutine_for_create_task_and_wait(client: LeaseClient) -> None:
    lease = await client.lease(60)
    other = await client.lease(60)
    losses = [asyncio.create_task(lease.lost), asyncio.create_task(other.lost)]
    await other.revoke()
    done, pending = await asyncio.wait(losses, return_when=asyncio.FIRST_COMPLETED)
    assert (done, pending) == ({losses[1]}, {losses[0]})
    assert isinstance(losses[1].result(), LeaseExpiredError)
    # Cancelling the wait does not affect the lease, and another wait returns the loss.
    losses[0].cancel()
    await asyncio.wait(losses)
    assert not lease.is_lost
    gathering = asyncio.gather(lease.lost, lease.lost)
    await lease.revoke()
    assert [error.lease_id for error in await gathering] == [lease.id] * 2


async def test_one_loss_can_be_awaited_by_several_tasks_and_again(client: LeaseClient) -> None:
    lease = await client.lease(60)
    loss = lease.lost
    waiting = [asyncio.create_task(loss) for _ in range(4)]
    # One that is cancelled before its first step, and one that is cancelled while it waits.
    waiting[0].cancel()
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.wait(waiting[:2])
    assert [task.cancelled() for task in waiting] == [True, True, False, False]
    await lease.revoke()
    errors = [*await asyncio.gather(*waiting[2:]), await loss, await asyncio.create_task(loss)]
    assert all("this client revoked it" in str(error) for error in errors)
    assert len({id(error) for error in errors}) == 4


async def test_a_loss_that_is_never_awaited_raises_no_warning(client: LeaseClient) -> None:
    lease = await client.lease(60)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _ = lease.lost
        lease.lost.close()
        task = asyncio.create_task(lease.lost)
        task.cancel()
        await asyncio.wait([task])
        del task, _
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    await lease.revoke()


async def test_waiting_for_the_loss_of_an_unconfirmed_lease_starts_with_the_first_answer(
    client: LeaseClient, etcd_endpoint: str
) -> None:
    granted = await client.lease(9)
    async with Channel(etcd_endpoint) as other:
        lease = Lease(granted.id, 9, LeaseClient(other))
        waiting = asyncio.ensure_future(lease.lost)
        await asyncio.sleep(0)
        await lease.refresh()
        assert not waiting.done()
        assert isinstance(await asyncio.wait_for(waiting, 60), LeaseExpiredError)


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


async def test_a_block_that_fails_revokes_its_lease_and_raises_its_own_error(
    client: LeaseClient,
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.lease(60) as lease:
            raise ZeroDivisionError
    assert not await is_there(client, lease)


async def test_a_block_that_is_cancelled_revokes_its_lease(client: LeaseClient) -> None:
    held: asyncio.Queue[Lease] = asyncio.Queue()

    async def body() -> None:
        async with client.lease(60, keep_alive=True) as lease:
            held.put_nowait(lease)
            await asyncio.Event().wait()

    holding = asyncio.create_task(body())
    lease = await asyncio.wait_for(held.get(), 60)
    holding.cancel()
    await asyncio.wait([holding])
    assert holding.cancelled()
    assert not await is_there(client, lease)


async def test_a_block_may_revoke_its_lease_itself(client: LeaseClient) -> None:
    async with client.lease(60, keep_alive=True) as lease:
        await lease.revoke()


async def test_a_block_raises_the_loss_of_a_lease_that_was_kept_alive(
    client: LeaseClient, etcd_server: EtcdServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(error: Exception | None) -> None:
        async with client.lease(9, keep_alive=True) as lease:
            await etcd_server.etcdctl("lease", "revoke", f"{lease.id:x}")
            await asyncio.wait_for(lease.until_lost(), 60)
            if error is not None:
                raise error

    with pytest.raises(LeaseExpiredError, match="the server no longer has it"):
        await body(None)
    # The channel may have warned of a slow server.
    records = [record for record in caplog.records if record.name == "etcd_lease"]
    assert [record.levelname for record in records] == ["WARNING"]
    assert "is lost: the server no longer has it" in caplog.text
    # An error of the body takes precedence.
    with pytest.raises(ZeroDivisionError):
        await body(ZeroDivisionError())


async def test_a_block_without_keep_alive_raises_nothing_when_the_lease_expires(
    client: LeaseClient,
) -> None:
    async with await short_lease(client) as lease:
        await lease.lost


async def test_a_lost_lease_cannot_be_entered(client: LeaseClient) -> None:
    lease = await client.lease(60)
    await lease.revoke()
    with pytest.raises(LeaseExpiredError):
        async with lease:
            raise AssertionError("the block was run")


async def test_a_lease_made_from_an_id_can_be_entered(client: LeaseClient) -> None:
    granted = await client.lease(60)
    async with Lease(granted.id, 60, client):
        assert await is_there(client, granted)
    assert not await is_there(client, granted)


async def test_closing_the_channel_loses_the_leases_that_it_kept_alive(etcd_endpoint: str) -> None:
    channel = Channel(etcd_endpoint)
    client = LeaseClient(channel)
    lease = await client.lease(60, keep_alive=True)
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
    async with client.lease(9) as lease:
        renewing = asyncio.create_task(_renew_elsewhere(client.channel.endpoints[0], lease.id))
        await lease.lost
        assert await is_there(client, lease)
    await until(lambda: is_there(client, lease), False)
    await asyncio.gather(renewing, return_exceptions=True)
    with pytest.raises(LeaseNotFoundError):
        await client.refresh_lease(lease)
