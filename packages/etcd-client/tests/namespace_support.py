"""Helpers of the tests of namespaces."""

from __future__ import annotations

from typing import Final

from etcd_client import KeyspaceClient

__all__ = ["HANG", "keys"]

HANG: Final = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""


async def keys(client: KeyspaceClient, prefix: bytes = b"") -> list[bytes]:
    """Return the keys with a prefix, as the client shows them."""
    return [kv.key for kv in await client.get_prefix(prefix)]
