"""A cancelled task leaves no partial file and no operation, however often it is cancelled."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from etcd_cluster import MaintenanceClient
from etcd_testing import cancel_everywhere


async def test_a_cancelled_snapshot_leaves_no_partial_file(
    maintenance: MaintenanceClient, tmp_path: Path
) -> None:
    path = tmp_path / "etcd.db"
    path.write_bytes(b"before")

    async def snapshot() -> None:
        await maintenance.snapshot(path)

    async def what_was_there_or_a_whole_one() -> None:
        assert os.listdir(tmp_path) == [path.name]
        found = path.read_bytes()
        # The last 32 bytes of a snapshot are the checksum of the others.
        is_whole = hashlib.sha256(found[:-32]).digest() == found[-32:]
        assert found == b"before" or is_whole
        path.write_bytes(b"before")

    assert await cancel_everywhere(snapshot, what_was_there_or_a_whole_one)


async def test_a_cancelled_defragmentation_of_a_cluster_ends(
    maintenance: MaintenanceClient,
) -> None:
    async def defragment() -> None:
        await maintenance.defragment_cluster()

    async def serves_on() -> None:
        # The server completes a cancelled defragmentation, and answers calls after it.
        await maintenance.status()

    assert await cancel_everywhere(defragment, serves_on)
