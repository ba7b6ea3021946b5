"""Compaction on a real server, and what is said of history that is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from etcd_channel import Channel, ResponseHeader, RevisionCompactedError
from etcd_channel.errors import FutureRevisionError, OutOfRangeError
from etcd_kv import KVClient
from etcd_testing import EtcdServer


@pytest.fixture
async def lone(lone_server: EtcdServer) -> AsyncIterator[KVClient]:
    """The service on a server whose history nobody else needs."""
    async with Channel(lone_server.endpoint) as channel:
        yield KVClient(channel)


async def write(kv: KVClient, key: bytes, times: int) -> list[int]:
    """Put a key, its value the number of the put, and return the revisions."""
    return [(await kv.put(key, b"%d" % number)).header.revision for number in range(times)]


async def test_what_was_superseded_is_forgotten(lone: KVClient, key_prefix: bytes) -> None:
    revisions = await write(lone, key_prefix, 5)
    answer = await lone.compact(revisions[3])
    assert isinstance(answer, ResponseHeader)
    assert answer.revision == revisions[4]
    for revision, value in zip(revisions[3:], (b"3", b"4"), strict=True):
        got = await lone.get(key_prefix, revision=revision)
        assert got is not None
        assert got.value == value
    with pytest.raises(RevisionCompactedError) as caught:
        await lone.get(key_prefix, revision=revisions[2])
    assert caught.value.compacted_revision == revisions[3]


async def test_a_compaction_may_wait_for_the_space(lone: KVClient, key_prefix: bytes) -> None:
    revisions = await write(lone, key_prefix, 3)
    await lone.compact(revisions[1], True)
    with pytest.raises(RevisionCompactedError):
        await lone.get(key_prefix, revision=revisions[0])
    await lone.compact(revision=revisions[2], physical=True)


@pytest.mark.parametrize("back", [1, 2, 7, 40])
async def test_every_read_says_which_revisions_are_left(
    lone: KVClient, key_prefix: bytes, back: int
) -> None:
    revisions = await write(lone, key_prefix, 60)
    await lone.compact(revisions[50])
    asked = revisions[50] - back
    get = lone.transactions.get
    for read in (
        lone.get(key_prefix, revision=asked),
        lone.get(key_prefix + b"none", revision=asked),
        lone.get_prefix(key_prefix, revision=asked),
        lone.get_range(key_prefix, key_prefix + b"\xff", revision=asked),
        lone.get_all(revision=asked),
        lone.transaction([], [get(key_prefix, revision=asked)]),
        lone.transaction(
            [], [lone.transactions.txn([], [get(b"k"), get(key_prefix, revision=asked)])]
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
        assert error.endpoint == lone.channel.endpoints[0]
        assert error.__cause__ is not None


async def test_a_second_compaction_says_how_far_the_first_one_went(
    lone: KVClient, key_prefix: bytes
) -> None:
    revisions = await write(lone, key_prefix, 9)
    await lone.compact(revisions[6])
    for again in (revisions[6], revisions[6] - 1, 1):
        with pytest.raises(RevisionCompactedError) as caught:
            await lone.compact(again)
        assert caught.value.compacted_revision == revisions[6]
        assert caught.value.method == "KV.Compact"


async def test_what_will_be_cannot_be_compacted(lone: KVClient, key_prefix: bytes) -> None:
    (revision,) = await write(lone, key_prefix, 1)
    with pytest.raises(FutureRevisionError) as caught:
        await lone.compact(revision + 1)
    assert isinstance(caught.value, OutOfRangeError)
    assert caught.value.definite
    got = await lone.get(key_prefix, revision=revision)
    assert got is not None


async def test_the_newest_revision_can_be_compacted(lone: KVClient, key_prefix: bytes) -> None:
    revisions = await write(lone, key_prefix, 3)
    await lone.compact(revisions[-1])
    with pytest.raises(RevisionCompactedError) as caught:
        await lone.get(key_prefix, revision=1)
    assert caught.value.compacted_revision == revisions[-1]
    got = await lone.get(key_prefix, revision=revisions[-1])
    assert got is not None
    assert got.value == b"2"
