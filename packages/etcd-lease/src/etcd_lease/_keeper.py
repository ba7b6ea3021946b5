"""The states of a channel's leases, and its keep-alive streams, shared by all lease clients."""

from __future__ import annotations

import weakref

from etcd_channel import ChannelLike
from etcd_lease._clock import now
from etcd_lease._keep_alive_stream import KeepAliveStream
from etcd_lease._state import LeaseState, LossReason

__all__ = ["LeaseKeeper"]


class LeaseKeeper:
    """Holds the states of a channel's leases, and assigns those to keep alive to streams.

    A lease stays on its stream; a new one is added to the first stream with room.
    """

    def __init__(self, channel: ChannelLike) -> None:
        self._channel = channel
        self._states: weakref.WeakValueDictionary[int, LeaseState] = weakref.WeakValueDictionary()
        self._streams: list[KeepAliveStream] = []

    # The states -------------------------------------------------------------------------

    def begin(self, lease_id: int, ttl: int, sent: float) -> LeaseState:
        """Return a new state for an acknowledged grant whose request was sent at `sent`."""
        before = self._states.get(lease_id)
        if before is not None and before.created_at <= sent:
            before.granted_again = True
        self.lost(
            lease_id,
            sent,
            LossReason("the server no longer had it, and granted its id again"),
        )
        state = self._states[lease_id] = LeaseState(lease_id, ttl, sent)
        state.renewed(sent, ttl, now())
        return state

    def state(self, lease_id: int, ttl: int) -> LeaseState:
        """Return the state of a lease; a new state if there is none, or if the lease is lost."""
        state = self._states.get(lease_id)
        if state is None or state.lost(now()) is not None:
            state = self._states[lease_id] = LeaseState(lease_id, ttl, now())
        return state

    def renewed(self, lease_id: int, sent: float, ttl: int) -> None:
        """Record that the server renewed a lease by a request sent at `sent`."""
        state = self._states.get(lease_id)
        if state is not None and state.created_at <= sent:
            state.renewed(sent, ttl, now())

    def lost(self, lease_id: int, sent: float, reason: LossReason) -> None:
        """Record that a lease is lost, according to a request sent at `sent`."""
        state = self._states.get(lease_id)
        if state is not None and state.created_at <= sent:
            self._release(lease_id)
            state.lose(reason)

    # Keep-alive ------------------------------------------------------------------------

    def keep(self, state: LeaseState) -> None:
        """Keep a lease alive until it is lost or released; its deadline must be known."""
        state.kept_alive = True
        holder = self._stream_of(state.id) or self._stream_with_room()
        holder.keep(state)

    def release(self, state: LeaseState) -> None:
        """Stop keeping a lease alive."""
        state.kept_alive = False
        stream = self._stream_of(state.id)
        if stream is not None and stream.keeps(state):
            stream.release(state.id)

    def _release(self, lease_id: int) -> None:
        if stream := self._stream_of(lease_id):
            stream.release(lease_id)

    def _stream_of(self, lease_id: int) -> KeepAliveStream | None:
        return next((stream for stream in self._streams if lease_id in stream), None)

    def _stream_with_room(self) -> KeepAliveStream:
        for stream in self._streams:
            if stream.has_room:
                return stream
        stream = KeepAliveStream(self._channel, self._streams.remove)
        self._streams.append(stream)
        return stream
