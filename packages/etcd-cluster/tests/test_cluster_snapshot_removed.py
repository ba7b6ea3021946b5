"""Snapshots whose partial file is removed by another program while it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etcd_cluster import MaintenanceClient


def remove_partial(folder: Path) -> None:
    """Remove the partial file, as a program that cleans up folders does."""
    for partial in folder.glob(".etcd-snapshot-*"):
        partial.unlink()


async def test_the_error_that_ends_a_snapshot_is_raised(
    maintenance: MaintenanceClient, tmp_path: Path
) -> None:
    def progress(done: int, total: int) -> None:
        remove_partial(tmp_path)
        raise LookupError(done)

    with pytest.raises(LookupError):
        await maintenance.snapshot(tmp_path / "etcd.db", progress=progress)
    assert os.listdir(tmp_path) == []


async def test_an_error_names_the_path_and_not_the_partial_file(
    maintenance: MaintenanceClient, tmp_path: Path
) -> None:
    path = tmp_path / "etcd.db"
    with pytest.raises(FileNotFoundError) as caught:
        await maintenance.snapshot(path, progress=lambda done, total: remove_partial(tmp_path))
    assert caught.value.filename == str(path)
    assert ".partial" not in str(caught.value)
