"""The way to an etcd cluster: which member, with which token, for how long, how often."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
import weakref
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from grpc.aio import AioRpcError

from etcd_channel import errors
from etcd_channel._cancellation import current_task_is_cancelled
from etcd_channel._cleaning import Cleaning
from etcd_channel._connection import Connection
from etcd_channel._course import Course, remaining, within
from etcd_channel._judgement import to_client_error
from etcd_channel._members import Members
from etcd_channel._options import channel_options
from etcd_channel._tokens import Tokens
from etcd_channel.arguments import check_password, check_timeout
from etcd_channel.endpoints import parse_endpoints
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpc import Rpc
from etcd_channel.rpcs import AUTHENTICATE
from etcd_channel.stream import Reconnect, Stream, StreamHandler, checked_hook
from etcd_channel.tls import TLS

__all__ = ["DEFAULT_CONNECT_TIMEOUT", "DEFAULT_TIMEOUT", "Channel"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
T = TypeVar("T")
ChannelT = TypeVar("ChannelT", bound="Channel")

DEFAULT_TIMEOUT = 10.0
"""Seconds that a call may take when neither it nor its channel says otherwise."""

DEFAULT_CONNECT_TIMEOUT = 3.0
"""Seconds that a call may look for a member that answers."""

# Seconds that close() waits for what cancelled calls left to be cleaned up.
_CLEANING_TIME = 1.0


class Channel:
    """Carries calls to an etcd cluster; what all service clients stand on.

    `endpoints` are the members: "host:port", "http://…", "https://…", "[::1]:2379",
    "unix:/path", one string (also several separated by commas) or a sequence. Calls go to
    one of them, chosen by chance, until it fails; then to the next.

    `username` and `password` go together. The token that they are worth is fetched when
    it is first needed and renewed when the server says that it is old.

    `tls` holds for all endpoints, none of which may say `http://` then. An endpoint that
    says `https://` is served with gRPC's own authorities where no `tls` is given.

    `timeout` is the number of seconds that a call may take when it does not say itself;
    None means 10. RPCs whose end nobody can know (defragment, snapshot, waiting for a
    lock) take no notice of it. `connect_timeout` is the number of seconds that a call may
    look for a member that answers before it fails: a restart that is shorter is ridden
    through.

    `options` are gRPC channel options, laid over the defaults of this package.

    `on_reconnect` is called with a `Reconnect` each time that a stream (of watches, of
    keep-alives) broke and is opened again; `reconnects` counts them.

    Nothing is opened and nothing bound to an event loop before the first call. From then
    on the channel belongs to the loop of that call: another loop gets
    `WrongEventLoopError`, a forked process `ClientForkedError`. It is an async context
    manager: entering connects, leaving closes.
    """

    def __init__(
        self,
        endpoints: str | Iterable[str] = "localhost:2379",
        *,
        username: str | None = None,
        password: str | None = None,
        tls: TLS | None = None,
        timeout: float | None = None,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
        options: Mapping[str, Any] | None = None,
        on_reconnect: Callable[[Reconnect], None] | None = None,
    ) -> None:
        # None before the first call, and again when the channel cannot be used any more:
        # so one comparison guards every call.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unusable: type[errors.ClientError] | None = None
        self._clock: Callable[[], float] = time.monotonic
        if tls is not None and not isinstance(tls, TLS):
            raise TypeError(f"tls must be a TLS, not {type(tls).__name__}")
        self._timeout = DEFAULT_TIMEOUT if timeout is None else check_timeout("timeout", timeout)
        self._tokens = Tokens.of(username, password, self._authenticate)
        self._members = Members(
            parse_endpoints(endpoints),
            tls,
            channel_options(options),
            check_timeout("connect_timeout", connect_timeout),
        )
        self._hook = checked_hook(on_reconnect)
        self._reconnects = 0
        self._streams: set[Stream[Any, Any]] = set()
        self._shared: dict[Callable[[Channel], Any], Any] = {}
        self._cleaning = Cleaning()
        self._closing: asyncio.Task[None] | None = None
        _channels.add(self)

    # What it is ----------------------------------------------------------------------

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that calls are sent to, as "host:port" or "unix:/path"."""
        return self._members.names

    @property
    def timeout(self) -> float:
        """Seconds that a call may take when it does not say itself."""
        return self._timeout

    @property
    def username(self) -> str | None:
        """The user that calls are made as, or None."""
        return None if self._tokens is None else self._tokens.username

    def set_endpoints(self, endpoints: str | Iterable[str]) -> None:
        """Send calls to these endpoints from now on; they are written as for `Channel`.

        Calls and downloads that are under way end where they began; streams, which know no
        end, are opened again on another member if theirs is none of the endpoints any more.
        The connection to such a member is closed when nothing goes on there. The member that
        calls go to stays if it is among the endpoints.

        Raises `ValueError` and `TypeError` as `Channel` does, and changes nothing then.
        """
        if self._loop is not None or self._unusable is not None:
            self._bind()
        retired = self._members.replace(parse_endpoints(endpoints))
        for stream in self._streams:
            stream.move_off(retired)

    def use_password(self, password: str) -> None:
        """Take note that the user's password is another now.

        The channel authenticates with it the next time that the server asks for a new
        token. Raises `ValueError` on a channel without a user.
        """
        if self._tokens is None:
            raise ValueError("password was given to a channel without username")
        self._tokens.use_password(check_password("password", password))

    @property
    def closed(self) -> bool:
        """Whether the channel was closed."""
        return self._unusable is errors.ClientClosedError

    @property
    def reconnects(self) -> int:
        """How often a stream broke and was opened again."""
        return self._reconnects

    def __repr__(self) -> str:
        return f"Channel({', '.join(self.endpoints)}{', closed' if self.closed else ''})"

    # Its life ------------------------------------------------------------------------

    async def __aenter__(self: ChannelT) -> ChannelT:
        try:
            await self.connect()
        except BaseException:
            # Nobody else can close what a failed `async with` has opened.
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Find a member that answers, and fetch the token.

        Never needed, since the first call does the same: it only brings their failure
        forward. Raises `ConnectionFailedError`, `ConnectionTimeoutError` or, for a wrong
        password, `AuthFailedError`.
        """
        loop = self._bind()
        deadline = loop.time() + self._timeout
        await self._members.reach(AUTHENTICATE, None, deadline)
        if self._tokens is not None:
            left = remaining(self._clock, deadline)
            await within(left, AUTHENTICATE, self._members, self._tokens.ensure)

    async def close(self) -> None:
        """End all streams and connections; safe to call twice, and while calls are under way.

        Those end in `ClientClosedError`. Nothing stays behind: no task, no connection.
        A channel that was closed stays closed. It takes up to a second where calls were
        cancelled just before, and what they left is still to be cleaned up.
        """
        if self._closing is None:
            if self._loop is None:
                # Never used, or of no use any more.
                self._unusable = self._unusable or errors.ClientClosedError
                return
            self._refuse_other_loops(self._loop)
            # A task, which all who close await, and which goes on if they are cancelled.
            self._closing = self._loop.create_task(self._close(), name="etcd close")
        if not self._closing.done():
            self._refuse_other_loops(self._closing.get_loop())
            try:
                await asyncio.shield(self._closing)
            except asyncio.CancelledError:
                # Cut short, but nothing is left half closed.
                self._cleaning.cancel()
                await asyncio.wait([self._closing])
                raise

    async def _close(self) -> None:
        await self._cleaning.wait(_CLEANING_TIME)
        self._loop = None
        self._unusable = errors.ClientClosedError
        await self._cleaning.end()
        for stream in tuple(self._streams):
            await stream.close()
        if self._tokens is not None:
            await self._tokens.close()
        await self._members.close()

    def __del__(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)

    def _bind(self) -> asyncio.AbstractEventLoop:
        """Return the running loop if the channel is usable there; bind it at first use."""
        loop = asyncio.get_running_loop()
        if self._unusable is errors.ClientClosedError:
            raise errors.ClientClosedError("the channel is closed")
        if self._unusable is errors.ClientForkedError:
            raise errors.ClientForkedError(
                "the channel was made before a fork: make a new one in the child process"
            )
        if self._loop is None:
            self._loop = loop
            self._clock = loop.time
        self._refuse_other_loops(self._loop)
        return loop

    @staticmethod
    def _refuse_other_loops(own: asyncio.AbstractEventLoop) -> None:
        if asyncio.get_running_loop() is not own:
            raise errors.WrongEventLoopError(
                "the channel belongs to another event loop: make one for each loop"
            )

    def _after_fork(self) -> None:
        self._loop = self._closing = None
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
        """Send a request and return the response to it.

        `timeout` is the number of seconds for everything that it takes, attempts and
        pauses included; None stands for the channel's. `endpoint` addresses one member,
        which need not be among the channel's endpoints; no other is tried then.

        Raises a `ClientError`. The request is sent again only if the RPC is repeatable or
        the first sending surely had no effect; so when the error is not `definite`, a
        write was sent once and may have been applied. Cancelling the call does not take
        the request back: it may be applied then as well.
        """
        if self._loop is not get_running_loop():
            self._bind()
        if type(request) is not rpc.request:
            raise rpc.wrong_request(request)
        if timeout is not None:
            timeout = check_timeout("timeout", timeout)
        elif not rpc.endless:
            timeout = self._timeout
        clock = self._clock
        deadline = None if timeout is None else clock() + timeout
        members = self._members
        # Tokens come about by authentication: it needs none.
        tokens = None if rpc is AUTHENTICATE else self._tokens
        course: Course | None = None
        try:
            # Nearly every call passes here once, and what it costs is paid by each of them: where
            # nothing has failed yet, nothing is made ready for a failure.
            while True:
                connection = members.current if endpoint is None else members.pick(endpoint)
                if not connection.healthy:
                    connection = await members.reach(rpc, endpoint, deadline)
                    timeout = remaining(clock, deadline)
                if tokens is None:
                    seen, metadata = 0, None
                else:
                    if not tokens.fetched:
                        await within(timeout, rpc, members, tokens.ensure)
                        timeout = remaining(clock, deadline)
                        if connection.retired:
                            continue
                    seen, metadata = tokens.fetched, tokens.prepared
                if timeout is not None and rpc.repeatable:
                    # Leave time for the members not tried yet, where one stays silent.
                    untried = members.candidates(endpoint) - (course.attempts if course else 0)
                    if untried > 1:
                        timeout /= untried
                connection.under_way += 1
                try:
                    response = await connection.unary(rpc)(
                        request.SerializeToString(), timeout=timeout, metadata=metadata
                    )
                    return rpc.response.FromString(response)
                except AioRpcError as cause:
                    failed = self._failure(cause, rpc, connection)
                except DecodeError as cause:
                    raise rpc.unreadable_response(connection.endpoint.name) from cause
                finally:
                    connection.under_way -= 1
                    if connection.retired:
                        connection.ended()
                if course is None:
                    course = Course(rpc, members, endpoint, tokens, clock, deadline)
                await course.follow(failed, seen)
                timeout = remaining(clock, deadline)
        except errors.ClientError as error:
            if course is not None and course.unsettled:
                error.definite = False
            raise
        except asyncio.CancelledError:
            # gRPC cancels what is under way on a channel that is closed. That is not for
            # the task that called, unless it was cancelled too.
            if not self.closed or current_task_is_cancelled():
                raise
        raise errors.ClientClosedError(
            "the channel was closed during the call", method=rpc.name, definite=False
        )

    async def download(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> AsyncGenerator[ResponseT, None]:
        """Send a request and yield the many responses to it, until the server ends them.

        `timeout`, in seconds, holds for the whole; None stands for the channel's, or for
        no limit where the RPC is endless. `endpoint` is as in `call`. Raises a
        `ClientError`. A stream that breaks is opened again only while nothing was yielded:
        what follows depends on what went before. Close the iterator (`aclose`, or leaving
        an `async with contextlib.aclosing(…)`) to end it early.
        """
        self._bind()
        if type(request) is not rpc.request:
            raise rpc.wrong_request(request)
        if timeout is not None:
            timeout = check_timeout("timeout", timeout)
        elif not rpc.endless:
            timeout = self._timeout
        clock, members, tokens = self._clock, self._members, self._tokens
        deadline = None if timeout is None else clock() + timeout
        course = Course(rpc, members, endpoint, tokens, clock, deadline)
        while True:
            connection = await members.reach(rpc, endpoint, deadline)
            if tokens is not None:
                await within(remaining(clock, deadline), rpc, members, tokens.ensure)
                if connection.retired:
                    continue
            seen = tokens.fetched if tokens is not None else 0
            call = connection.download(rpc)(
                request,
                timeout=remaining(clock, deadline),
                metadata=tokens.metadata if tokens is not None else None,
            )
            begun = False
            failed: errors.ClientError
            connection.downloads.add(call)
            connection.under_way += 1
            try:
                while True:
                    response: Any = await call.read()
                    if response is grpc.aio.EOF:
                        return
                    if response is None:
                        raise rpc.unreadable_response(connection.endpoint.name)
                    begun = True
                    yield response
            except grpc.aio.AioRpcError as cause:
                failed = self._failure(cause, rpc, connection)
            except asyncio.CancelledError:
                if not self.closed or current_task_is_cancelled():
                    raise
                failed = errors.ClientClosedError(
                    "the channel was closed during the call", method=rpc.name, definite=False
                )
            finally:
                call.cancel()
                connection.downloads.discard(call)
                connection.under_way -= 1
                if connection.retired:
                    connection.ended()
            if begun:
                raise failed
            await course.follow(failed, seen)

    def stream(
        self,
        rpc: Rpc[RequestT, ResponseT],
        handler: StreamHandler[RequestT, ResponseT],
        *,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Stream[RequestT, ResponseT]:
        """Open a bidirectional stream that opens itself again, and serve `handler` by it.

        `metadata` goes with each opening. The stream ends when it is closed, at the latest
        with the channel.
        """
        self._bind()
        stream = Stream(
            rpc, handler, self._members, self._tokens, tuple(metadata), self._count_reconnect
        )
        self._streams.add(stream)
        stream.on_end(self._streams.discard)
        return stream

    def shared(self, make: Callable[[Channel], T]) -> T:
        """Return what service clients on this channel have in common, a stream say.

        Made by calling `make` with the channel, once for each `make`.
        """
        if make not in self._shared:
            self._shared[make] = make(self)
        return cast("T", self._shared[make])

    def clean_up(self, work: Coroutine[Any, Any, object]) -> None:
        """Carry out `work` although the call that it is for has ended, or was cancelled.

        For what must not be left behind then, a lease say. The work is the channel's own
        from here on: `close` gives it a second to end, then cancels it. An error of it is
        logged.
        """
        self._cleaning.begin(work)

    def _count_reconnect(self, reconnect: Reconnect) -> None:
        self._reconnects += 1
        self._hook(reconnect)

    def _failure(
        self, cause: grpc.aio.AioRpcError, rpc: Rpc[Any, Any], connection: Connection
    ) -> errors.ClientError:
        error = to_client_error(cause, rpc, connection.endpoint.name)
        if isinstance(error, (errors.ConnectionFailedError, errors.ConnectionTimeoutError)):
            self._members.leave(connection)
        return error

    async def _authenticate(self, request: pb.AuthenticateRequest) -> pb.AuthenticateResponse:
        return await self.call(AUTHENTICATE, request)


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def _disown_channels() -> None:
    for channel in tuple(_channels):
        channel._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_channels)
