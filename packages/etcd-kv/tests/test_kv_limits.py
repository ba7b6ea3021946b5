"""What a real server refuses: each refusal its own class, and nothing done."""

from __future__ import annotations

import pytest

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


# A request beyond 1.5 MiB is refused by etcd, one beyond 2 MiB by its gRPC layer in other words.
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
        # Of the megabytes nothing is in what is shown.
        assert len(str(caught.value)) < 300
    assert not await kv.get_prefix(key_prefix)


async def test_a_request_just_below_the_limit_is_taken(kv: KVClient, key_prefix: bytes) -> None:
    value = b"x" * (MIB + MIB // 2 - 1000)
    await kv.put(key_prefix, value)
    got = await kv.get(key_prefix)
    assert got is not None
    assert got.value == value


async def test_a_full_database_is_read_and_deleted_from_but_not_written_to(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    server = etcd_server_factory(quota_backend_bytes=4 * MIB)
    async with Channel(server.endpoint) as channel:
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
        assert caught.value.definite
        assert caught.value.method == "KV.Put"
        with pytest.raises(NoSpaceError):
            await kv.put(key_prefix + b"small", b"")
        with pytest.raises(NoSpaceError):
            await kv.transaction([], [kv.transactions.put(key_prefix + b"small", b"")])
        assert (await kv.get_prefix(key_prefix, count_only=True)).count == written
        assert (await kv.delete_prefix(key_prefix)).deleted == written
