"""`Channel` sends calls to an etcd cluster, with endpoints, tokens, deadlines and retries."""

from __future__ import annotations

import asyncio
import time
import warnings
import weakref
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from grpc.aio import AioRpcError

from etcd_channel import errors
from etcd_channel._background import BackgroundTasks
from etcd_channel._connection import Connection, KeepaliveTimes
from etcd_channel._fork import GRPC_UNUSABLE, grpc_is_unusable, on_fork
from etcd_channel._grpc_errors import to_client_error
from etcd_channel._grpc_result import CallCancelled, grpc_result
from etcd_channel._open_work import OpenWork
from etcd_channel._options import Options
from etcd_channel._outage import is_loss
from etcd_channel._pool import ConnectionPool
from etcd_channel._retry import CallRetry, await_token
from etcd_channel._tokens import Tokens
from etcd_channel._transport import Transport
from etcd_channel.arguments import check_flag, check_password, check_timeout
from etcd_channel.base_classes import Connected
from etcd_channel.deadline import Clock, Deadline
from etcd_channel.endpoints import parse_endpoints
from etcd_channel.metadata import call_metadata
from etcd_channel.observer import FailedAttempt, Observer, Reconnect
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpc import Rpc
from etcd_channel.rpcs import AUTHENTICATE
from etcd_channel.srv import SRV
from etcd_channel.stream import Stream, StreamHandler
from etcd_channel.tasks import finish
from etcd_channel.tls import TLS

__all__ = [
    "DEFAULT_CONNECT_TIMEOUT",
    "DEFAULT_KEEPALIVE_TIME",
    "DEFAULT_KEEPALIVE_TIMEOUT",
    "DEFAULT_TIMEOUT",
    "Channel",
]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
T = TypeVar("T")
ChannelT = TypeVar("ChannelT", bound="Channel")

DEFAULT_TIMEOUT = 10.0
"""Seconds that a call may take if neither the call nor the channel sets a timeout."""

DEFAULT_CONNECT_TIMEOUT = 3.0
"""Seconds that a call may search for a member that answers."""

DEFAULT_KEEPALIVE_TIME = 5.0
"""Seconds that a stream may receive nothing before its member is probed."""

DEFAULT_KEEPALIVE_TIMEOUT = 2.0
"""Seconds that the answer to a probe may take."""

# Seconds that close() waits for background work before it cancels it.
_BACKGROUND_TIME = 1.0


