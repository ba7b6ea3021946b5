"""What only a watch raises."""

from __future__ import annotations

from etcd_channel import ClientError

__all__ = ["ClusterChangedError", "WatchTimeoutError"]


class ClusterChangedError(ClientError):
    """The endpoints serve another cluster now: its history is not the one that was watched.

    So it is after a restore, by `etcdutl snapshot restore --initial-cluster-token=…`. What was
    read of the keys is outdated: read them again, and watch from there.
    """


class WatchTimeoutError(ClientError):
    """A watch was not created in time, or no event came in time.

    The last break of the connection, if there was one, is the `__cause__`.
    """
