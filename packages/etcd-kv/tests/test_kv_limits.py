"""The limits of a real server: each has its own error class."""

from __future__ import annotations

import asyncio

import pytest
from kv_support import PATIENT

from etcd_channel import Channel
from etcd_channel.errors import (
    InvalidArgumentError,
    NoSpaceError,
    RequestTooLargeError,
    ResourceExhaustedError,
)
from etcd_kv import KVClient
from etcd_testing.plugin import ServerFactory

MIB = 1 << 20


# etcd refuses a request above 1.5 MiB; above 2 MiB its gRPC layer does, with another message.
@pytest.mark.parametrize("size", [int(1.6 * MIB), 2 * MIB + 1, 5 * MIB])
async def test_a_request_that_is_too_large_is_refused(
    kv: KVClient, key_prefix: bytes, size: int
) -> None:
    large = b"x" * size
    for write in (
        kv.put(key_prefix, large),
        kv.put(key_prefix + large, b""),
        kv.transaction([], [kv.transactions.put(key_prefix, large)]),
        kv.replace(key_prefix, b"", large),
    ):
        with pytest.raises(RequestTooLargeError) as caught:
            await write
        assert isinstance(caught.value, InvalidArgumentError)
        assert caught.value.definite
        assert "large" in caught.value.message
        # The error does not show the value.
        assert len(str(caught.value)) < 300
    assert not await kv.get_prefix(key_prefix)


async def test_a_request_just_below_the_limit_is_accepted(kv: KVClient, key_prefix: bytes) -> None:
    value = b"x" * (MIB + MIB // 2 - 1000)
    await kv.put(key_prefix, value)
    got = await kv.get(key_prefix)
    assert got is not None
    assert got.value == value


async def test_a_full_database_accepts_reads_and_deletions_but_no_puts(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    server = etcd_server_factory(quota_backend_bytes=4 * MIB)
    async with Channel(server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        written = 0

        async def fill() -> None:
            nonlocal written
            for written in range(100):
                await kv.put(key_prefix + b"%02d" % written, b"x" * (MIB // 2))

        with pytest.raises(NoSpaceError, match="database space exceeded") as caught:
            await fill()
        assert written > 1
        assert isinstance(caught.value, ResourceExhaustedError)
        assert not caught.value.definite
        assert caught.value.method == "KV.Put"
        with pytest.raises(NoSpaceError):
            await kv.put(key_prefix + b"small", b"")
        with pytest.raises(NoSpaceError):
            await kv.transaction([], [kv.transactions.put(key_prefix + b"small", b"")])
        count = (await kv.get_prefix(key_prefix, count_only=True)).count
        assert count in (written, written + 1)  # the failed put may have been applied
        assert (await kv.delete_prefix(key_prefix)).deleted == count


async def test_a_put_that_fails_with_no_space_may_have_been_applied(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    """etcd applies a put that was proposed while there was space, even if it answers NOSPACE."""
    for _ in range(20):  # it usually happens in the first round
        server = etcd_server_factory(quota_backend_bytes=4 * MIB)
        async with Channel(server.endpoint, **PATIENT) as channel:
            if await _a_failed_put_was_applied(KVClient(channel), key_prefix):
                return
        await server.close()
    pytest.fail("etcd applied no put that it answered with NOSPACE")


async def _a_failed_put_was_applied(kv: KVClient, key_prefix: bytes) -> bool:
    """Fill the database; return whether a put that failed with `NoSpaceError` was applied."""

    async def put(number: int) -> NoSpaceError | None:
        try:
            await kv.put(key_prefix + b"%04d" % number, b"x" * (MIB // 5))
        except NoSpaceError as error:
            return error
        return None

    failed: dict[int, NoSpaceError] = {}
    for first in range(0, 1000, 30):
        numbers = range(first, first + 30)
        results = await asyncio.gather(*map(put, numbers))
        failed = {n: error for n, error in zip(numbers, results, strict=True) if error}
        if failed:
            break
    assert not any(error.definite for error in failed.values())
    found = [await kv.get(key_prefix + b"%04d" % number) for number in failed]
    return any(each is not None for each in found)
