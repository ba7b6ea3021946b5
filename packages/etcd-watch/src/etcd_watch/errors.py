"""What only a watch raises."""

from __future__ import annotations

from etcd_channel import ClientError

__all__ = ["WatchTimeoutError"]


class WatchTimeoutError(ClientError):
    """A watch was not created in time, or no event came in time.

    The last break of the connection, if there was one, is the `__cause__`.
    """
