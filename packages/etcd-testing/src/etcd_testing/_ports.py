"""TCP ports that stay reserved while a server is down."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import sys

__all__ = ["ReservedPort"]

# Below the range of ephemeral ports (Linux from 32768, macOS from 49152). An outgoing connection
# could take a port of that range while its server is down, even one of the client under test: a
# socket that dials its own source port is connected to itself.
_FIRST, _LAST = 20000, 32000
_ATTEMPTS = 200

_randomly = random.SystemRandom()


class ReservedPort:
    """A free port of one local address, chosen at first use and held until `release`.

    On Linux it is held by a socket that is bound with SO_REUSEADDR and never listens: a server
    that sets the same option, as Go's and asyncio's do, can listen beside it, connections
    are refused while no server is up, and other processes cannot bind it without that option.
    Other systems forbid the pair: there the port is only known to have been free.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._holder: socket.socket | None = None
        self._port = port

    @property
    def port(self) -> int:
        """The port number; the requested one, if any."""
        if self._port == 0:
            self._port = self._choose()
        return self._port

    def _choose(self) -> int:
        for _ in range(_ATTEMPTS):
            port = _randomly.randint(_FIRST, _LAST)
            try:
                probe = self._bind(port, reuse=False)
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise
            probe.close()
            if sys.platform == "linux":
                # Between the two binds another process may do the same: then both hold the port,
                # and the later server finds it in use. That takes two processes that choose the
                # same of 12,000 numbers within microseconds.
                try:
                    self._holder = self._bind(port, reuse=True)
                except OSError:
                    continue
            return port
        raise OSError(errno.EADDRINUSE, f"no free port on {self._host} in {_FIRST}-{_LAST}")

    def _bind(self, port: int, *, reuse: bool) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with contextlib.ExitStack() as undo:
            bound = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            if reuse:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, port))
            undo.pop_all()
        return bound

    def release(self) -> None:
        """Release the port; idempotent."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None
