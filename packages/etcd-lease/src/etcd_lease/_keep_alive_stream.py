"""One stream of keep-alives: sends what its `Schedule` says, when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from etcd_channel import ChannelLike, ClientError, ConnectionTimeoutError, Metric, Stream
from etcd_lease._clock import now
from etcd_lease._schedule import Schedule
from etcd_lease._state import LeaseState, LossReason
from etcd_lease.pb import lease_pb2 as pb
from etcd_lease.rpcs import KEEP_ALIVE

__all__ = ["LEASES_PER_STREAM", "KeepAliveStream"]

LEASES_PER_STREAM = 500
"""How many leases a stream keeps alive before another one is opened. A stream reads and writes one
message at a time; with several, gRPC wakes the event loop once for many messages."""


_LEASE_MARGIN = Metric(
    "etcd.client.lease.margin",
    "s",
    "How long a lease would still have lived when the answer to its keep-alive arrived.",
    "histogram",
    (0.5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 120, 300, 600, 1_800, 3_600),
)


class KeepAliveStream:
    """Keeps some leases alive; the handler of an `etcd_channel.Stream`.

    The stream is opened for the first keep-alive that is due, which spares sessions that end before
    it. It stays open until the channel is closed, or until the server refuses it for a permanent
    reason: then all its leases are lost, and `on_end` is called.
    """

    def __init__(self, channel: ChannelLike, on_end: Callable[[KeepAliveStream], None]) -> None:
        self._on_end = on_end
        self._observer = channel.observer
        self._schedule = Schedule(lambda: len(channel.endpoints))
        self._timer: asyncio.TimerHandle | None = None
        # By `_clock.now`, not by the clock of the event loop.
        self._timer_at = 0.0
        self._stream: Stream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse] = channel.stream(
            KEEP_ALIVE, self
        )
        self._stream.hold()

    @property
    def has_room(self) -> bool:
        """Whether another lease can be added."""
        return len(self._schedule) < LEASES_PER_STREAM

    def __contains__(self, lease_id: int) -> bool:
        return lease_id in self._schedule

    def keeps(self, state: LeaseState) -> bool:
        """Whether it keeps this lease alive, and not another one with the same id."""
        return self._schedule.keeps(state)

    def keep(self, state: LeaseState) -> None:
        """Keep a lease alive until it is lost or released; its deadline must be known."""
        self._schedule.keep(state, now())
        self._work()

    def release(self, lease_id: int) -> None:
        """Stop keeping a lease alive, if this stream does."""
        self._schedule.release(lease_id)

    def _work(self) -> None:
        """Send the keep-alives that are due, and set the timer for the next ones."""
        self._stop_timer()
        if self._schedule.is_due(now()):
            self._stream.open()
        due = self._schedule.due(now())
        for lease_id in due.send:
            self._stream.send(pb.LeaseKeepAliveRequest(ID=lease_id))
        if due.give_up:
            self._stream.reopen(ConnectionTimeoutError("keep-alives were not answered"))
        self._set_timer()

    def _set_timer(self) -> None:
        wake = self._schedule.wake_at()
        if self._timer is not None:
            if wake is None or wake >= self._timer_at:
                return  # The timer may come too early, never too late.
            self._timer.cancel()
            self._timer = None
        if wake is not None:
            self._timer_at = wake
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(wake - now(), 0.0), self._work)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # The stream's handler --------------------------------------------------------------

    def opened(self) -> Iterable[pb.LeaseKeepAliveRequest]:
        due = self._schedule.opened(now(), through_proxy=self._stream.is_through_grpc_proxy)
        self._set_timer()
        return [pb.LeaseKeepAliveRequest(ID=lease_id) for lease_id in due]

    def received(self, response: pb.LeaseKeepAliveResponse) -> None:
        if self._observer.listening and response.TTL > 0:
            margin = self._schedule.margin(response.ID, now())
            if margin is not None:
                self._observer.measure(_LEASE_MARGIN, margin)
        self._schedule.answered(response.ID, response.TTL, now())
        self._set_timer()

    def broken(self, error: ClientError) -> None:
        self._schedule.broken()

    def ended(self, error: ClientError) -> None:
        self._on_end(self)
        self._schedule.end(LossReason(f"the keep-alive stream ended: {error}", cause=error))
        self._stop_timer()
