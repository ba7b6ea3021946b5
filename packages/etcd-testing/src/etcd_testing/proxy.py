"""A TCP proxy that does to connections what networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from types import TracebackType

from ._link import DIRECTIONS, Counters, Direction, Faults, Link
from ._ports import ReservedPort
from .errors import EtcdTestingError

__all__ = ["Counters", "Direction", "FaultProxy"]

_BACKLOG = 128


class FaultProxy:
    """Stands before `upstream` ("host:port") and passes everything on, until told otherwise.

    Used by `async with`, or by `start` and `close`, on the caller's event loop. All faults are
    plain methods, in effect when they return. Some are of the moment: `cut`, `reset`,
    `half_close`. The others last until `heal`, add up, and hold for the connections there are
    as well as for new ones; `direction` restricts some of them to one way, None means both.
    The bytes are never looked into but to find a reply, see `kill_next_reply`.
    """

    def __init__(self, upstream: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.upstream = upstream
        """Where new connections go, "host:port"; may be changed at any time."""
        _split(upstream)
        self.counters = Counters()
        """The connections and bytes so far."""
        self._host = host
        self._port = ReservedPort(host, port)
        self._faults = Faults(self.counters, self._changed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: socket.socket | None = None
        self._links: set[Link] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Future[None]] = set()
        self._healed = asyncio.Event()
        self._healed.set()

    @property
    def port(self) -> int:
        """The port that it listens on; the same for its whole life."""
        return self._port.port

    @property
    def endpoint(self) -> str:
        """The address for clients, "host:port"."""
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    async def start(self) -> None:
        """Listen."""
        self._begin()

    async def close(self) -> None:
        """Stop to listen, close all connections; idempotent."""
        if self._loop is None:
            self._port.release()
            return
        self._stop_listening()
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        self.cut()
        # The transports close their sockets in the loop's next round.
        await asyncio.sleep(0)
        self._port.release()
        if self._faults.reply_killed is not None:
            self._faults.reply_killed.cancel()

    async def __aenter__(self) -> FaultProxy:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def until(self, condition: Callable[[Counters], bool], *, timeout: float = 10.0) -> None:
        """Wait until the counters fulfil a condition, like `lambda c: c.accepted >= 2`.

        Raises TimeoutError, with the counters as they are, after `timeout` seconds.
        """

        async def wait() -> None:
            while not condition(self.counters):
                waiter = self._running_loop().create_future()
                self._waiting.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiting.discard(waiter)

        try:
            await asyncio.wait_for(wait(), timeout)
        except asyncio.TimeoutError as error:  # another class than TimeoutError before 3.11
            raise TimeoutError(f"not so after {timeout} s: {self.counters}") from error

    # Faults of the moment.

    def cut(self) -> int:
        """Close all connections as a process does that ends (FIN); how many there were."""
        return self._abort(self._links, reset=False)

    def reset(self) -> int:
        """Reset all connections (RST); how many there were."""
        return self._abort(self._links, reset=True)

    def half_close(self, direction: Direction = "to_client") -> int:
        """End one direction of all connections; the other goes on. How many there were."""
        _check(direction)
        links = list(self._links)
        for link in links:
            link.flows[direction].end()
        return len(links)

    # Faults that last until `heal`.

    def refuse(self) -> None:
        """Refuse new connections (ECONNREFUSED); those that are there stay, see `cut`."""
        self._running_loop()
        self._stop_listening()

    def black_hole(self, direction: Direction | None = None) -> None:
        """Hand nothing on and tell nobody, as when packets are lost: connections are accepted
        and stay open in silence, ends and resets are kept from the other side as well.

        Nothing is lost either: what is held goes on with `heal`.
        """
        self._faults.holes.update(_directions(direction))
        self._healed.clear()

    def delay(
        self, seconds: float, *, jitter: float = 0.0, direction: Direction | None = None
    ) -> None:
        """Hand everything on later by `seconds`, evenly spread by ± `jitter`, in order."""
        if seconds < 0 or jitter < 0:
            raise ValueError(f"seconds and jitter should be 0 or more, not {seconds} and {jitter}")
        for one in _directions(direction):
            self._faults.delays[one] = (seconds, jitter)

    def stall_after(self, size: int, *, direction: Direction | None = None) -> None:
        """Hand on `size` bytes more of each connection, then hold the rest, in silence."""
        if size < 0:
            raise ValueError(f"size should be 0 or more, not {size}")
        for one in _directions(direction):
            self._faults.allowances[one] = size
            for link in self._links:
                link.flows[one].allowance = size

    def freeze(self) -> int:
        """Hand nothing more on of the connections that are there, and tell nobody, as when a
        firewall has forgotten them; new ones are served. How many there were.

        What is held goes on with `heal`.
        """
        links = list(self._links)
        for link in links:
            for flow in link.flows.values():
                flow.allowance = 0
        return len(links)

    def drop(self, direction: Direction = "to_client") -> None:
        """Throw away what comes in this direction: requests arrive, replies do not.

        `heal` resets the connections that have lost bytes: they cannot be whole again.
        """
        _check(direction)
        self._faults.drops.add(direction)

    def kill_next_reply(self) -> asyncio.Future[None]:
        """Let requests through, and reset the connection as soon as a reply to one arrives.

        The reply is thrown away, whatever precedes it is handed on. It happens once; the future
        is done when it has, and is cancelled by `heal` and `close`. In plain HTTP/2 a reply is
        the HEADERS frame with which a server answers a call, so that settings, pings and window
        updates do not count, nor the later messages of a stream; in all else it is any byte at
        all, so with TLS it should be called while the connection is quiet.
        """
        if self._faults.reply_killed is None:
            self._faults.reply_killed = self._running_loop().create_future()
        return self._faults.reply_killed

    def heal(self) -> None:
        """End all faults that last; what was held goes on, new connections are taken again."""
        faults = self._faults
        faults.holes.clear()
        faults.drops.clear()
        faults.delays.clear()
        faults.allowances.clear()
        if faults.reply_killed is not None:
            faults.reply_killed.cancel()
            faults.reply_killed = None
        self._abort([link for link in self._links if self._is_torn(link)], reset=True)
        for link in list(self._links):
            for flow in link.flows.values():
                flow.allowance = None
            link.adjust()
        self._healed.set()
        if self._loop is not None and self._listener is None:
            self._listen()

    # How it works.

    @staticmethod
    def _is_torn(link: Link) -> bool:
        return any(flow.torn and not flow.ended for flow in link.flows.values())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise EtcdTestingError("this proxy was not started; say `async with` or `start()`")
        return self._loop

    def _begin(self) -> None:
        if self._loop is not None:
            raise EtcdTestingError("this proxy was started before")
        self._loop = asyncio.get_running_loop()
        self._listen()

    def _listen(self) -> None:
        loop = self._running_loop()
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with contextlib.ExitStack() as undo:
            listener = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind((self._host, self.port))
            listener.listen(_BACKLOG)
            undo.pop_all()
        self._listener = listener
        loop.add_reader(listener, self._accept, listener)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # The client has thought better of it.
        accepted.setblocking(False)
        link = self._make_link(self._running_loop())
        self._links.add(link)
        self.counters.accepted += 1
        self.counters.open += 1
        task = self._running_loop().create_task(self._open(link, accepted))
        self._opening.add(task)

        def opened(task: asyncio.Task[None]) -> None:
            self._opening.discard(task)
            if link.client.transport is None:
                accepted.close()  # Cancelled before it had begun.

        task.add_done_callback(opened)
        self._changed()

    def _make_link(self, loop: asyncio.AbstractEventLoop) -> Link:
        return Link(loop, self._faults, self._forget)

    async def _open(self, link: Link, accepted: socket.socket) -> None:
        loop = self._running_loop()
        try:
            await loop.connect_accepted_socket(lambda: link.client, accepted)
            # A client cannot tell a black hole from a server that is slow to answer: so it stays
            # connected, even if there is no server at all.
            await self._healed.wait()
            if link.over:
                return
            host, port = _split(self.upstream)
            await loop.create_connection(lambda: link.server, host, port)
        except OSError:
            link.abort(reset=True)
        except BaseException:
            link.abort(reset=False)
            raise

    def _forget(self, link: Link) -> None:
        self._links.discard(link)
        self.counters.open -= 1
        self._changed()

    def _abort(self, links: Iterable[Link], *, reset: bool) -> int:
        aborted = list(links)
        for link in aborted:
            link.abort(reset=reset)
        return len(aborted)

    def _changed(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


def _split(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f'upstream should be "host:port", not {endpoint!r}')
    return host.strip("[]"), int(port)


def _check(direction: Direction) -> None:
    if direction not in DIRECTIONS:
        raise ValueError(f"direction should be one of {DIRECTIONS}, not {direction!r}")


def _directions(direction: Direction | None) -> tuple[Direction, ...]:
    if direction is None:
        return DIRECTIONS
    _check(direction)
    return (direction,)