class Channel(Connected):
    """Sends the calls of service clients to an etcd cluster.

    A channel is an async context manager: entering it connects, leaving it closes.

    `endpoints` are the addresses of members: one string, several separated by commas, or a
    sequence. Each is "host:port", "http://host:port", "https://host:port", "[::1]:2379" or
    "unix:/path". Calls use one member, chosen at random, until it fails; then the next one. An
    `SRV` finds the endpoints in DNS, at the first call.

    `username` and `password` are given together. The channel authenticates at the first call,
    and again when the server refuses its token as outdated.

    `tls` applies to all endpoints, which then must not have the scheme `http://`. None means that
    endpoints with `https://` use TLS and trust the certificate authorities that gRPC ships with.

    `timeout` is the number of seconds that a call may take, retries included, if the call gives
    none; None means 10. It does not apply to RPCs that may take any time (defragment, snapshot,
    waiting for a lock). Timeouts above 100,000,000 seconds (three years) are reduced to that.
    `connect_timeout` is the number of seconds that a call may search for a member that answers;
    a call survives a restart of the cluster that is shorter.

    `keepalive_time` and `keepalive_timeout` detect connections that were lost without an error,
    because a NAT dropped them or a member is frozen. If a stream has received nothing for
    `keepalive_time` seconds, or a call for one second (`keepalive_time` if that is less), the
    channel probes the member on the same connection. If the answer takes longer than
    `keepalive_timeout` seconds, the connection is given up: streams are opened again, repeatable
    calls are sent again, and other calls raise a `ConnectionTimeoutError` that is not `definite`.
    The probe is a call of gRPC's health service and not an HTTP/2 ping, so etcd's
    `--grpc-keepalive-min-time` does not limit it.

    `http_proxy` makes the channel use the HTTP proxy that HTTPS_PROXY and NO_PROXY name in the
    environment, by the rules of etcd's Go client: never for the local machine, and never the
    variable http_proxy. The variables are read by this constructor; False ignores them.

    `options` are gRPC channel options, which override the defaults of this package.

    `on_reconnect` is called with a `Reconnect` each time a stream (of watches or keep-alives)
    broke and is opened again; `reconnects` counts them. `on_failed_attempt` is called with a
    `FailedAttempt` each time an attempt to send a request or to open a stream failed, whether it
    is retried or not. Both are called in the event loop and must not block. For a call they run
    in the task of the call, so a context variable identifies it. They never receive a request, a
    password or a token; their exceptions are logged.

    The constructor opens nothing and raises `TypeError` or `ValueError` for an invalid argument.
    The first call binds the channel to its event loop. A call in another loop raises
    `WrongEventLoopError`, a call in a forked process `ClientForkedError`. If a process was forked
    while any channel was open, every channel raises that error in it, because gRPC cannot be used
    there.
    """

    def __init__(
        self,
        endpoints: str | Iterable[str] | SRV = "localhost:2379",
        *,
        username: str | None = None,
        password: str | None = None,
        tls: TLS | None = None,
        timeout: float | None = None,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
        keepalive_time: float = DEFAULT_KEEPALIVE_TIME,
        keepalive_timeout: float = DEFAULT_KEEPALIVE_TIMEOUT,
        http_proxy: bool = True,
        options: Mapping[str, Any] | None = None,
        on_reconnect: Callable[[Reconnect], object] | None = None,
        on_failed_attempt: Callable[[FailedAttempt], object] | None = None,
    ) -> None:
        # None before the first call, and again when the channel can no longer be used, so that
        # one comparison guards every call.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unusable: type[errors.ClientError] | None = None
        self._clock: Clock = time.monotonic
        if tls is not None and not isinstance(tls, TLS):
            raise TypeError(f"tls must be a TLS, not {type(tls).__name__}")
        self._timeout = DEFAULT_TIMEOUT if timeout is None else check_timeout("timeout", timeout)
        self._observer = Observer(on_failed_attempt, on_reconnect)
        self._tokens = Tokens.of(username, password, self._authenticate, self._observer)
        self._pool = ConnectionPool(
            endpoints if isinstance(endpoints, SRV) else parse_endpoints(endpoints),
            tls,
            Options(options, http_proxy=http_proxy),
            check_timeout("connect_timeout", connect_timeout),
            KeepaliveTimes(
                check_timeout("keepalive_time", keepalive_time),
                check_timeout("keepalive_timeout", keepalive_timeout),
            ),
        )
        # Makes a channel with the same arguments.
        self._make_another = partial(
            type(self),
            tls=tls,
            timeout=timeout,
            connect_timeout=connect_timeout,
            keepalive_time=keepalive_time,
            keepalive_timeout=keepalive_timeout,
            http_proxy=http_proxy,
            options=options,
            on_reconnect=on_reconnect,
            on_failed_attempt=on_failed_attempt,
        )
        self._streams: set[Stream[Any, Any]] = set()
        self._shared: dict[Callable[[Channel], Any], Any] = {}
        self._background = BackgroundTasks()
        self._open_work = OpenWork()
        self._closing: asyncio.Task[None] | None = None
        _channels.add(self)

    @classmethod
    def from_env(
        cls: type[ChannelT],
        environ: Mapping[str, str] | None = None,
        *,
        endpoints: str | Iterable[str] | SRV | None = None,
        username: str | None = None,
        password: str | None = None,
        tls: TLS | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        keepalive_time: float | None = None,
        keepalive_timeout: float | None = None,
        http_proxy: bool = True,
        options: Mapping[str, Any] | None = None,
        on_reconnect: Callable[[Reconnect], object] | None = None,
        on_failed_attempt: Callable[[FailedAttempt], object] | None = None,
    ) -> ChannelT:
        """Return a channel to the cluster that the variables of etcdctl name.

        `environ` is the environment; None means that of the process. ETCDCTL_ENDPOINTS,
        127.0.0.1:2379 by default, has the endpoints; ETCDCTL_CACERT, ETCDCTL_CERT and ETCDCTL_KEY
        the files of `tls`; ETCDCTL_USER the user, with the password after a colon or in
        ETCDCTL_PASSWORD; ETCDCTL_DISCOVERY_SRV the domain of an `SRV`, in place of the endpoints;
        ETCDCTL_COMMAND_TIMEOUT the `timeout`, ETCDCTL_DIAL_TIMEOUT the
        `connect_timeout`; ETCDCTL_KEEPALIVE_TIME and ETCDCTL_KEEPALIVE_TIMEOUT as they are called.
        What is not set is as for `Channel`.

        The other arguments are those of `Channel`. One that is not None replaces what the
        variables say; with `tls` none of the variables about TLS is read.

        TLS is used if there is a file for it, if an endpoint has `https://`, or if
        ETCDCTL_INSECURE_TRANSPORT is false. Without ETCDCTL_CACERT it trusts the authorities of
        the system, or those in SSL_CERT_FILE and SSL_CERT_DIR, as etcdctl does.

        Raises `ValueError` for a variable that etcdctl does not know, that has no valid value, or
        that contradicts another one, and for ETCDCTL_INSECURE_SKIP_TLS_VERIFY, which is not
        supported. Variables about the output of etcdctl are ignored.
        """
        from etcd_channel._environment import channel_arguments  # here, because few need it

        given: dict[str, Any] = {
            "endpoints": endpoints,
            "username": username,
            "password": password,
            "tls": tls,
            "timeout": timeout,
            "connect_timeout": connect_timeout,
            "keepalive_time": keepalive_time,
            "keepalive_timeout": keepalive_timeout,
        }
        given = {name: value for name, value in given.items() if value is not None}
        arguments = {**channel_arguments(environ, without=given), **given}
        return cls(
            **arguments,
            http_proxy=http_proxy,
            options=options,
            on_reconnect=on_reconnect,
            on_failed_attempt=on_failed_attempt,
        )

    # Properties ----------------------------------------------------------------------

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints as "host:port" or "unix:/path", without their schemes.

        Empty as long as those of an `SRV` were not looked up.
        """
        return self._pool.names

    @property
    def addresses(self) -> tuple[str, ...]:
        """The endpoints with the schemes that were given, as `set_endpoints` takes them."""
        return self._pool.addresses

    @property
    def current_endpoint(self) -> str:
        """The endpoint of the member that calls use now; another one after it has failed.

        The name of the records as long as those of an `SRV` were not looked up.
        """
        return self._pool.current.endpoint.name

    @property
    def timeout(self) -> float:
        """The seconds that a call may take if it gives no timeout."""
        return self._timeout

    @property
    def username(self) -> str | None:
        """The name of the user; None if the channel has no user."""
        return None if self._tokens is None else self._tokens.username

    def set_endpoints(self, endpoints: str | Iterable[str]) -> None:
        """Replace the endpoints; they have the same forms as for `Channel`.

        Calls and downloads in flight end on the member where they started. Streams on a member
        that was removed are opened again on another one; the connection to the member is closed
        when nothing is in flight there. Calls continue to use the present member if it is among
        the new endpoints.

        Raises `ValueError` or `TypeError` for invalid endpoints, and then changes nothing.
        """
        if self._loop is not None or self._unusable is not None:
            self._bind()
        self._pool.replace(parse_endpoints(endpoints))

    def use_password(self, password: str, *, if_refused: bool = False) -> None:
        """Set the password for the next authentication, after it was changed on the server.

        With `if_refused` it is used from then on that the server refuses the present one: for a
        change that is on its way, or of which the outcome is unknown. The channel authenticates
        again when the server refuses its token. Raises `ValueError` if the channel has no user.
        """
        if self._tokens is None:
            raise ValueError("password was given to a channel without username")
        password = check_password("password", password)
        self._tokens.use_password(password, if_refused=check_flag("if_refused", if_refused))

    def withdraw_password(self, password: str) -> None:
        """Forget a password of `use_password` with `if_refused`, which certainly was not set.

        It does nothing if the password is not known as such.
        """
        if self._tokens is not None:
            self._tokens.withdraw_password(check_password("password", password))

    def recreate(self) -> Channel:
        """Return a new channel with the same arguments and the present endpoints and password.

        The new channel is not connected. This channel is not changed; it may be closed.
        """
        tokens = self._tokens
        return self._make_another(
            self._pool.srv or self._pool.addresses,
            username=None if tokens is None else tokens.username,
            password=None if tokens is None else tokens.password,
        )

    @property
    def closed(self) -> bool:
        """Whether the channel was closed."""
        return self._unusable is errors.ClientClosedError

    @property
    def reconnects(self) -> int:
        """How often a stream of this channel broke and was opened again."""
        return self._observer.reconnects

    @property
    def observer(self) -> Observer:
        """Passes reports to the views of this channel; services report measurements to it."""
        return self._observer

    def __repr__(self) -> str:
        endpoints = ", ".join(self.endpoints) or self.current_endpoint
        return f"Channel({endpoints}{', closed' if self.closed else ''})"

    # Lifecycle ------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect to a member that answers, and fetch the token if there is a user.

        Calling it is optional, because the first call does the same; it makes errors appear
        earlier. Raises `ConnectionFailedError`, `ConnectionTimeoutError`, or `AuthFailedError` for
        a wrong password.
        """
        self._bind()
        deadline = Deadline.after(self._timeout, self._clock)
        await self._pool.connect(AUTHENTICATE, None, deadline)
        if self._tokens is not None:
            await await_token(deadline, AUTHENTICATE, self._pool, self._tokens.ensure)

    async def close(self) -> None:
        """Close all streams and connections; idempotent.

        Calls in flight raise `ClientClosedError`. After it no task and no connection is left. A
        closed channel cannot be opened again; see `recreate`. Closing waits up to one second for
        background work, such as the release of locks and leases by tasks that were just
        cancelled. If it is cancelled, the channel is closed nevertheless, and the cancellation is
        raised afterwards.
        """
        if self._closing is None:
            if self._loop is None:
                # Never used, or unusable already.
                self._unusable = self._unusable or errors.ClientClosedError
                return
            self._refuse_other_loops(self._loop)
            # All callers of close await this task, which continues if they are cancelled.
            self._closing = self._loop.create_task(self._close(), name="etcd close")
        if not self._closing.done():
            self._refuse_other_loops(self._closing.get_loop())
            await finish(self._closing)

    async def _close(self) -> None:
        await self._open_work.close()
        await self._background.wait(_BACKGROUND_TIME)
        self._loop = None
        self._unusable = errors.ClientClosedError
        await self._background.cancel()
        for stream in tuple(self._streams):
            await stream.close()
        if self._tokens is not None:
            await self._tokens.close()
        await self._pool.close()

    def __del__(self) -> None:
        # The constructor may have raised before it set `_loop`.
        loop = getattr(self, "_loop", None)
        if loop is not None and not loop.is_closed():
            endpoints = ", ".join(self.endpoints)
            warnings.warn(
                f"unclosed client of {endpoints}", ResourceWarning, stacklevel=2, source=self
            )

    def check_usable(self) -> None:
        """Raise an error if the channel cannot be used here and now.

        For service clients that wait without making a call. Raises `ClientClosedError`,
        `ClientForkedError` or `WrongEventLoopError`.
        """
        if self._loop is not get_running_loop() or grpc_is_unusable():
            self._bind()

    def _bind(self) -> asyncio.AbstractEventLoop:
        """Return the running loop if the channel can be used in it; bind it at first use."""
        loop = asyncio.get_running_loop()
        if self._unusable is errors.ClientClosedError:
            raise errors.ClientClosedError("the client is closed")
        if grpc_is_unusable():
            raise errors.ClientForkedError(GRPC_UNUSABLE)
        if self._unusable is errors.ClientForkedError:
            raise errors.ClientForkedError(
                "the client was opened before a fork: make a new one in the child process"
            )
        if self._loop is None:
            self._loop = loop
            self._clock = loop.time
            self._open_work.start()
        self._refuse_other_loops(self._loop)
        return loop

    @staticmethod
    def _refuse_other_loops(own: asyncio.AbstractEventLoop) -> None:
        if asyncio.get_running_loop() is not own:
            raise errors.WrongEventLoopError(
                "the client belongs to another event loop: make one for each loop"
            )

    def _after_fork(self) -> None:
        if self._loop is None and self._unusable is None:
            # Never used, so the child can use it. Not all children should use the same member.
            self._pool.pick_random()
            return
        self._loop = self._closing = None
        self._open_work.forget()
        if self._unusable is None:
            self._unusable = errors.ClientForkedError

    # Calls ---------------------------------------------------------------------------

    async def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> ResponseT:
        """Send a request and return its response.

        `timeout` is the number of seconds for the whole call, retries and pauses included; None
        means the channel's timeout. `endpoint` sends the call to that member only, which need not
        be among the channel's endpoints; None means any member.

        Raises a `ClientError`. The request is sent again only if the RPC is repeatable or the
        first attempt certainly had no effect. So if a write fails with an error that is not
        `definite`, it was sent once and may have been applied. The same holds for a write that
        is cancelled: etcd may still apply it.
        """
        if self._loop is not get_running_loop():
            self._bind()
        if type(request) is not rpc.request:
            raise rpc.wrong_request(request)
        if timeout is not None:
            timeout = check_timeout("timeout", timeout)
        elif not rpc.unbounded:
            timeout = self._timeout
        clock = self._clock
        end = None if timeout is None else clock() + timeout
        pool = self._pool
        # Authentication needs no token: it returns one.
        tokens = None if self._tokens is None or rpc.path == AUTHENTICATE.path else self._tokens
        added = call_metadata.get()
        retry: CallRetry | None = None
        try:
            # The hot path: most calls run the loop once and succeed, so nothing is prepared for a
            # failure in advance.
            while True:
                connection = pool.current if endpoint is None else pool.pick(endpoint)
                if not connection.healthy:
                    connection = await pool.connect(rpc, endpoint, Deadline(end, clock))
                    timeout = Deadline(end, clock).remaining()
                if tokens is None:
                    token_number, metadata = 0, None
                else:
                    if not tokens.fetched:
                        await await_token(Deadline(end, clock), rpc, pool, tokens.ensure)
                        timeout = Deadline(end, clock).remaining()
                        if connection.draining:
                            continue
                    token_number, metadata = tokens.fetched, tokens.prepared
                if added:
                    metadata = grpc.aio.Metadata(*added, *(metadata or ()))
                if pool.several and timeout is not None and rpc.repeatable:
                    # A silent member must leave time for the members that were not tried yet.
                    untried = pool.candidates(endpoint) - (retry.attempts if retry else 0)
                    if untried > 1:
                        timeout /= untried
                transport = connection.monitored_calls or connection.calls
                send = transport.unary.get(rpc.path) or transport.call(rpc)
                call = send(rpc.encode(request), timeout=timeout, metadata=metadata)
                transport.open_calls.add(call)
                transport.waiting += 1
                try:
                    response = await grpc_result(call)
                    transport.received += 1
                    return rpc.decode(response)
                except AioRpcError as cause:
                    failed = self._failure(cause, rpc, connection, call.time_remaining())
                except CallCancelled:
                    failed = self._connection_closed(rpc, connection, transport)
                except DecodeError as cause:
                    failed = rpc.unreadable_response(connection.endpoint.name)
                    failed.__cause__ = cause.with_traceback(None)
                finally:
                    transport.open_calls.discard(call)
                    transport.waiting -= 1
                    if connection.draining:
                        connection.release()
                    # An error that the program keeps refers to this frame, and gRPC keeps the TCP
                    # connection open as long as the call exists, even if the channel is closed.
                    del call
                if retry is None:
                    until = Deadline(end, clock)
                    retry = CallRetry(rpc, pool, endpoint, tokens, until, self._observer)
                try:
                    if not await retry.next_attempt(failed, token_number):
                        raise failed
                finally:
                    # The error's traceback refers to this frame: break the reference cycle.
                    del failed
                timeout = Deadline(end, clock).remaining()
        except errors.ClientError as error:
            if retry is not None and retry.maybe_applied:
                error.definite = False
            raise

    async def download(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> AsyncGenerator[ResponseT, None]:
        """Send a request and iterate over the stream of its responses.

        `timeout` is the number of seconds for the whole download; None means the channel's
        timeout, or no limit if the RPC is unbounded. `endpoint` is as in `call`. Raises a
        `ClientError`. A download that breaks is retried only if no response was returned yet. To
        end it early, close the iterator (`aclose`, or `async with contextlib.aclosing(…)`).
        """
        self._bind()
        if type(request) is not rpc.request:
            raise rpc.wrong_request(request)
        if timeout is not None:
            timeout = check_timeout("timeout", timeout)
        elif not rpc.unbounded:
            timeout = self._timeout
        pool, tokens = self._pool, self._tokens
        deadline = Deadline.after(timeout, self._clock)
        added = call_metadata.get()
        retry = CallRetry(rpc, pool, endpoint, tokens, deadline, self._observer)
        while True:
            connection = await pool.connect(rpc, endpoint, deadline)
            if tokens is not None:
                await await_token(deadline, rpc, pool, tokens.ensure)
                if connection.draining:
                    continue
            token_number = tokens.fetched if tokens is not None else 0
            metadata = tokens.metadata if tokens is not None else None
            if added:
                metadata = (*added, *(metadata or ()))
            call = connection.download(rpc.path)(
                rpc.encode(request),
                timeout=deadline.remaining(),
                metadata=metadata,
            )
            started = False
            failed: errors.ClientError
            transport = connection.download_transport
            transport.open_calls.add(call)
            connection.in_flight += 1
            try:
                while True:
                    transport.waiting += 1
                    connection.monitor()  # it stops while the caller is not waiting
                    try:
                        response: Any = await grpc_result(call.read())
                    finally:
                        transport.waiting -= 1
                    transport.received += 1
                    if response is grpc.aio.EOF:
                        return
                    decoded = rpc.decode(response)
                    started = True
                    yield decoded
            except grpc.aio.AioRpcError as cause:
                failed = self._failure(cause, rpc, connection, call.time_remaining())
            except CallCancelled:
                failed = self._connection_closed(rpc, connection, transport)
            except DecodeError as cause:
                failed = rpc.unreadable_response(connection.endpoint.name)
                failed.__cause__ = cause.with_traceback(None)
            finally:
                call.cancel()
                transport.open_calls.discard(call)
                connection.in_flight -= 1
                if connection.draining:
                    connection.release()
                del call  # for the reason given in the method `call`
            try:
                if not await retry.next_attempt(failed, token_number, started=started):
                    raise failed
            finally:
                del failed

    def stream(
        self,
        rpc: Rpc[RequestT, ResponseT],
        handler: StreamHandler[RequestT, ResponseT],
        *,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Stream[RequestT, ResponseT]:
        """Open a bidirectional stream, which is opened again after every break.

        `handler` is called with everything that happens on the stream. `metadata` is sent each
        time it is opened. The stream stays open until it is closed or the channel is closed.
        """
        self._bind()
        stream = Stream(rpc, handler, self._pool, self._tokens, tuple(metadata), self._observer)
        self._streams.add(stream)
        stream.on_end(self._streams.discard)
        return stream

    def shared(self, make: Callable[[Channel], T]) -> T:
        """Return an object that all service clients on this channel share, such as a stream.

        The first call with a function `make` calls it with the channel; later calls with the same
        function return the same object.
        """
        if make not in self._shared:
            self._shared[make] = make(self)
        return cast("T", self._shared[make])

    def run_while_open(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Run `work()` in a task from the first use of the channel until it is closed.

        For work that goes on beside the calls, such as following the member list. It begins at
        once if the channel is in use. `close` cancels the task before anything else, and awaits
        its end. Its error is logged.
        """
        if self._loop is not None or self._unusable is not None:
            self._bind()
        self._open_work.add(work)

    def run_in_background(self, work: Coroutine[Any, Any, object]) -> None:
        """Run `work` in a task of the channel; nothing awaits its result.

        For work that remains after a call has ended or was cancelled. `close` waits one second
        for it, then cancels it. Its error is logged.
        """
        self._background.start(work)

    async def run_to_completion(
        self, work: Coroutine[Any, Any, T], after: BaseException | None = None
    ) -> T:
        """Await `work` to its end even if the task is cancelled, and return its result.

        For work that releases something on the server, such as a lock. It is `tasks.finish`,
        which explains `after` and the errors; in addition `close` waits one second for the work.
        """
        task = asyncio.create_task(work)
        self._background.await_also(task)
        try:
            return await finish(task, after)
        finally:
            del task, after  # the error's traceback refers to this frame

    def _failure(
        self,
        cause: grpc.aio.AioRpcError,
        rpc: Rpc[Any, Any],
        connection: Connection,
        remaining: float | None,
    ) -> errors.ClientError:
        endpoint, has_user = connection.endpoint.name, self._tokens is not None
        error = to_client_error(cause, rpc, endpoint, has_user=has_user, remaining=remaining)
        if isinstance(error, (errors.ConnectionFailedError, errors.ConnectionTimeoutError)):
            # A timeout is that of the call; whether the member is silent is found out by a probe.
            timed_out = isinstance(error, errors.ConnectionTimeoutError)
            lost = is_loss(error) and not timed_out
            self._pool.mark_failed(connection, error if lost else None)
        return error

    def _connection_closed(
        self, rpc: Rpc[Any, Any], connection: Connection, transport: Transport
    ) -> errors.ClientError:
        """Return the error of a call that ended because its connection was closed."""
        if self.closed:
            return errors.ClientClosedError(
                "the client was closed during the call", method=rpc.name, definite=False
            )
        reason = transport.failure
        self._pool.mark_failed(connection, reason)
        kind = errors.ConnectionFailedError if reason is None else type(reason)
        return kind(
            "the connection was closed" if reason is None else reason.message,
            method=rpc.name,
            endpoint=connection.endpoint.name,
            definite=False,
        )

    async def _authenticate(self, request: pb.AuthenticateRequest) -> pb.AuthenticateResponse:
        return await self.call(AUTHENTICATE, request)


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def _any_is_open() -> bool:
    return any(channel._loop is not None for channel in tuple(_channels))


def _disown_channels() -> None:
    for channel in tuple(_channels):
        channel._after_fork()


on_fork(_any_is_open, _disown_channels)
