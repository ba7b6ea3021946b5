"""What the methods of `Bulk` need; imported by their first call, not with the package."""

from __future__ import annotations

from etcd_kv._bulk_cutters import DeleteCutter, GetCutter, PutCutter
from etcd_kv._bulk_options import BulkOptions
from etcd_kv._bulk_reads import BulkReader
from etcd_kv._bulk_source import BulkSource
from etcd_kv._bulk_writes import BulkWriter

__all__ = [
    "BulkOptions",
    "BulkReader",
    "BulkSource",
    "BulkWriter",
    "DeleteCutter",
    "GetCutter",
    "PutCutter",
]
