"""`Stream`, a bidirectional stream that is opened again after every break."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from grpc import aio

from etcd_channel import errors
from etcd_channel._backoff import Backoff
from etcd_channel._grpc_errors import to_client_error
from etcd_channel._outage import is_loss
from etcd_channel._pool import ConnectionPool
from etcd_channel._retry_policy import Decision, classify_stream
from etcd_channel._tokens import Metadata, Tokens
from etcd_channel._transport import Transport
from etcd_channel.base_classes import NonCopyable
from etcd_channel.observer import Observer
from etcd_channel.rpc import Rpc
from etcd_channel.tasks import finish

__all__ = ["Stream", "StreamHandler"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
RequestT_co = TypeVar("RequestT_co", bound=Message, covariant=True)
ResponseT_contra = TypeVar("ResponseT_contra", bound=Message, contravariant=True)

_log = logging.getLogger("etcd_channel")

# With this metadata a member that has no leader ends the stream instead of staying silent (etcd's
# api/v3rpc/rpctypes/metadatafields.go).
_REQUIRE_LEADER = (("hasleader", "true"),)

# How many openings in a row may be refused because of the token; each fetches a new one.
_MAX_REFUSALS = 3

# Seconds after which a stream that its handler reopens counts as healthy, so that the backoff is
# reset. A handler that reopens the stream sooner, again and again, must not do so without pauses
# just because each opening received something.
_HEALTHY_AFTER = 5.0

# Openings in a row without a response after which the stream warns that it is not served, although
# there is no outage: behind a proxy that ends streams, or without the endpoints of an `SRV`.
_MAX_IN_VAIN = 3

# Seconds that a call which was given up may take to end.
_END_TIME = 5.0


class StreamHandler(Protocol[RequestT_co, ResponseT_contra]):
    """The callbacks of a `Stream`; they run in the event loop and must not block."""

    def opened(self) -> Iterable[RequestT_co]:
        """Called when the stream was opened or reopened; return the first requests to send.

        The server has no memory of the requests on an earlier opening.
        """

    def received(self, response: ResponseT_contra) -> None:
        """Called with each response."""

    def broken(self, error: errors.ClientError) -> None:
        """Called when the stream broke, before it is opened again."""

    def ended(self, error: errors.ClientError) -> None:
        """Called once, with the reason, when the stream has ended; no response follows."""


class Stream(NonCopyable, Generic[RequestT, ResponseT]):
    """A bidirectional RPC that is kept open until it is closed; see `Channel.stream`.

    After every break, also if the server ends it with OK, the stream is opened again: on the next
    member, with a new token, after a pause that grows until a response is received. It ends when
    it is closed, or when the server refuses it for a permanent reason. It runs in a task, which
    `close` awaits.
    """

    def __init__(
        self,
        rpc: Rpc[RequestT, ResponseT],
        handler: StreamHandler[RequestT, ResponseT],
        pool: ConnectionPool,
        tokens: Tokens | None,
        metadata: Metadata,
        observer: Observer,
    ) -> None:
        self.reconnects = 0
        """How often the stream was opened again."""
        self.is_through_grpc_proxy = False
        """Whether the endpoint on which it was last opened is etcd's grpc-proxy."""
        self.response_bytes = 0
        """The size on the wire of the response that the handler received last."""
        self._rpc = rpc
        self._handler = handler
        self._pool = pool
        self._tokens = tokens
        self._metadata = _REQUIRE_LEADER + metadata
        self._observer = observer
        # Requests to be written on the open stream; cleared when it breaks.
        self._outbox: deque[RequestT] = deque()
        self._wake_writer = asyncio.Event()
        self._call: aio.StreamStreamCall[bytes, bytes] | None = None
        # Why the handler or the connection asked to reopen the stream, which had not broken.
        self._reopen_reason: errors.ClientError | None = None
        # The error of a response that cannot be parsed. It ends the stream, because another
        # member would send the same response.
        self._unreadable: errors.InternalError | None = None
        self._write_error: Exception | None = None
        # Whether the present opening received a response.
        self._received_any = False
        self._stopped = False
        self._end_reported = False
        self._may_open = asyncio.Event()
        self._may_open.set()
        self._task = asyncio.create_task(self._run(), name=f"etcd {rpc.name}")
        self._task.add_done_callback(self._report_end_of_task)

    def __repr__(self) -> str:
        state = "ended" if self.ended else "closed" if self._call is None else "open"
        return f"Stream({self._rpc.name}, {state}, reconnects={self.reconnects})"

    @property
    def ended(self) -> bool:
        """Whether the stream has ended and is not opened again."""
        return self._task.done()

    def on_end(self, callback: Callable[[Stream[RequestT, ResponseT]], None]) -> None:
        """Call `callback` with the stream when it has ended."""
        self._task.add_done_callback(lambda _: callback(self))

    def hold(self) -> None:
        """Put off the first opening until `open`; call it right after `Channel.stream`."""
        self._may_open.clear()

    def open(self) -> None:
        """Open the stream if it was put off."""
        self._may_open.set()

    def send(self, request: RequestT) -> None:
        """Write a request on the open stream.

        If the stream is not open, the request is dropped: `StreamHandler.opened` returns the
        first requests of the next opening.
        """
        if self._call is not None:
            self._outbox.append(request)
            self._wake_writer.set()

    def reopen(self, error: errors.ClientError) -> None:
        """End the stream because of `error`, and open it again.

        If `error` is a `ConnectionTimeoutError`, it is opened on a new connection.
        """
        if self._call is not None and self._reopen_reason is None:
            self._reopen_reason = error
            self._call.cancel()

    def _reopen_elsewhere(self, reason: errors.ClientError) -> None:
        """Reopen the stream: its transport was given up, or its member is no longer an endpoint."""
        kind = type(reason)
        self.reopen(kind(reason.message, method=self._rpc.name, endpoint=reason.endpoint))

    def stop(self) -> None:
        """Start to end the stream, without waiting for its end as `close` does."""
        self._stopped = True
        if not self._task.done():
            self._task.cancel()

    async def close(self) -> None:
        """End the stream and its task; idempotent."""
        self.stop()
        await asyncio.wait([self._task])

    # The task ------------------------------------------------------------------------

    async def _run(self) -> None:
        final: errors.ClientError = errors.ClientClosedError("the client is closed")
        try:
            final = await self._keep_open()
        except asyncio.CancelledError:
            # Cancelled by close(), which does not await the result, or by a program that cancels
            # all tasks, as asyncio.run() does at its end.
            if not self._stopped:
                final = errors.ClientClosedError("the task of the stream was cancelled")
        except Exception as error:
            _log.exception("%s: the stream ended because of an error in the client", self._rpc.name)
            final = errors.InternalError(f"the client failed: {error!r}", method=self._rpc.name)
            final.__cause__ = error
        self._report_end(final)

    def _report_end(self, error: errors.ClientError) -> None:
        if not self._end_reported:
            self._end_reported = True
            try:
                self._handler.ended(error)
            except Exception:
                _log.exception("%s: the handler failed at the end of the stream", self._rpc.name)

    def _report_end_of_task(self, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step never runs `_run`.
        self._report_end(errors.ClientClosedError("the client is closed"))

    async def _keep_open(self) -> errors.ClientError:
        """Open the stream, reopen it after every break, and return the error that ends it."""
        backoff = Backoff()
        attempt = refusals = in_vain = 0
        now = asyncio.get_running_loop().time
        # An eager task runs before the handler has its stream, and before `hold` can be called.
        await asyncio.sleep(0)
        await self._may_open.wait()
        while True:
            self._received_any = False
            opened = now()
            error = await self._serve()
            if self._stopped:
                # If the stream breaks at the same moment, gRPC swallows the cancellation of this
                # task and reports the break instead.
                return errors.ClientClosedError("the client is closed")
            if isinstance(error, errors.ClientClosedError):
                return error
            requested = error is self._reopen_reason
            decision = Decision.REPEAT if requested else classify_stream(error)
            if error is self._unreadable:
                decision = Decision.RAISE
            if self._received_any and not (requested and now() - opened < _HEALTHY_AFTER):
                backoff.reset()
                attempt = refusals = 0
            refusals += decision is Decision.REFRESH_TOKEN
            attempt += 1
            if decision is Decision.RAISE or refusals > _MAX_REFUSALS:
                self._observer.stream_broke(self._rpc, error, attempt, repeated=False)
                return error
            self.reconnects += 1
            # The pool reports the loss of a member, once for all streams.
            if self._received_any or self._pool.is_lost or not is_loss(error):
                in_vain = 0
            else:
                in_vain += 1
            once = in_vain == _MAX_IN_VAIN if is_loss(error) else attempt == 1
            level = logging.WARNING if once else logging.DEBUG
            _log.log(
                level, "%s: the stream broke, opening it again: %s", self._rpc.name, str(error)
            )
            self._handler.broken(error)
            self._observer.stream_broke(self._rpc, error, attempt, repeated=True)
            try:
                await self._pool.pause(backoff.next())
            except errors.ClientClosedError as closed:
                return closed

    async def _serve(self) -> errors.ClientError:
        """Open the stream and serve it until it breaks; return the reason."""
        try:
            connection = await self._pool.connect(self._rpc, None, None)
            metadata = self._metadata
            if self._tokens is not None:
                await self._tokens.renew(self._tokens.fetched)
                metadata += self._tokens.metadata or ()
                if connection.draining:
                    connection = await self._pool.connect(self._rpc, None, None)
        except errors.ClientError as error:
            return error
        self.is_through_grpc_proxy = connection.is_grpc_proxy
        transport = connection.transport(self._rpc.path)
        call = self._call = connection.duplex(self._rpc.path)(metadata=metadata)
        self._reopen_reason = None
        transport.streams.add(self._reopen_elsewhere)
        transport.waiting += 1
        self._outbox.clear()
        # Both in tasks of their own: gRPC does not tell a cancelled call from a cancelled task, and
        # a cancellation of this task must not be taken for the end of the call.
        writer = asyncio.create_task(self._write(call))
        reader: asyncio.Task[errors.ClientError] | None = None
        try:
            self._outbox.extend(self._handler.opened())
            self._wake_writer.set()
            reader = asyncio.create_task(self._read(call, transport, connection.endpoint.name))
            await asyncio.wait([reader])
            reason = reader.result()
        finally:
            self._call = None
            transport.waiting -= 1
            transport.streams.discard(self._reopen_elsewhere)
            tasks = _cancel(call, writer, reader)
            # Another cancellation must not leave them behind.
            await finish(_await_end(tasks))
        if isinstance(reason, errors.ConnectionTimeoutError) and reason is self._reopen_reason:
            # The handler received no response: the connection may be lost.
            connection.give_up(self._rpc.path, transport)
        # A stream that was never answered is no news about the member: it may have failed while
        # the member was starting, and be seen here after another stream was opened again.
        lost = self._received_any and is_loss(reason)
        self._pool.mark_failed(connection, reason if lost else None)
        return reason

    async def _read(
        self,
        call: aio.StreamStreamCall[bytes, bytes],
        transport: Transport,
        endpoint: str,
    ) -> errors.ClientError:
        """Pass responses to the handler until the stream breaks; return the reason."""
        decode = self._rpc.decode
        try:
            # Not by `read`, which returns no response after a write that failed: see `_cancel`.
            async for response in call:
                if self._call is not call:
                    continue  # it was given up; only its end is awaited
                self._received_any = True
                transport.received += 1
                try:
                    decoded = decode(response)
                except DecodeError as cause:
                    self._unreadable = self._rpc.unreadable_response(endpoint)
                    self._unreadable.__cause__ = cause.with_traceback(None)
                    return self._unreadable
                self.response_bytes = len(response)
                self._handler.received(decoded)
            return errors.ConnectionFailedError(
                "the server ended the stream", method=self._rpc.name, endpoint=endpoint
            )
        except aio.AioRpcError as cause:
            has_user = self._tokens is not None
            return to_client_error(cause, self._rpc, endpoint, has_user=has_user)
        except asyncio.CancelledError:
            # The call was cancelled by reopen(), by a failed writer, or because the connection was
            # closed; or this task was, and then the result is of no interest.
            if self._write_error is not None:
                raise self._write_error from None
            return self._reopen_reason or errors.ConnectionFailedError(
                "the connection was closed", method=self._rpc.name, endpoint=endpoint
            )

    async def _write(self, call: aio.StreamStreamCall[bytes, bytes]) -> None:
        try:
            while True:
                await self._wake_writer.wait()
                self._wake_writer.clear()
                while self._outbox:
                    request = self._outbox.popleft()
                    if type(request) is not self._rpc.request:
                        raise self._rpc.wrong_request(request)
                    await call.write(self._rpc.encode(request))
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return  # the stream broke; `_read` gets the reason
        except Exception as error:
            # The handler sent an invalid request; `_read` raises this error.
            self._write_error = error
            call.cancel()


def _cancel(
    call: aio.StreamStreamCall[bytes, bytes],
    writer: asyncio.Task[None],
    reader: asyncio.Task[errors.ClientError] | None,
) -> set[asyncio.Task[Any]]:
    """Cancel a call and its tasks; return the tasks that must end before it has ended.

    If a write has failed, gRPC takes the call for ended and does not cancel it
    (https://github.com/grpc/grpc/issues/36066). Its real end comes behind the responses that were
    not read yet: without them, the call and its connection would be kept for ever.
    """
    tasks: set[asyncio.Task[Any]] = {writer}
    is_cancelled = call.cancel()
    writer.cancel()
    if reader is not None:
        tasks.add(reader)
        if is_cancelled:
            reader.cancel()
    if not is_cancelled:
        tasks.add(asyncio.create_task(_read_to_the_end(call, after=reader)))
    return tasks


async def _await_end(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks, timeout=_END_TIME)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _read_to_the_end(
    call: aio.StreamStreamCall[bytes, bytes], *, after: asyncio.Task[Any] | None
) -> None:
    if after is not None:
        await asyncio.wait([after])
    # gRPC raises a cancellation at the end of a call that was cancelled.
    with contextlib.suppress(aio.AioRpcError, asyncio.CancelledError):
        async for _ in call:
            pass
