"""`KeyspaceClient`: the services that have keys, on the whole store or in a namespace."""

from __future__ import annotations

from etcd_cache import CacheClient
from etcd_channel import NamespaceView
from etcd_channel.base_classes import Connected
from etcd_channel.namespace import key_prefix_of
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_lock import LockClient, ServerLockClient
from etcd_recipes import RecipeClient
from etcd_watch import WatchClient

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
    prefix. `channel` is a channel, a view of one, or a client, whose channel is used. The client
    does not own it: closing the client closes nothing.
    """

    def namespace(self, prefix: bytes) -> KeyspaceClient:
        r"""Return a client whose keys all begin with `prefix`, which its callers never see.

        `namespace(b"app/").put(b"k", b"v")` sets the key `app/k`, and a watch of `b"k"` in the
        namespace shows its event with the key `k`. That holds for everything with keys: reads,
        writes, transactions, scans, bulk operations, watches, the keys of leases, locks, elections,
        recipes and caches. A range cannot reach outside; `b"\0"` ends it at the end of the
        namespace. In a namespace of a namespace the prefixes are joined.

        Leases, revisions and `compact` are those of the whole store. Members, maintenance and users
        have no keys and are not in a namespace.

        The new client uses the channel of this one, so this one must stay open, and closing the new
        one closes nothing. After this client was closed and opened again, make another one. All
        clients of one namespace share their watch and keep-alive streams. Raises `ValueError` for
        an empty prefix.
        """
        return KeyspaceClient(NamespaceView.of(self._channel, prefix))

    def coalescing(self) -> KeyspaceClient:
        """Return a client whose concurrent gets, puts and deletions share transactions.

        See `KVClient.coalescing`. The new client has all services of this one, on a view of its
        channel: closing it closes nothing.
        """
        return KeyspaceClient(KVClient.coalescing(self))

    @property
    def key_prefix(self) -> bytes:
        """The prefix that all keys of this client have in the store; empty for the whole store."""
        return key_prefix_of(self._channel)

    async def connect(self) -> None:
        """Find a member that answers, and fetch the token; see `Channel.connect`."""
        await self._channel.connect()

    async def close(self) -> None:
        """Close nothing: the channel belongs to the client that made it.

        Watches and keep-alives of this client continue until they are ended, or until the channel
        is closed.
        """

    def __repr__(self) -> str:
        prefix = self.key_prefix
        end = f", prefix={prefix!r})" if prefix else ")"
        return f"{super().__repr__()[:-1]}{end}"
