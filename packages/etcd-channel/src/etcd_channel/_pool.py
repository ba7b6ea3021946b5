"""The connection pool: chooses the member for a call, and searches for one that answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import grpc

from etcd_channel import errors
from etcd_channel._backoff import Backoff
from etcd_channel._connection import Connection, KeepaliveTimes
from etcd_channel._grpc_drain import grpc_events_drained
from etcd_channel._grpc_errors import to_client_error
from etcd_channel._grpc_result import CallCancelled
from etcd_channel._options import Options
from etcd_channel._outage import Outage, is_loss
from etcd_channel._single_flight import SingleFlight, StillRunning
from etcd_channel._transport import is_silence
from etcd_channel.deadline import Deadline
from etcd_channel.endpoints import Endpoint, parse_endpoint, parse_endpoints
from etcd_channel.rpc import Rpc
from etcd_channel.srv import SRV
from etcd_channel.tls import TLS

__all__ = ["ConnectionPool"]


# gRPC's messages for a server that closes the connection at once, or answers a TLS handshake with
# something else.
_ENDED_IN_HANDSHAKE = ("read failed", "write failed", "Socket closed", "Connection reset by peer")
_CLOSED_BY_SERVER = ("Socket closed", "Connection reset by peer", "WRONG_VERSION_NUMBER")
_HINT_PLAIN = "if the server does not use TLS, write http:// and give no tls"
_HINT_TLS = "if the server uses TLS, write https:// or give tls"


class ConnectionPool:
    """The connections to the members of a cluster; calls use `current`.

    `current` is used until it fails, then the next one. The first one is chosen at random, so
    that clients with the same endpoints are spread over the members.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint] | SRV,
        tls: TLS | None,
        options: Options,
        connect_timeout: float,
        times: KeepaliveTimes,
    ) -> None:
        self.srv: SRV | None = None
        """Where the endpoints come from; None if they were given."""
        self._discovered = True
        self._discovery = SingleFlight(self._discover)
        if isinstance(endpoints, SRV):
            self.srv = endpoints if tls is None else endpoints.secured()
            self._discovered = False
            # Never dialed: the records are looked up first.
            endpoints = (Endpoint(name=self.srv.names[-1], target=""),)
        self._times = times
        self._tls = tls
        self._options = options
        self._connect_timeout = connect_timeout
        # Connections to members that a call named as its `endpoint` and that are not in the pool.
        self._others: dict[Endpoint, Connection] = {}
        # Connections to former endpoints, until nothing is in flight there.
        self._draining: dict[Connection, asyncio.Task[None]] = {}
        self._connections: list[Connection] = []
        self._connections = self._connected(endpoints)
        self.pick_random()
        self._closed = False
        self._outage = Outage()
        self._pauses: set[asyncio.Future[None]] = set()

    def pick_random(self) -> None:
        """Set `current` to the connection to a random member."""
        self._position = int.from_bytes(os.urandom(2), "big") % len(self._connections)
        self.current = self._connections[self._position]

    def _connected(self, endpoints: Sequence[Endpoint]) -> list[Connection]:
        """Return a connection for each endpoint: an existing one, or a new one."""
        if self._tls is not None:
            for endpoint in endpoints:
                self._refuse_plain(endpoint)
        # A silent member must leave time to try the others.
        self._dial_timeout = self._connect_timeout / len(endpoints)
        # An existing connection may be lost. With one member, half of the time is kept for a new
        # connection; a new one gets the whole time, as a handshake over a slow link takes long.
        self._redial_timeout = self._connect_timeout / max(len(endpoints), 2)
        self.several = len(endpoints) > 1
        return [self._known(endpoint) or self._connection(endpoint) for endpoint in endpoints]

    def _known(self, endpoint: Endpoint) -> Connection | None:
        secure = self._tls is not None or bool(endpoint.tls)
        for connection in (*self._connections, *self._others.values()):
            if connection.endpoint.name == endpoint.name and connection.secure is secure:
                return connection
        return None

    def replace(self, endpoints: Sequence[Endpoint], srv: SRV | None = None) -> None:
        """Replace the endpoints, by those that were found by `srv`, or given if it is None.

        Connections to endpoints that remain are kept, and `current` stays if it is one of them.
        On the other connections, streams are reopened elsewhere at once; calls in flight end
        where they are, and then the connection is closed.
        """
        connections = self._connected(endpoints)
        removed = set(self._connections).difference(connections)
        self._connections = connections
        self.srv = srv
        self._discovered = True
        for connection in connections:
            connection.dial_timeout = self._dial_timeout
            connection.redial_timeout = self._redial_timeout
        self._others = {
            endpoint: other for endpoint, other in self._others.items() if other not in connections
        }
        if self.current in removed and srv is not None:
            # Priorities and weights have put them in order.
            self._position, self.current = 0, connections[0]
        elif self.current in removed:
            self.pick_random()
        else:
            self._position = connections.index(self.current)
        self._answered(self.current)
        for connection in removed:
            connection.drain(
                errors.ConnectionFailedError(
                    "the member is no longer one of the client's endpoints",
                    endpoint=connection.endpoint.name,
                )
            )
            if connection.was_open:
                self._close_when_unused(connection)

    def _close_when_unused(self, connection: Connection) -> None:
        task = asyncio.create_task(connection.close_when_unused(), name="etcd drain connection")
        self._draining[connection] = task
        task.add_done_callback(lambda _: self._draining.pop(connection, None))

    @property
    def names(self) -> tuple[str, ...]:
        if not self._discovered:
            return ()
        return tuple(connection.endpoint.name for connection in self._connections)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The endpoints with their schemes, as `parse_endpoint` reads them."""
        if not self._discovered:
            return ()
        return tuple(connection.endpoint.address for connection in self._connections)

    def pick(self, endpoint: str | None) -> Connection:
        """Return the connection to `endpoint`, or `current` if it is None."""
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

    @property
    def is_lost(self) -> bool:
        """Whether there is an outage, which was logged."""
        return self._outage.lasts

    def candidates(self, endpoint: str | None) -> int:
        """Return the number of members that a call can be sent to."""
        return len(self._connections) if endpoint is None else 1

    def mark_failed(
        self, connection: Connection, lost_by: errors.ClientError | None = None
    ) -> None:
        """Record that a member failed: calls use the next one, if there is one.

        The member is probed before it is used again, and its transports that are waited on are
        probed at once. `lost_by` is the error, if it means that the connection was lost.
        """
        connection.healthy = False
        connection.check_transports()
        if connection is self.current:
            self._position = (self._position + 1) % len(self._connections)
            self.current = self._connections[self._position]
        if lost_by is not None and connection in self._connections and not self._closed:
            self._outage.begins(connection.endpoint.name, lost_by)
        self._answered(self.current)

    def _answered(self, connection: Connection) -> None:
        """End the outage if the connection is that of calls, and its member answers."""
        if connection.healthy and connection is self.current:
            self._outage.ends(connection.endpoint.name)

    async def connect(
        self, rpc: Rpc[Any, Any], endpoint: str | None, deadline: Deadline | None
    ) -> Connection:
        """Return the connection to a member that answers.

        The search ends at `deadline`, and after the connect timeout at the latest; a deadline of
        None has no effect.
        """
        connection = self.pick(endpoint)
        if connection.healthy:
            return connection
        search_end = (deadline or Deadline.after(None)).within(self._connect_timeout)
        if not self._discovered and endpoint is None:
            await self._await_discovery(rpc, search_end)
            connection = self.pick(None)
        backoff = Backoff()
        tries = 0
        error: errors.ClientError | None = None
        try:
            while True:
                tries += 1
                try:
                    await connection.dial(search_end.timeout(self._connect_timeout))
                except errors.ClientClosedError:
                    if self._closed:
                        raise
                    connection = self.pick(endpoint)  # the dial ended because it was drained
                    continue
                except (grpc.aio.AioRpcError, StillRunning, CallCancelled) as cause:
                    # A dial that ended early, at the caller's deadline, is not silence.
                    confirmed = isinstance(cause, grpc.aio.AioRpcError)
                    silent = confirmed and is_silence(cause)
                    # If the last dial ended early, the error of the one before is more useful.
                    if error is None or not isinstance(cause, StillRunning):
                        error = self._dial_error(cause, rpc, connection)
                    learner = isinstance(error, errors.NotSupportedForLearnerError)
                    if learner and endpoint is not None and not connection.draining:
                        # A learner refuses the probe too. A call that addresses a learner gets the
                        # learner's own answer; all others are sent to a voting member.
                        return connection
                else:
                    if not connection.draining:
                        return connection
                    connection = self.pick(endpoint)
                    continue
                lost = endpoint is None and confirmed and is_loss(error)
                self.mark_failed(connection, error if lost else None)
                if silent:
                    connection.renew_calls()
                tried_all = tries % self.candidates(endpoint) == 0
                if search_end.passed or (tried_all and _is_permanent(error)):
                    raise error
                if tried_all:
                    await self._discover_again()
                    await self.pause(search_end.timeout(backoff.next()))
                connection = self.pick(endpoint)
                if connection.healthy:
                    return connection
        finally:
            # The error's traceback refers to this frame: break the reference cycle.
            del error

    async def _await_discovery(self, rpc: Rpc[Any, Any], search_end: Deadline) -> None:
        names = self.current.endpoint.name
        failed: errors.ClientError | None
        try:
            failed = await self._discovery.run(search_end.timeout(self._connect_timeout))
        except StillRunning:
            failed = errors.ConnectionTimeoutError(
                f"the SRV records {names} were not found in time"
            )
        if failed is not None and not self._discovered:
            # One for each caller, because it gets the caller's traceback.
            own = type(failed)(failed.message, method=rpc.name, definite=True)
            own.__cause__ = failed.__cause__
            raise own

    async def _discover(self) -> errors.ClientError | None:
        """Look up the endpoints; return the error if that fails."""
        srv = self.srv
        if srv is None:
            return None
        try:
            endpoints = await srv.lookup(timeout=self._connect_timeout)
        except errors.ClientError as error:
            return error.with_traceback(None)
        if self.srv is srv:  # unless others were given in the meantime
            self.replace(parse_endpoints(endpoints), srv)
        return None

    async def _discover_again(self) -> None:
        """Start to look up the endpoints again, as no member answered; keep them if it fails."""
        if self.srv is not None:
            with contextlib.suppress(StillRunning):
                await self._discovery.run(0)

    async def pause(self, seconds: float) -> None:
        """Sleep; raise `ClientClosedError` at once when the channel is closed."""
        loop = asyncio.get_running_loop()
        end = loop.create_future()
        self._pauses.add(end)
        timer = loop.call_later(seconds, _wake, end)
        try:
            if not self._closed:
                await end
        finally:
            timer.cancel()
            self._pauses.discard(end)
        if self._closed:
            raise errors.ClientClosedError("the client was closed")

    async def close(self) -> None:
        self._closed = True
        await self._discovery.close()
        for pause in self._pauses:
            _wake(pause)
        draining = dict(self._draining)
        for task in draining.values():
            task.cancel()
        if draining:
            await asyncio.wait(draining.values())
        connections = (*self._connections, *self._others.values(), *draining)
        was_open = any(connection.was_open for connection in connections)
        async with grpc_events_drained() if was_open else nullcontext():
            for connection in connections:
                await connection.close()

    def _connection(self, endpoint: Endpoint) -> Connection:
        tls = self._tls
        if tls is None and endpoint.tls:
            tls = TLS()
        return Connection(
            endpoint,
            tls,
            self._options,
            self._dial_timeout,
            self._redial_timeout,
            self._times,
            self._answered,
        )

    @staticmethod
    def _refuse_plain(endpoint: Endpoint) -> None:
        if endpoint.tls is False:
            raise ValueError(
                f"endpoint 'http://{endpoint.name}' does not use TLS, but tls was given: "
                "write https://, or no scheme"
            )

    @staticmethod
    def _dial_error(
        cause: BaseException,
        rpc: Rpc[Any, Any],
        connection: Connection,
    ) -> errors.ClientError:
        name = connection.endpoint.name
        error: errors.ClientError
        if isinstance(cause, grpc.aio.AioRpcError) and not is_silence(cause):
            error = to_client_error(cause, rpc, name)
            if connection.secure and _is_unnamed_handshake_failure(error):
                error = errors.TLSHandshakeError(
                    error.message, code=error.code, method=rpc.name, endpoint=name
                )
                error.__cause__ = cause.with_traceback(None)
            if _closed_by_server(error):
                error.hint = _HINT_PLAIN if connection.secure else _HINT_TLS
        else:
            error = errors.ConnectionTimeoutError(
                "no endpoint answered",
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
                method=rpc.name,
                endpoint=name,
            )
            error.__cause__ = cause.with_traceback(None)
        # Only a probe was sent, not the request.
        error.definite = True
        return error


def _wake(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)


def _is_permanent(error: errors.ClientError) -> bool:
    # A failed TLS handshake is permanent, unless the connection ended during it: the server may
    # have been stopping.
    return isinstance(error, errors.TLSHandshakeError) and not any(
        message in error.message for message in _ENDED_IN_HANDSHAKE
    )


def _closed_by_server(error: errors.ClientError) -> bool:
    """Whether the server closed the connection at once, as it does if only one side uses TLS."""
    return isinstance(error, errors.ConnectionFailedError) and any(
        message in error.message for message in _CLOSED_BY_SERVER
    )


def _is_unnamed_handshake_failure(error: errors.ClientError) -> bool:
    # gRPC 1.62 does not mention the handshake if the server closed or reset the connection during
    # it, and gives no reason if the key does not belong to the certificate.
    message = error.message
    return (
        type(error) is errors.ConnectionFailedError
        and "Failed to connect to remote host" not in message
        and message.endswith(("Socket closed", "Connection reset by peer", "empty address list: "))
    )
