"""A TCP proxy that simulates the faults of networks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable

from ._faults import DIRECTIONS, Counters, Direction, Faults
from ._finish import finish, limited
from ._link import Link
from ._ports import ReservedPort
from ._running import Running
from .errors import EtcdTestingError

__all__ = ["Counters", "Direction", "FaultProxy"]

_BACKLOG = 128
# Seconds until connections are accepted again after that failed, as in asyncio's own servers.
_ACCEPT_AGAIN_AFTER = 1.0


class FaultProxy(Running):
    """A proxy to `upstream` ("host:port") that passes everything on, except for its faults.

    Used by `async with`, or by `start` and `close`, on the caller's event loop. Faults are plain
    methods that take effect before they return. Some are immediate: `cut`, `reset`, `half_close`,
    `forget`. The others last until `heal`, can be combined, and apply to existing and new
    connections; `direction` restricts some of them to one direction, None means both. The proxy
    parses bytes only to find a reply, see `kill_next_reply`.
    """

    def __init__(self, upstream: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.upstream = upstream
        """The target of new connections, "host:port"; may be changed at any time."""
        _split(upstream)
        self.counters = Counters()
        """The connections and bytes so far."""
        self._host = host
        self._port = ReservedPort(host, port)
        self._faults = Faults(self.counters, self._changed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: socket.socket | None = None
        self._accept_again: asyncio.TimerHandle | None = None
        self._links: set[Link] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Future[None]] = set()
        self._healed = asyncio.Event()
        self._healed.set()

    def __repr__(self) -> str:
        return f"<FaultProxy {self.endpoint} to {self.upstream}>"

    @property
    def port(self) -> int:
        """The port that it listens on; it never changes."""
        return self._port.port

    @property
    def endpoint(self) -> str:
        """The address for clients, "host:port"."""
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    async def start(self) -> None:
        """Listen."""
        self._begin()

    async def close(self) -> None:
        """Stop listening and close all connections; idempotent.

        A cancellation is raised after that.
        """
        await finish(self._close())

    async def _close(self) -> None:
        if self._loop is None:
            self._port.release()
            return
        self._stop_listening()
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        self.cut()
        # The transports close their sockets in the next iteration of the loop.
        await asyncio.sleep(0)
        self._port.release()
        if self._faults.reply_killed is not None:
            self._faults.reply_killed.cancel()

    async def until(self, condition: Callable[[Counters], bool], *, timeout: float = 60.0) -> None:
        """Wait until the counters fulfil a condition, for example `lambda c: c.accepted >= 2`.

        Raises TimeoutError, with the counters in its message, after `timeout` seconds.
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
            await limited(wait(), timeout)
        except TimeoutError as error:
            raise TimeoutError(
                f"the condition was not fulfilled within {timeout} s: {self.counters}"
            ) from error

    # Immediate faults.

    def cut(self) -> int:
        """Close all connections (FIN), as when a process ends; return their number."""
        return self._abort(self._links, reset=False)

    def reset(self) -> int:
        """Reset all connections (RST); return their number."""
        return self._abort(self._links, reset=True)

    def half_close(self, direction: Direction = "to_client") -> int:
        """End one direction of all connections, not the other; return their number."""
        _check(direction)
        links = list(self._links)
        for link in links:
            link.flows[direction].end()
        return len(links)

    # Faults that last until `heal`.

    def refuse(self) -> None:
        """Refuse new connections (ECONNREFUSED); existing ones stay open, see `cut`."""
        self._running_loop()
        self._stop_listening()

    def black_hole(self, direction: Direction | None = None) -> None:
        """Pass nothing on, as when packets are lost: connections are accepted and stay open, no
        byte, FIN or RST reaches the other side.

        Bytes are held, and passed on after `heal`.
        """
        self._faults.holes.update(_directions(direction))
        self._healed.clear()

    def delay(
        self, seconds: float, *, jitter: float = 0.0, direction: Direction | None = None
    ) -> None:
        """Delay everything by `seconds` ± `jitter`, uniformly distributed, in order."""
        if seconds < 0 or jitter < 0:
            raise ValueError(f"seconds and jitter should be 0 or more, not {seconds} and {jitter}")
        for one in _directions(direction):
            self._faults.delays[one] = (seconds, jitter)

    def stall_after(self, size: int, *, direction: Direction | None = None) -> None:
        """Pass on `size` more bytes of each connection, then hold the rest."""
        if size < 0:
            raise ValueError(f"size should be 0 or more, not {size}")
        for one in _directions(direction):
            self._faults.allowances[one] = size
            for link in self._links:
                link.flows[one].allowance = size

    def freeze(self) -> int:
        """Pass nothing more on for existing connections, and do not close them; new ones work.
        Return the number of existing ones.

        Bytes are held, and passed on after `heal`; `forget` is the permanent form.
        """
        links = list(self._links)
        for link in links:
            for flow in link.flows.values():
                flow.allowance = 0
        return len(links)

    def forget(self) -> int:
        """Forget the existing connections: nothing passes on them again in either direction, not
        even a FIN or RST; new ones work. Return the number of newly forgotten ones.

        A NAT, a load balancer or a firewall does this to a connection that was idle for too long
        or existed before its restart. `heal` does not restore them: they stay open until `cut`,
        `reset` or `close`, or until both sides have closed them. Bytes sent on them are discarded
        and counted as dropped.
        """
        links = [link for link in self._links if not link.forgotten]
        for link in links:
            link.forget()
        return len(links)

    def drop(self, direction: Direction = "to_client") -> None:
        """Discard the bytes of one direction: by default, requests arrive and replies do not.

        `heal` resets the connections that have lost bytes.
        """
        _check(direction)
        self._faults.drops.add(direction)

    def kill_next_reply(self) -> asyncio.Future[None]:
        """Pass requests on, and reset the connection when the next request is answered.

        The reply is discarded, bytes before it are passed on. It happens once; then the future
        is done. `heal` and `close` cancel it. In plain HTTP/2 a reply is the HEADERS frame with
        which a server answers a call that arrived at the proxy after this call; settings, pings,
        window updates, later messages of a stream, and replies to earlier calls are not. In any
        other protocol it is any byte, so with TLS call it while the connection is idle.
        """
        if self._faults.reply_killed is None:
            for link in self._links:
                link.spare_replies()
            self._faults.reply_killed = self._running_loop().create_future()
        return self._faults.reply_killed

    def heal(self) -> None:
        """End all lasting faults: pass on held bytes, and accept new connections."""
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

    # Implementation.

    @staticmethod
    def _is_torn(link: Link) -> bool:
        return not link.forgotten and any(
            flow.torn and not flow.ended for flow in link.flows.values()
        )

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise EtcdTestingError("this proxy was not started; use `async with` or `start()`")
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
        if self._accept_again is not None:
            self._accept_again.cancel()
            self._accept_again = None
        if self._listener is not None:
            self._running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # The client has closed the connection again.
        except OSError as error:
            # For example, no file descriptor is left: the listener stays readable, so without a
            # pause this would fail in a busy loop.
            loop = self._running_loop()
            loop.remove_reader(listener)
            self._accept_again = loop.call_later(
                _ACCEPT_AGAIN_AFTER, loop.add_reader, listener, self._accept, listener
            )
            message = f"{self.endpoint} accepts no connection"
            loop.call_exception_handler({"message": message, "exception": error})
            return
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
                accepted.close()  # Cancelled before it started.

        task.add_done_callback(opened)
        self._changed()

    def _make_link(self, loop: asyncio.AbstractEventLoop) -> Link:
        return Link(loop, self._faults, self._ended)

    async def _open(self, link: Link, accepted: socket.socket) -> None:
        loop = self._running_loop()
        try:
            await loop.connect_accepted_socket(lambda: link.client, accepted)
            # To a client, a black hole looks like a slow server: so it stays connected, even if
            # there is no server.
            await self._healed.wait()
            if link.over or link.forgotten:
                return
            host, port = _split(self.upstream)
            await loop.create_connection(lambda: link.server, host, port)
        except OSError:
            if link.forgotten:
                link.close_if_left()
            else:
                link.abort(reset=True)
        except BaseException:
            link.abort(reset=False)
            raise

    def _ended(self, link: Link) -> None:
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
