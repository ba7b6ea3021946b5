"""Which member a call goes to, and the search for one that answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import grpc

from etcd_channel import errors
from etcd_channel._connection import Connection, settle
from etcd_channel._judgement import Backoff, to_client_error
from etcd_channel.endpoints import Endpoint, parse_endpoint
from etcd_channel.rpc import Rpc
from etcd_channel.tls import TLS

__all__ = ["Members"]


class Members:
    """The connections to a cluster's members; `current` is where calls go.

    One is used until it fails, then the next. Clients that were given the same list
    start at different ones.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        tls: TLS | None,
        options: Sequence[tuple[str, Any]],
        connect_timeout: float,
    ) -> None:
        self._tls = tls
        self._options = options
        self._connect_timeout = connect_timeout
        # Members that calls addressed and that are none of the endpoints.
        self._others: dict[Endpoint, Connection] = {}
        # Those that were endpoints, until what goes on there has ended.
        self._retiring: dict[Connection, asyncio.Task[None]] = {}
        self._connections: list[Connection] = []
        self._connections = self._connected(endpoints)
        self._begin_anywhere()
        self._closed = False
        self._pauses: set[asyncio.Future[None]] = set()

    def _begin_anywhere(self) -> None:
        self._position = int.from_bytes(os.urandom(2), "big") % len(self._connections)
        self.current = self._connections[self._position]

    def _connected(self, endpoints: Sequence[Endpoint]) -> list[Connection]:
        """Return the connections to endpoints: those that are there, and new ones."""
        if self._tls is not None:
            for endpoint in endpoints:
                self._refuse_plain(endpoint)
        # A member that stays silent must leave time for the others; a lone one for a second
        # dial, on a new connection.
        self._dial_timeout = self._connect_timeout / max(len(endpoints), 2)
        return [self._known(endpoint) or self._connection(endpoint) for endpoint in endpoints]

    def _known(self, endpoint: Endpoint) -> Connection | None:
        secure = self._tls is not None or bool(endpoint.tls)
        for connection in (*self._connections, *self._others.values()):
            if connection.endpoint.name == endpoint.name and connection.secure is secure:
                return connection
        return None

    def replace(self, endpoints: Sequence[Endpoint]) -> set[Connection]:
        """Let these be the endpoints; return the connections that are not to be used any more.

        One that stays stays as it is, and `current` too. What goes on elsewhere ends there,
        and then the connection is closed.
        """
        connections = self._connected(endpoints)
        retired = set(self._connections).difference(connections)
        self._connections = connections
        for connection in connections:
            connection.dial_timeout = self._dial_timeout
        self._others = {
            endpoint: other for endpoint, other in self._others.items() if other not in connections
        }
        if self.current in retired:
            self._begin_anywhere()
        else:
            self._position = connections.index(self.current)
        for connection in retired:
            connection.retired = True
            if connection.was_open:
                self._retire(connection)
        return retired

    def _renew(self, connection: Connection) -> None:
        """Put a new connection in the place of one on which the member did not answer.

        It may be the connection that is silent, dropped on its way by something that told
        nobody, and not the member: then nothing is ever heard on it again.
        """
        if connection.retired or not connection.was_open:
            return
        fresh = self._connection(connection.endpoint)
        self._connections = [fresh if each is connection else each for each in self._connections]
        self._others = {
            endpoint: fresh if other is connection else other
            for endpoint, other in self._others.items()
        }
        if self.current is connection:
            self.current = fresh
        connection.retired = True
        self._retire(connection)

    def _retire(self, connection: Connection) -> None:
        task = asyncio.create_task(connection.retire(), name="etcd retire connection")
        self._retiring[connection] = task
        task.add_done_callback(lambda _: self._retiring.pop(connection, None))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(connection.endpoint.name for connection in self._connections)

    def pick(self, endpoint: str | None) -> Connection:
        """The member that `endpoint` names, or the one where calls go now."""
        if endpoint is None:
            return self.current
        parsed = parse_endpoint(endpoint)
        if self._tls is not None:
            self._refuse_plain(parsed)
        for connection in self._connections:
            if connection.endpoint.name == parsed.name and parsed.tls in (None, connection.secure):
                return connection
        other = self._others.get(parsed)
        if other is None:
            other = self._others[parsed] = self._connection(parsed)
        return other

    def candidates(self, endpoint: str | None) -> int:
        """How many members a call has to choose from."""
        return len(self._connections) if endpoint is None else 1

    def leave(self, connection: Connection) -> None:
        """Take note that a member failed: it is asked before it is used again, and no
        longer where calls go if there is another."""
        connection.healthy = False
        if connection is self.current:
            self._position = (self._position + 1) % len(self._connections)
            self.current = self._connections[self._position]

    async def reach(
        self, rpc: Rpc[Any, Any], endpoint: str | None, deadline: float | None
    ) -> Connection:
        """Return a member that answers; look for one until `deadline`, in the loop's time,
        but no longer than the connect timeout."""
        connection = self.pick(endpoint)
        if connection.healthy:
            return connection
        now = asyncio.get_running_loop().time
        give_up = now() + self._connect_timeout
        if deadline is not None:
            give_up = min(give_up, deadline)
        backoff = Backoff()
        tries = 0
        error: errors.ClientError | None = None
        while True:
            tries += 1
            try:
                await connection.dial(max(give_up - now(), 0.001))
            except (grpc.aio.AioRpcError, asyncio.TimeoutError) as cause:
                # Not where it was the caller who had no more time.
                silent = isinstance(cause, grpc.aio.AioRpcError) and _timed_out(cause)
                # The last try may be cut short; what an earlier one was told says more.
                if error is None or not isinstance(cause, asyncio.TimeoutError):
                    error = self._unreached(cause, rpc, connection)
                learner = isinstance(error, errors.NotSupportedForLearnerError)
                if learner and endpoint is not None and not connection.retired:
                    # A learner refuses the probe too. Whoever addresses one gets its own
                    # word on the call; everybody else is served by a member that votes.
                    return connection
            else:
                if not connection.retired:
                    return connection
                connection = self.pick(endpoint)
                continue
            self.leave(connection)
            if silent:
                self._renew(connection)
            whole_round = tries % self.candidates(endpoint) == 0
            if now() >= give_up or (whole_round and _will_stay(error)):
                raise error
            if whole_round:
                await self.pause(min(backoff.next(), give_up - now()))
            connection = self.pick(endpoint)
            if connection.healthy:
                return connection

    async def pause(self, seconds: float) -> None:
        """Wait, unless the channel is closed meanwhile: then raise `ClientClosedError`."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        self._pauses.add(woken)
        alarm = loop.call_later(seconds, _wake, woken)
        try:
            if not self._closed:
                await woken
        finally:
            alarm.cancel()
            self._pauses.discard(woken)
        if self._closed:
            raise errors.ClientClosedError("the channel was closed")

    async def close(self) -> None:
        self._closed = True
        for woken in self._pauses:
            _wake(woken)
        retiring = dict(self._retiring)
        for task in retiring.values():
            task.cancel()
        if retiring:
            await asyncio.wait(retiring.values())
        connections = (*self._connections, *self._others.values(), *retiring)
        for connection in connections:
            await connection.close()
        if any(connection.was_open for connection in connections):
            await settle()

    def _connection(self, endpoint: Endpoint) -> Connection:
        tls = self._tls
        if tls is None and endpoint.tls:
            tls = TLS()
        return Connection(endpoint, tls, self._options, self._dial_timeout)

    @staticmethod
    def _refuse_plain(endpoint: Endpoint) -> None:
        if endpoint.tls is False:
            raise ValueError(
                f"endpoint 'http://{endpoint.name}' is without TLS, but tls was given: "
                "write https://, or no scheme"
            )

    @staticmethod
    def _unreached(
        cause: grpc.aio.AioRpcError | asyncio.TimeoutError,
        rpc: Rpc[Any, Any],
        connection: Connection,
    ) -> errors.ClientError:
        name = connection.endpoint.name
        error: errors.ClientError
        if isinstance(cause, grpc.aio.AioRpcError) and not _timed_out(cause):
            error = to_client_error(cause, rpc, name)
            if connection.secure and _is_old_for_handshake(error):
                error = errors.TLSHandshakeError(
                    error.message, code=error.code, method=rpc.name, endpoint=name
                )
                error.__cause__ = cause
        else:
            error = errors.ConnectionTimeoutError(
                "connected to nobody who answers",
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
                method=rpc.name,
                endpoint=name,
            )
            error.__cause__ = cause
        # Whatever it was: the request itself was not sent.
        error.definite = True
        return error


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _will_stay(error: errors.ClientError) -> bool:
    # Certificates stay wrong; but a handshake is also cut off where a server goes down.
    if not isinstance(error, errors.TLSHandshakeError):
        return False
    return "read failed" not in error.message and "Socket closed" not in error.message


def _is_old_for_handshake(error: errors.ClientError) -> bool:
    # gRPC 1.62 does not speak of a handshake where it could not be read to its end, and has no
    # word at all for a key that is not the certificate's.
    return type(error) is errors.ConnectionFailedError and error.message.endswith(
        ("Socket closed", "empty address list: ")
    )


def _timed_out(cause: grpc.aio.AioRpcError) -> bool:
    # gRPC gives up an attempt to connect before the dial does, and calls it UNAVAILABLE.
    return cause.code() is grpc.StatusCode.DEADLINE_EXCEEDED or "timed out" in str(cause.details())
