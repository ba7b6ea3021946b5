"""One connection through a fault proxy: two ends, and between them a flow each way.

All of it is plain callbacks of the event loop; there is no task that could be left behind.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import random
import socket
import struct
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from ._http2 import PREFACE, HeadersFinder

__all__ = ["DIRECTIONS", "Counters", "Direction", "Faults", "Link"]

Direction: TypeAlias = Literal["to_client", "to_server"]
DIRECTIONS: Final[tuple[Direction, Direction]] = ("to_client", "to_server")

# A flow that holds more than this stops to read, and the sender feels it.
_HELD_AT_MOST = 1 << 20
# The end of a stream and the reset of a connection travel in order behind the bytes.
_EOF: Final = "eof"
_RESET: Final = "reset"


@dataclasses.dataclass
class Counters:
    """What has gone through a proxy since it was made."""

    accepted: int = 0
    """Connections that clients have opened."""
    open: int = 0
    """Connections that are open now."""
    to_server: int = 0
    """Bytes handed on to the server."""
    to_client: int = 0
    """Bytes handed on to clients."""
    dropped: int = 0
    """Bytes thrown away, both directions together."""


@dataclasses.dataclass
class Faults:
    """What a proxy does to all its connections at present; shared by all of them."""

    counters: Counters
    changed: Callable[[], None]
    """Called after every change of the counters."""
    holes: set[Direction] = dataclasses.field(default_factory=set)
    drops: set[Direction] = dataclasses.field(default_factory=set)
    delays: dict[Direction, tuple[float, float]] = dataclasses.field(default_factory=dict)
    allowances: dict[Direction, int] = dataclasses.field(default_factory=dict)
    reply_killed: asyncio.Future[None] | None = None
    """Set while the next reply is to be killed."""


class _End(asyncio.Protocol):
    """One socket of a link."""

    def __init__(self, link: Link, direction: Direction) -> None:
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self.may_write = True
        self._link = link
        # The direction in which travels what this end reads.
        self._direction = direction

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._link.joined(self)

    def data_received(self, data: bytes) -> None:
        self._link.flows[self._direction].feed(data)

    def eof_received(self) -> bool:
        self._link.flows[self._direction].feed(_EOF)
        return True  # Half-open is a state of its own: the other direction goes on.

    def pause_writing(self) -> None:
        self.may_write = False
        self._link.adjust()

    def resume_writing(self) -> None:
        self.may_write = True
        self._link.adjust()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        self._link.lost(self._direction, reset=error is not None)

    def abort(self, *, reset: bool) -> None:
        """Close at once, unsent bytes thrown away; with a reset (RST) or a plain end (FIN)."""
        if self.transport is None or self.gone:
            return
        if reset:
            raw: socket.socket = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Flow:
    """The bytes of one direction, held back, delayed, dropped or handed on."""

    def __init__(self, link: Link, direction: Direction) -> None:
        self._link = link
        self._direction = direction
        self._queue: collections.deque[tuple[float, bytes | str]] = collections.deque()
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reading = True
        # No more is handed on: the target was told the end, or is gone.
        self.ended = False
        # Bytes are missing from the middle: the stream is of no use to the target any more.
        self.torn = False
        self.allowance = link.faults.allowances.get(direction)

    def feed(self, item: bytes | str) -> None:
        """Take what the source has sent."""
        if isinstance(item, bytes):
            if self.ended or self._direction in self._link.faults.drops:
                self.torn = True
                self._count(dropped=len(item))
                return
            self._held += len(item)
        delay, jitter = self._link.faults.delays.get(self._direction, (0.0, 0.0))
        due = self._link.loop.time() + max(0.0, delay + random.uniform(-jitter, jitter))
        if self._queue:
            due = max(due, self._queue[-1][0])  # Jitter never changes the order.
        self._queue.append((due, item))
        self.pump()

    def pump(self) -> None:
        """Hand on what may be handed on now, and see to it that the rest follows in time."""
        self._stop_timer()
        target = self._link.target(self._direction)
        while self._queue and not self.ended and target.transport is not None:
            if self._direction in self._link.faults.holes:
                break
            due, item = self._queue[0]
            if due > self._link.loop.time():
                self._timer = self._link.loop.call_at(due, self.pump)
                break
            if not isinstance(item, bytes):
                self._queue.popleft()
                self._end(reset=item == _RESET)
                break
            if not target.may_write:
                break
            part = item if self.allowance is None else item[: self.allowance]
            if not part:
                break  # Stalled.
            self._queue.popleft()
            if len(part) < len(item):
                self._queue.appendleft((due, item[len(part) :]))
            self._held -= len(part)
            if self.allowance is not None:
                self.allowance -= len(part)
            target.transport.write(part)
            self._count(moved=len(part))
        self._adjust_reading()

    def end(self) -> None:
        """Tell the target the end of the stream now; what is held or follows is thrown away."""
        if not self.ended:
            self._end(reset=False)

    def discard(self) -> None:
        """The target is gone: there is no one to hand anything on to."""
        self.ended = True
        self._stop_timer()
        if self._held:
            self._count(dropped=self._held)
        self._held = 0
        self._queue.clear()

    def _end(self, *, reset: bool) -> None:
        self.discard()
        if reset:
            self._link.abort(reset=True)
        else:
            self.tell_end()

    def tell_end(self) -> None:
        """Send the end of the stream to a target that is connected."""
        target = self._link.target(self._direction)
        if target.transport is not None and not target.gone:
            # It may be gone without anybody having heard of it yet (ENOTCONN).
            with contextlib.suppress(OSError):
                target.transport.write_eof()
            self._link.close_if_ended()

    def _adjust_reading(self) -> None:
        source = self._link.source(self._direction)
        if source.transport is None or source.gone:
            return
        reading = self._held <= _HELD_AT_MOST
        if reading != self._reading:
            self._reading = reading
            if reading:
                source.transport.resume_reading()
            else:
                source.transport.pause_reading()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _count(self, *, moved: int = 0, dropped: int = 0) -> None:
        counters = self._link.faults.counters
        counters.dropped += dropped
        if self._direction == "to_client":
            counters.to_client += moved
        else:
            counters.to_server += moved
        self._link.faults.changed()


class ReplyFlow(Flow):
    """The flow to the client, which knows where a reply begins and can kill it there."""

    def __init__(self, link: Link, direction: Direction) -> None:
        super().__init__(link, direction)
        self._headers: HeadersFinder | None = None
        self._looked = False

    def feed(self, item: bytes | str) -> None:
        if isinstance(item, bytes):
            begin = self._find_reply(item)
            killed = self._link.faults.reply_killed
            if killed is not None and begin is not None:
                self._link.faults.reply_killed = None
                self._count(dropped=len(item) - begin)
                if begin:
                    super().feed(item[:begin])
                self._link.abort(reset=True)
                if not killed.done():
                    killed.set_result(None)
                return
        super().feed(item)

    def _find_reply(self, data: bytes) -> int | None:
        if not self._looked:
            self._looked = True
            self._headers = HeadersFinder() if self._link.speaks_http2 else None
        return 0 if self._headers is None else self._headers.feed(data)


class RequestFlow(Flow):
    """The flow to the server, whose first bytes tell who speaks, and which protocol."""

    def __init__(self, link: Link, direction: Direction) -> None:
        super().__init__(link, direction)
        self._unread = b""

    def feed(self, item: bytes | str) -> None:
        if not isinstance(item, bytes):
            super().feed(item)
            return
        self._link.look_at_request(item)
        if self._link.choose is not None:
            # Held back until it is known which faults are this connection's.
            self._unread += item
            chosen = self._link.choose(self._unread)
            if chosen is None:
                return
            item, self._unread = self._unread, b""
            self._link.choose = None
            self._link.faults = chosen
        super().feed(item)


class Link:
    """A client's connection and the server's that answers it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        faults: Faults,
        ended: Callable[[Link], None],
        choose: Callable[[bytes], Faults | None] | None = None,
    ) -> None:
        self.loop = loop
        self.faults = faults
        self.choose = choose
        """Tells by its first bytes which faults are this link's, None while it cannot tell."""
        self.client = _End(self, "to_server")
        self.server = _End(self, "to_client")
        self.flows: dict[Direction, Flow] = {
            "to_server": RequestFlow(self, "to_server"),
            "to_client": ReplyFlow(self, "to_client"),
        }
        self._ended = ended
        self.over = False
        """Whether it was closed."""
        self._preface = b""

    @property
    def speaks_http2(self) -> bool:
        """Whether the client has begun as HTTP/2 has to; what is encrypted has not."""
        return bool(self._preface) and PREFACE.startswith(self._preface)

    def look_at_request(self, data: bytes) -> None:
        """Remember how the client begins."""
        missing = len(PREFACE) - len(self._preface)
        if missing:
            self._preface += data[:missing]

    def source(self, direction: Direction) -> _End:
        """The end from which this direction comes."""
        return self.client if direction == "to_server" else self.server

    def target(self, direction: Direction) -> _End:
        """The end to which this direction goes."""
        return self.server if direction == "to_server" else self.client

    def joined(self, end: _End) -> None:
        """One end is connected; what waited for it can go on."""
        if self.over:
            end.abort(reset=True)
            return
        for flow in self.flows.values():
            if flow.ended:
                flow.tell_end()  # Half-closed before there was anyone to tell.
        self.adjust()

    def adjust(self) -> None:
        """The faults or an end have changed: let both flows look again at what they hold."""
        for flow in self.flows.values():
            flow.pump()

    def lost(self, direction: Direction, *, reset: bool) -> None:
        """The end from which this direction came is gone."""
        back: Direction = "to_client" if direction == "to_server" else "to_server"
        self.flows[back].discard()
        if not reset:
            self.close_if_ended()
        elif self.flows[direction].ended:
            self.abort(reset=True)
        else:
            self.flows[direction].feed(_RESET)

    def close_if_ended(self) -> None:
        """Close both ends once both directions have been told their end."""
        if not all(flow.ended for flow in self.flows.values()):
            return
        for end in (self.client, self.server):
            if end.transport is not None and not end.gone:
                end.transport.close()
        self._finish()

    def abort(self, *, reset: bool) -> None:
        """Close both ends at once."""
        for flow in self.flows.values():
            flow.discard()
        for end in (self.client, self.server):
            end.abort(reset=reset)
        self._finish()

    def _finish(self) -> None:
        if not self.over:
            self.over = True
            self._ended(self)
