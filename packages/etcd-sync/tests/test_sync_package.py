"""The package etcd-sync."""

from __future__ import annotations

import etcd_sync


def test_every_public_name_is_there() -> None:
    assert [name for name in etcd_sync.__all__ if not hasattr(etcd_sync, name)] == []
