"""`KeyspaceClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

import etcd_client
from etcd_sync._connected import Connected
from etcd_sync.cache import CacheClient
from etcd_sync.kv import KVClient
from etcd_sync.lease import LeaseClient
from etcd_sync.locks import LockClient, ServerLockClient
from etcd_sync.recipes import RecipeClient
from etcd_sync.watch import WatchClient

__all__ = ["KeyspaceClient"]


class KeyspaceClient(
    Connected,
    KVClient,
    WatchClient,
    LeaseClient,
    LockClient,
    ServerLockClient,
    RecipeClient,
    CacheClient,
):
    """A client of a keyspace: all services of etcd that have keys.

    `Client` is one of the whole store, and `Client.namespace` returns one of the keys with a
    prefix. Both use the same connections, and closing a client of a namespace closes nothing.
    """

    _inner: etcd_client.KeyspaceClient

    def namespace(self, prefix: bytes) -> KeyspaceClient:
        r"""Return a client whose keys all begin with `prefix`, which its callers never see.

        `namespace(b"app/").put(b"k", b"v")` sets the key `app/k`, and a watch of `b"k"` in the
        namespace shows its event with the key `k`. That holds for everything with keys: reads,
        writes, transactions, scans, bulk operations, watches, the keys of leases, locks, elections,
        recipes and caches. A range cannot reach outside; `b"\0"` ends it at the end of the
        namespace. In a namespace of a namespace the prefixes are joined.

        Leases, revisions and `compact` are those of the whole store. Members, maintenance and users
        have no keys and are not in a namespace.

        The new client uses the connections of this one, so this one must stay open, and closing the
        new one closes nothing. After this client was closed and opened again, make another one. All
        clients of one namespace share their watch and keep-alive streams. Raises `ValueError` for
        an empty prefix.
        """
        return KeyspaceClient._of(self._portal, self._portal.call(self._inner.namespace, prefix))

    def coalescing(self) -> KeyspaceClient:
        """Return a client whose concurrent gets, puts and deletions share transactions.

        See `KVClient.coalescing`. The new client has all services of this one, and its connections:
        closing it closes nothing.
        """
        return KeyspaceClient._of(self._portal, self._portal.call(self._inner.coalescing))

    @property
    def key_prefix(self) -> bytes:
        """The prefix that all keys of this client have in the store; empty for the whole store."""
        return self._inner.key_prefix

    def connect(self) -> None:
        """Find a member that answers, and fetch the token."""
        self._portal.run(self._inner.connect)

    def close(self) -> None:
        """Close nothing: the connections belong to the `Client` that made them.

        Watches and keep-alives of this client continue until they are ended, or until that client
        is closed.
        """
        self._portal.run(self._inner.close)
