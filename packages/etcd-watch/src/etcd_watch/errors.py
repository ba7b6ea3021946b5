"""Errors that only watches raise."""

from __future__ import annotations

from etcd_channel import ClientError

__all__ = ["ClusterChangedError", "WatchTimeoutError"]


class ClusterChangedError(ClientError):
    """The endpoints serve another cluster than the one that was watched, with another history.

    This happens after a restore by `etcdutl snapshot restore --initial-cluster-token=…`. Keys
    that were read before are outdated: read them again, and watch from that revision.
    """


class WatchTimeoutError(ClientError, TimeoutError):
    """The watch was not created, or no event came, within the timeout.

    The last error of the connection, if there was one, is the `__cause__`.
    """
