"""One connection through a fault proxy: two ends, and a flow in each direction.

It uses only callbacks of the event loop, so it leaves no task behind.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

from ._faults import Direction, Faults
from ._http2 import PREFACE, HeadersFinder

__all__ = ["Link"]

# A flow that holds more than this stops reading, which slows the sender down.
_HELD_AT_MOST = 1 << 20
# The end of a stream and the reset of a connection are queued in order behind the bytes.
_EOF: Final = "eof"
_RESET: Final = "reset"


class _End(asyncio.Protocol):
    """One socket of a link."""

    def __init__(self, link: Link, direction: Direction) -> None:
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self.finished = False
        """Whether its peer sends no more: it has sent a FIN, or is gone."""
        self.may_write = True
        self._link = link
        # The direction of the bytes that this end reads.
        self._direction = direction

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked by its class: the transports of uvloop are no subclasses.
        self.transport = cast(asyncio.Transport, transport)
        self._link.joined(self)

    def data_received(self, data: bytes) -> None:
        self._link.received(self._direction, data)

    def eof_received(self) -> bool:
        self.finished = True
        self._link.received(self._direction, _EOF)
        return True  # Half-open: the other direction continues.

    def pause_writing(self) -> None:
        self.may_write = False
        self._link.adjust()

    def resume_writing(self) -> None:
        self.may_write = True
        self._link.adjust()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = self.finished = True
        self._link.lost(self._direction, reset=error is not None)

    def abort(self, *, reset: bool) -> None:
        """Close at once and discard unsent bytes; with a reset (RST) or a plain end (FIN)."""
        if self.transport is None or self.gone:
            return
        if reset:
            raw: socket.socket = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Flow:
    """The bytes of one direction: held, delayed, dropped or passed on."""

    def __init__(self, link: Link, direction: Direction) -> None:
        self._link = link
        self._direction = direction
        self._queue: collections.deque[tuple[float, bytes | str]] = collections.deque()
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reading = True
        # Nothing more is passed on: the target got the end, or is gone.
        self.ended = False
        # Bytes are missing in the middle: the target can no longer use the stream.
        self.torn = False
        self.allowance = link.faults.allowances.get(direction)

    def feed(self, item: bytes | str) -> None:
        """Take bytes or an end from the source."""
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
        """Pass on what may be passed on now, and schedule the rest."""
        self._stop_timer()
        target = self._link.target(self._direction)
        while self._queue and not self.ended and target.transport is not None:
            if target.transport.is_closing():
                # A write has failed, and `connection_lost` follows in the next iteration of the
                # loop: asyncio would log each further write.
                self.discard()
                break
            if self._direction in self._link.faults.holes:
                break
            due, item = self._queue[0]
            if due > self._link.loop.time():
                self._timer = self._link.loop.call_at(due, self.pump)
                break
            if self.allowance == 0:
                break  # Stalled: neither bytes nor an end.
            if not isinstance(item, bytes):
                self._queue.popleft()
                self._end(reset=item == _RESET)
                break
            if not target.may_write:
                break
            part = item if self.allowance is None else item[: self.allowance]
            self._queue.popleft()
            if len(part) < len(item):
                self._queue.appendleft((due, item[len(part) :]))
            self._held -= len(part)
            if self.allowance is not None:
                self.allowance -= len(part)
            target.transport.write(part)
            if target.transport.is_closing():
                self._count(dropped=len(part))
            else:
                self._count(moved=len(part))
        self._adjust_reading()

    def end(self) -> None:
        """Send the target the end of the stream now; discard held and later bytes."""
        if not self.ended:
            self._end(reset=False)

    def discard(self) -> None:
        """End the flow because its target is gone."""
        self.ended = True
        self.empty()

    def empty(self) -> None:
        """Discard the held bytes."""
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
            self.send_end()

    def send_end(self) -> None:
        """Send the end of the stream to a target that is connected."""
        target = self._link.target(self._direction)
        if target.transport is not None and not target.gone:
            # It may be gone although asyncio has not noticed yet (ENOTCONN).
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
    """The flow to the client, which finds the start of a reply and can kill it there."""

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
        if self._headers is None:
            return 0
        spared = self._link.spared
        return next(
            (found.offset for found in self._headers.feed(data) if found.stream > spared), None
        )


class RequestFlow(Flow):
    """The flow to the server, whose first bytes identify the sender and the protocol."""

    def __init__(self, link: Link, direction: Direction) -> None:
        super().__init__(link, direction)
        self._unread = b""

    def feed(self, item: bytes | str) -> None:
        if not isinstance(item, bytes):
            super().feed(item)
            return
        self._link.look_at_request(item)
        if self._link.choose is not None:
            # Held until the faults for this connection are known.
            self._unread += item
            chosen = self._link.choose(self._unread)
            if chosen is None:
                return
            item, self._unread = self._unread, b""
            self._link.choose = None
            self._link.faults = chosen
        super().feed(item)


class Link:
    """A connection from a client, and the one to the server for it."""

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
        """Chooses the faults of this link by its first bytes; None if they are too few."""
        self.client = _End(self, "to_server")
        self.server = _End(self, "to_client")
        self.flows: dict[Direction, Flow] = {
            "to_server": RequestFlow(self, "to_server"),
            "to_client": ReplyFlow(self, "to_client"),
        }
        self._ended = ended
        self.over = False
        """Whether it was closed."""
        self.forgotten = False
        """Whether nothing ever passes again, and neither side gets an end."""
        self.spared = 0
        """The newest request whose reply may not be killed, as the id of its HTTP/2 stream."""
        self._preface = b""
        self._requests = HeadersFinder()
        self._newest_request = 0

    @property
    def speaks_http2(self) -> bool:
        """Whether the client sent the HTTP/2 preface, unencrypted."""
        return bool(self._preface) and PREFACE.startswith(self._preface)

    def look_at_request(self, data: bytes) -> None:
        """Remember the first bytes of the client, and its newest request."""
        missing = len(PREFACE) - len(self._preface)
        if missing:
            self._preface += data[:missing]
            data = data[missing:]
        if data and self.speaks_http2:
            for found in self._requests.feed(data):
                self._newest_request = max(self._newest_request, found.stream)

    def spare_replies(self) -> None:
        """Exclude the replies to all requests so far from being killed."""
        self.spared = self._newest_request

    def source(self, direction: Direction) -> _End:
        """The end that this direction comes from."""
        return self.client if direction == "to_server" else self.server

    def target(self, direction: Direction) -> _End:
        """The end that this direction goes to."""
        return self.server if direction == "to_server" else self.client

    def received(self, direction: Direction, item: bytes | str) -> None:
        """Take bytes of this direction, or their end."""
        if not self.forgotten:
            self.flows[direction].feed(item)
        elif isinstance(item, bytes):
            # Read anyway: the end of a peer is only noticed after its bytes.
            self.faults.counters.dropped += len(item)
            self.faults.changed()
        else:
            self.close_if_left()

    def forget(self) -> None:
        """Pass nothing on again, discard held bytes, and close neither end."""
        self.forgotten = True
        for flow in self.flows.values():
            flow.empty()
        self.adjust()
        self.close_if_left()

    def joined(self, end: _End) -> None:
        """Continue when one end is connected."""
        if self.over:
            end.abort(reset=True)
            return
        for flow in self.flows.values():
            if flow.ended:
                flow.send_end()  # Half-closed before it was connected.
        self.adjust()

    def adjust(self) -> None:
        """Let both flows check their held bytes again after a change of the faults or an end."""
        for flow in self.flows.values():
            flow.pump()

    def lost(self, direction: Direction, *, reset: bool) -> None:
        """Handle the loss of the end that this direction came from."""
        back: Direction = "to_client" if direction == "to_server" else "to_server"
        self.flows[back].discard()
        if self.forgotten:
            self.close_if_left()
        elif not reset:
            self.close_if_ended()
        elif self.flows[direction].ended:
            self.abort(reset=True)
        else:
            self.flows[direction].feed(_RESET)

    def close_if_ended(self) -> None:
        """Close both ends when both directions have ended."""
        if not all(flow.ended for flow in self.flows.values()):
            return
        for end in (self.client, self.server):
            if end.transport is not None and not end.gone:
                end.transport.close()
        self._finish()

    def close_if_left(self) -> None:
        """Close the link if both sides have closed it."""
        if all(end.transport is None or end.finished for end in (self.client, self.server)):
            self.abort(reset=False)

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
