"""The options that all bulk operations have in common."""

from __future__ import annotations

from etcd_channel import ChannelLike
from etcd_channel.arguments import check_callback, check_int, check_timeout
from etcd_kv._bulk_limits import BulkLimits
from etcd_kv.bulk_results import Progress

__all__ = ["BulkOptions"]


class BulkOptions:
    """The checked options of one bulk operation; see `Bulk`."""

    def __init__(
        self,
        channel: ChannelLike,
        in_flight: int,
        max_txn_ops: int | None,
        max_request_bytes: int | None,
        progress: Progress | None,
        timeout: float | None,
    ) -> None:
        self.limits = BulkLimits(channel, max_txn_ops, max_request_bytes)
        self.in_flight = check_int("in_flight", in_flight, minimum=1)
        self.progress: Progress | None = (
            None if progress is None else check_callback("progress", progress)
        )
        self.timeout = None if timeout is None else check_timeout("timeout", timeout)
