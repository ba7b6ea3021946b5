"""The connections between the members of a cluster, each of which can be broken separately."""

from __future__ import annotations

import asyncio
import re

from ._faults import DIRECTIONS, Faults
from ._link import Link
from .proxy import FaultProxy

__all__ = ["PeerProxy"]

# The header with the sender's member ID; etcd sends it on every connection that carries Raft, and
# each of those belongs to one member (server/etcdserver/api/rafthttp).
_SENDER = re.compile(rb"\r\nX-Server-From: *([0-9a-f]+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_HEAD_AT_MOST = 1 << 16


class PeerProxy(FaultProxy):
    """A proxy in front of the peer port of one member that distinguishes the other members.

    Without that a partition would have gaps: to send, a member waits for the other one to open
    the connection, and falls back to one that it opens itself.
    """

    def __init__(self, upstream: str, *, host: str) -> None:
        super().__init__(upstream, host=host)
        self._by_sender: dict[bytes, Faults] = {}

    def open(self) -> None:
        """Listen, on the running event loop."""
        self._begin()

    def part_from(self, senders: set[str], *, everyone: bool) -> None:
        """Be a black hole for the members with these IDs in hexadecimal, and for no other.

        `everyone` means that those are all other members: then connections without an ID are
        blocked as well, such as those of etcd's peer probes.
        """
        for sender in senders:
            self._faults_of(sender.encode())
        for known, faults in self._by_sender.items():
            faults.holes = set(DIRECTIONS) if known.decode() in senders else set()
        self._faults.holes = set(DIRECTIONS) if everyone else set()
        for link in list(self._links):
            link.adjust()

    def _faults_of(self, sender: bytes) -> Faults:
        return self._by_sender.setdefault(sender, Faults(self.counters, self._changed))

    def _make_link(self, loop: asyncio.AbstractEventLoop) -> Link:
        return Link(loop, self._faults, self._ended, self._choose)

    def _choose(self, head: bytes) -> Faults | None:
        end = head.find(_HEAD_END)
        if end < 0 and len(head) < _HEAD_AT_MOST:
            return None
        sender = _SENDER.search(head[: end if end >= 0 else None])
        return self._faults if sender is None else self._faults_of(sender[1])
