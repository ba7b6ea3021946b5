"""What watches measure, for the views of a channel that receive reports."""

from __future__ import annotations

from etcd_channel import Metric

__all__ = ["PARKED_WATCHES", "WATCH_LAG"]

WATCH_LAG = Metric(
    "etcd.client.watch.lag",
    "{revision}",
    "Revisions from what a reader takes to the newest one that its stream has received.",
    "histogram",
    (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
)
PARKED_WATCHES = Metric(
    "etcd.client.watch.parked",
    "{watch}",
    "Watches that are canceled on the server until their readers have caught up.",
    "up_down_counter",
)
