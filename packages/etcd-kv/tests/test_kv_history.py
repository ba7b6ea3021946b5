"""Compaction on a real server, and the errors of reads of compacted revisions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from kv_support import PATIENT, with_enough_time

from etcd_channel import Channel, ResponseHeader, RevisionCompactedError
from etcd_channel.errors import FutureRevisionError, OutOfRangeError
from etcd_kv import KVClient
from etcd_testing import EtcdServer


@pytest.fixture
async def private_kv(private_server: EtcdServer) -> AsyncIterator[KVClient]:
    """A client of a server whose history a test may compact."""
    async with Channel(private_server.endpoint, **PATIENT) as channel:
        yield KVClient(channel)


async def write(kv: KVClient, key: bytes, times: int) -> list[int]:
    """Put a key several times, numbers as its values, and return the revisions."""
    return [(await kv.put(key, b"%d" % number)).header.revision for number in range(times)]


async def test_a_compaction_discards_older_revisions(
    private_kv: KVClient, key_prefix: bytes
) -> None:
    revisions = await write(private_kv, key_prefix, 5)
    answer = await private_kv.compact(revisions[3])
    assert isinstance(answer, ResponseHeader)
    assert answer.revision == revisions[4]
    for revision, value in zip(revisions[3:], (b"3", b"4"), strict=True):
        got = await private_kv.get(key_prefix, revision=revision)
        assert got is not None
        assert got.value == value
    with pytest.raises(RevisionCompactedError) as caught:
        await private_kv.get(key_prefix, revision=revisions[2])
    assert caught.value.compacted_revision == revisions[3]


async def test_a_compaction_can_be_physical(private_kv: KVClient, key_prefix: bytes) -> None:
    revisions = await write(private_kv, key_prefix, 3)
    await private_kv.compact(revisions[1], True)
    with pytest.raises(RevisionCompactedError):
        await private_kv.get(key_prefix, revision=revisions[0])
    await private_kv.compact(revision=revisions[2], physical=True)


@pytest.mark.parametrize("back", [1, 2, 7, 40])
async def test_every_read_of_a_compacted_revision_raises_the_compacted_revision(
    private_kv: KVClient, key_prefix: bytes, back: int
) -> None:
    revisions = await write(private_kv, key_prefix, 60)
    await private_kv.compact(revisions[50])
    asked = revisions[50] - back
    get = private_kv.transactions.get
    for read in (
        private_kv.get(key_prefix, revision=asked),
        private_kv.get(key_prefix + b"none", revision=asked),
        private_kv.get_prefix(key_prefix, revision=asked),
        private_kv.get_range(key_prefix, key_prefix + b"\xff", revision=asked),
        private_kv.get_all(revision=asked),
        private_kv.transaction([], [get(key_prefix, revision=asked)]),
        private_kv.transaction(
            [], [private_kv.transactions.txn([], [get(b"k"), get(key_prefix, revision=asked)])]
        ),
    ):
        with pytest.raises(RevisionCompactedError) as caught:
            await read
        error = caught.value
        assert error.compacted_revision == revisions[50]
        assert isinstance(error, OutOfRangeError)
        assert error.definite
        assert error.code is not None
        assert error.code.name == "OUT_OF_RANGE"
        assert error.message == "etcdserver: mvcc: required revision has been compacted"
        assert error.method in ("KV.Range", "KV.Txn")
        assert error.endpoint == private_kv.channel.endpoints[0]
        assert error.__cause__ is not None


async def test_a_second_compaction_raises_the_revision_of_the_first(
    private_kv: KVClient, key_prefix: bytes
) -> None:
    revisions = await write(private_kv, key_prefix, 9)
    await private_kv.compact(revisions[6])
    for again in (revisions[6], revisions[6] - 1, 1):
        with pytest.raises(RevisionCompactedError) as caught:
            await private_kv.compact(again)
        assert caught.value.compacted_revision == revisions[6]
        assert caught.value.method == "KV.Compact"


async def test_a_future_revision_cannot_be_compacted(
    private_kv: KVClient, key_prefix: bytes
) -> None:
    (revision,) = await write(private_kv, key_prefix, 1)
    with pytest.raises(FutureRevisionError) as caught:
        await private_kv.compact(revision + 1)
    assert isinstance(caught.value, OutOfRangeError)
    assert caught.value.definite
    got = await private_kv.get(key_prefix, revision=revision)
    assert got is not None


async def test_the_newest_revision_can_be_compacted(
    private_kv: KVClient, key_prefix: bytes
) -> None:
    revisions = await write(private_kv, key_prefix, 3)
    await private_kv.compact(revisions[-1])
    with pytest.raises(RevisionCompactedError) as caught:
        await private_kv.get(key_prefix, revision=1)
    assert caught.value.compacted_revision == revisions[-1]
    got = await private_kv.get(key_prefix, revision=revisions[-1])
    assert got is not None
    assert got.value == b"2"


class SlowChannel(Channel):
    """Delays the response to its first call, like a slow link."""

    def __init__(self, endpoint: str, slowness: float) -> None:
        super().__init__(endpoint, **PATIENT)
        self._slowness = slowness
        self.timeouts: list[float | None] = []

    async def call(self, *args: Any, timeout: float | None = None, **options: Any) -> Any:
        self.timeouts.append(timeout)
        try:
            return await super().call(*args, timeout=timeout, **options)
        finally:
            if len(self.timeouts) == 1:
                await asyncio.sleep(self._slowness)


READS: list[Callable[[KVClient, bytes], Coroutine[Any, Any, object]]] = [
    lambda kv, key: kv.get(key, revision=1, timeout=60),
    lambda kv, key: kv.get_prefix(key, revision=1, timeout=60),
    lambda kv, key: kv.transaction([], [kv.transactions.get(key, revision=1)], timeout=60),
    lambda kv, key: kv.compact(1, timeout=60),
    lambda kv, key: anext(kv.scan_prefix(key, revision=1, timeout=60)),
]


@pytest.mark.parametrize("read", READS)
async def test_the_search_for_the_compacted_revision_ends_at_the_timeout_of_the_call(
    private_kv: KVClient, key_prefix: bytes, read: Callable[..., Coroutine[Any, Any, object]]
) -> None:
    revisions = await write(private_kv, key_prefix, 9)
    await private_kv.compact(revisions[6])
    slowness = 0.2
    async with SlowChannel(private_kv.channel.endpoints[0], slowness) as channel:
        with pytest.raises(RevisionCompactedError) as caught:
            await read(KVClient(channel), key_prefix)
    assert caught.value.compacted_revision == revisions[6]
    first, *later = channel.timeouts
    assert first == 60
    assert later
    for timeout in later:
        assert timeout is not None
        assert timeout <= 60 - slowness


async def test_a_call_without_time_left_raises_a_lower_bound_of_the_compacted_revision(
    private_kv: KVClient, key_prefix: bytes
) -> None:
    revisions = await write(private_kv, key_prefix, 9)
    await private_kv.compact(revisions[6])

    async def get(timeout: float) -> None:
        async with SlowChannel(private_kv.channel.endpoints[0], timeout + 0.1) as channel:
            with pytest.raises(RevisionCompactedError) as caught:
                await KVClient(channel).get(key_prefix, revision=3, timeout=timeout)
        # The search had no time, so the revision is only a lower bound.
        assert 3 < caught.value.compacted_revision <= revisions[6]
        assert all(later is not None and later < 0.01 for later in channel.timeouts[1:])

    await with_enough_time(get, 2, 15)
