"""examples/mirror.py: a copy in another cluster, which goes on where it stopped."""

from __future__ import annotations

import asyncio
import signal

from example_program import HANG, PATIENT, running

from etcd_client import Client
from etcd_testing import EtcdServer, FaultProxy


async def copied(client: Client, key: bytes, value: bytes) -> None:
    """Wait until a key of the copy has a value."""

    async def until_copied() -> None:
        async with client.watch(key, start_revision=1) as watch:
            async for event in watch:
                if event.kv.value == value:
                    return

    await asyncio.wait_for(until_copied(), HANG)


async def test_a_copy_survives_cuts_a_compaction_and_a_new_start(key_prefix: bytes) -> None:
    async with (
        EtcdServer() as one,
        EtcdServer() as two,
        FaultProxy(one.endpoint) as near,
        FaultProxy(two.endpoint) as far,
        Client(endpoints=one.endpoint, **PATIENT) as source,
        Client(endpoints=two.endpoint, **PATIENT) as target,
    ):
        arguments = (f"--endpoints={near.endpoint}", f"--target={far.endpoint}")
        more = ("--target-prefix=copy/", "--checkpoint=checkpoint")
        await source.put(key_prefix + b"colour", b"blue")
        await target.put(b"copy/old", b"not in the source")
        async with running("mirror.py", *arguments, *more, prefix=key_prefix) as example:
            await example.until("2 keys copied, compared")
            for number in range(10):
                near.cut()
                far.cut()
                await source.put(key_prefix + b"number", b"%d" % number)
            await copied(target, b"copy/number", b"9")
            example.send_signal(signal.SIGINT)
            assert await example.status() == 128 + signal.SIGINT
        await source.delete(key_prefix + b"colour")
        async with running("mirror.py", *arguments, *more, prefix=key_prefix) as example:
            await example.until("1 keys copied, followed")
            example.send_signal(signal.SIGTERM)
            assert await example.status() == 128 + signal.SIGTERM
        await source.delete(key_prefix + b"number")
        newest = await source.put(key_prefix + b"size", b"3")
        await source.compact(newest.header.revision)
        async with running("mirror.py", *arguments, *more, prefix=key_prefix) as example:
            await example.until("2 keys copied, compared")
            example.send_signal(signal.SIGINT)
            assert await example.status() == 128 + signal.SIGINT
        assert {kv.key: kv.value for kv in await target.get_prefix(b"copy/")} == {
            b"copy/size": b"3"
        }


async def test_it_copies_between_two_prefixes_of_an_etcd_of_its_own(key_prefix: bytes) -> None:
    async with running("mirror.py", prefix=key_prefix) as example:
        await example.until("0 keys copied, compared")
        example.send_signal(signal.SIGINT)
        assert await example.status() == 128 + signal.SIGINT
