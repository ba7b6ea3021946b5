"""What all lease clients of a channel share: the knowledge of leases, and one keep-alive stream."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable

from etcd_channel import Channel, ClientError, ConnectionTimeoutError, Stream
from etcd_lease._clock import now
from etcd_lease._life import Ending, Life
from etcd_lease._schedule import Schedule
from etcd_lease.pb import lease_pb2 as pb
from etcd_lease.rpcs import KEEP_ALIVE

__all__ = ["Keeper"]


class Keeper:
    """Knows the lives of a channel's leases, and keeps those alive that are to be.

    The schedule decides, the channel's stream sends; the stream is opened with the first
    lease that is to be kept and stays until the channel is closed.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lives: weakref.WeakValueDictionary[int, Life] = weakref.WeakValueDictionary()
        self._schedule = Schedule(len(channel.endpoints))
        self._stream: Stream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # By the clock of leases, not that of the loop.
        self._timer_at = 0.0

    # The lives -------------------------------------------------------------------------

    def begin(self, lease_id: int, ttl: int, sent: float) -> Life:
        """Take note of a grant, sent at `sent`."""
        self.lost(lease_id, sent, Ending("the server had it no more, and granted its id anew"))
        life = self._lives[lease_id] = Life(lease_id, ttl, sent)
        life.renewed(sent, ttl, now())
        return life

    def life(self, lease_id: int, ttl: int) -> Life:
        """Return what is known of a lease that is not lost, be it nothing."""
        life = self._lives.get(lease_id)
        if life is None or life.lost(now()) is not None:
            life = self._lives[lease_id] = Life(lease_id, ttl, now())
        return life

    def renewed(self, lease_id: int, sent: float, ttl: int) -> None:
        """Take the answer to a request to renew a lease, which was sent at `sent`."""
        life = self._lives.get(lease_id)
        if life is not None and life.since <= sent:
            life.renewed(sent, ttl, now())

    def lost(self, lease_id: int, sent: float, ending: Ending) -> None:
        """Take note of what was found by a request sent at `sent`: a lease is lost."""
        life = self._lives.get(lease_id)
        if life is not None and life.since <= sent:
            self._schedule.release(lease_id)
            life.lose(ending)

    # Keeping them ----------------------------------------------------------------------

    def keep(self, life: Life) -> None:
        """Keep a lease alive whose deadline is known, until it is lost or released."""
        if self._stream is None:
            self._stream = self._channel.stream(KEEP_ALIVE, self)
        life.kept = True
        self._schedule.keep(life, now())
        self._work()

    def release(self, life: Life) -> None:
        """Keep a lease alive no longer."""
        life.kept = False
        self._schedule.release(life.id)

    def _work(self) -> None:
        """Do what is due, and come back when something is due again."""
        self._stop_timer()
        due = self._schedule.due(now())
        stream = self._stream
        if stream is not None:
            for lease_id in due.send:
                stream.send(pb.LeaseKeepAliveRequest(ID=lease_id))
            if due.give_up:
                stream.reopen(ConnectionTimeoutError("keep-alives were not answered"))
        self._set_timer()

    def _set_timer(self) -> None:
        wake = self._schedule.wake_at()
        if self._timer is not None:
            if wake is None or wake >= self._timer_at:
                return  # It may come too early, never too late.
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
        due = self._schedule.opened(now())
        self._set_timer()
        return [pb.LeaseKeepAliveRequest(ID=lease_id) for lease_id in due]

    def received(self, response: pb.LeaseKeepAliveResponse) -> None:
        self._schedule.answered(response.ID, response.TTL, now())
        self._set_timer()

    def broken(self, error: ClientError) -> None:
        self._schedule.broken()

    def ended(self, error: ClientError) -> None:
        self._stream = None
        self._schedule.end(Ending(f"nothing keeps it alive any more: {error}", cause=error))
        self._stop_timer()
