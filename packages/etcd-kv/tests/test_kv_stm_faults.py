"""Transactions that are run again, when answers are lost, servers fail, or tasks are cancelled."""

from __future__ import annotations

import asyncio

import pytest
from kv_support import PATIENT, end

from etcd_channel import Channel, ClientError
from etcd_channel.errors import ConnectionFailedError
from etcd_kv import KVClient, STMTransaction
from etcd_testing import EtcdServer, FaultProxy, cancel_everywhere


async def test_a_commit_whose_answer_is_lost_is_told_and_not_repeated(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint, **PATIENT) as channel:
        attempts: list[int] = []
        killed: list[asyncio.Future[None]] = []

        async def body(t: STMTransaction) -> None:
            attempts.append(t.attempt)
            await t.get(key_prefix)
            t.put(key_prefix, b"mine")
            killed.append(proxy.kill_next_reply())

        with pytest.raises(ConnectionFailedError, match="may have been committed") as caught:
            await KVClient(channel).stm(body)
        await killed[0]
        assert not caught.value.definite
        assert attempts == [1]
        found = await kv.get(key_prefix)
        assert found is not None
        assert (found.value, found.version) == (b"mine", 1)


async def test_reads_go_on_over_a_lost_answer(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%d" % number for number in range(8)]
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint, **PATIENT) as channel:

        async def body(t: STMTransaction) -> None:
            killed = proxy.kill_next_reply()
            assert await t.get_many(keys) == [None] * 8
            await killed
            t.put(keys[0], b"mine")

        assert (await KVClient(channel).stm(body)).attempts == 1


async def test_a_read_without_a_server_is_an_error_that_is_definite(
    unreachable_kv: KVClient,
) -> None:
    async def body(t: STMTransaction) -> None:
        await t.get(b"key")

    with pytest.raises(ConnectionFailedError) as caught:
        await unreachable_kv.stm(body, prefetch=[b"key", b"other"], isolation="read_committed")
    assert caught.value.definite


async def test_a_restart_of_the_server_loses_and_repeats_no_increment(
    private_server: EtcdServer, key_prefix: bytes
) -> None:
    """Those that are told to be done are there, and beyond them at most those that are unknown."""
    done = unknown = 0
    enough, restarted = asyncio.Event(), asyncio.Event()
    async with Channel(private_server.endpoint, connect_timeout=20.0) as channel:
        kv = KVClient(channel)

        async def increment(t: STMTransaction) -> None:
            found = await t.get(key_prefix)
            t.put(key_prefix, b"%d" % (1 + int(found.value if found else 0)))

        async def work() -> None:
            nonlocal done, unknown
            after = 0
            while after < 5:
                after += restarted.is_set()
                try:
                    await kv.stm(increment, timeout=60)
                except ClientError as error:
                    unknown += not error.definite
                else:
                    done += 1
                    if done == 20:
                        enough.set()

        async def restart() -> None:
            await enough.wait()
            await end(private_server)
            await private_server.start()
            restarted.set()

        await asyncio.gather(restart(), *(work() for _ in range(6)))
        found = await kv.get(key_prefix)
        assert found is not None
        assert done <= int(found.value) <= done + unknown
        assert found.version == int(found.value)


@pytest.mark.parametrize("isolation", ["serializable_snapshot", "repeatable_reads"])
async def test_a_cancelled_transaction_writes_all_or_nothing_and_leaves_no_task(
    private_server: EtcdServer, key_prefix: bytes, isolation: object
) -> None:
    async with Channel(private_server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        keys = [key_prefix + b"%d" % number for number in range(3)]
        turn = 0

        async def change() -> object:
            nonlocal turn
            turn += 1

            async def body(t: STMTransaction) -> None:
                await t.get_many(keys)
                if t.attempt == 1:
                    await kv.put(key_prefix + b"0", b"%d of others" % turn)
                for key in keys:
                    t.put(key, b"%d" % turn)

            return await kv.stm(body, prefetch=keys[:2], isolation=isolation)  # type: ignore[arg-type]  # one of them

        async def whole() -> None:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not [task for task in left if "_read" in repr(task)]
            found = await kv.get_many(keys)
            assert len({kv and kv.mod_revision for kv in found[1:]}) == 1

        assert await cancel_everywhere(change, whole, every=5)
