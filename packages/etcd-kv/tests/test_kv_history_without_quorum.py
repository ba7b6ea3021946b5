"""Serializable reads at a compacted revision, on a member without a quorum."""

from __future__ import annotations

import pytest

from etcd_channel import Channel, RevisionCompactedError
from etcd_kv import KVClient
from etcd_testing import EtcdCluster

TIMEOUT = 30.0
"""Seconds for each call. None takes that long, unless it waits for a quorum."""


async def _scanned(kv: KVClient, revision: int, *, reverse: bool) -> None:
    scan = kv.scan_prefix(
        b"", revision=revision, serializable=True, reverse=reverse, timeout=TIMEOUT
    )
    async for _ in scan:
        pass


async def _read_many(kv: KVClient, revision: int) -> None:
    async for _ in kv.scan_many([b"k"], revision=revision, serializable=True, timeout=TIMEOUT):
        pass


async def test_a_serializable_read_finds_the_compacted_revision_without_a_quorum() -> None:
    async with EtcdCluster() as cluster:
        member = cluster[0]
        async with Channel(member.endpoint) as channel:
            kv = KVClient(channel)
            revision = 0
            for number in range(9):
                revision = (await kv.put(b"k", b"%d" % number)).header.revision
            await kv.compact(revision)
            for other in (cluster[1], cluster[2]):
                await other.kill()
            get = kv.transactions.get
            for read in (
                kv.get(b"k", revision=2, serializable=True, timeout=TIMEOUT),
                kv.get_prefix(b"k", revision=2, serializable=True, timeout=TIMEOUT),
                kv.transaction([], [get(b"k", revision=2, serializable=True)], timeout=TIMEOUT),
                _scanned(kv, 2, reverse=False),
                _scanned(kv, 2, reverse=True),
                _read_many(kv, 2),
            ):
                with pytest.raises(RevisionCompactedError) as caught:
                    await read
                assert caught.value.compacted_revision == revision
                assert "or a later one" not in str(caught.value)
