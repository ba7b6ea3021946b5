"""A bidirectional stream that opens itself again after every break."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message
from grpc import aio

from etcd_channel import errors
from etcd_channel._connection import Connection
from etcd_channel._judgement import Backoff, Verdict, judge_stream, to_client_error
from etcd_channel._members import Members
from etcd_channel._tokens import Metadata, Tokens
from etcd_channel.rpc import Rpc

__all__ = ["Reconnect", "Stream", "StreamHandler", "checked_hook"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
RequestT_co = TypeVar("RequestT_co", bound=Message, covariant=True)
ResponseT_contra = TypeVar("ResponseT_contra", bound=Message, contravariant=True)

_log = logging.getLogger("etcd_channel")

# A member without a leader ends such a stream instead of leaving it silent (etcd's
# api/v3rpc/rpctypes/metadatafields.go).
_REQUIRE_LEADER = (("hasleader", "true"),)

# Openings in a row that were refused for their token, each with a new one.
_MOST_REFUSALS = 3

# Seconds after which a stream that its handler gives up was well all the same: the pauses
# before others begin anew. One given up sooner, again and again, must not be opened at full
# speed because each says something first.
_WELL_AFTER = 5.0


@dataclass(frozen=True)
class Reconnect:
    """What is told of a stream that broke: `attempt` counts from 1 since it last was well."""

    rpc: str
    error: errors.ClientError
    attempt: int


class StreamHandler(Protocol[RequestT_co, ResponseT_contra]):
    """What a stream serves; all of it is called in the event loop and must not block."""

    def opened(self) -> Iterable[RequestT_co]:
        """Return the requests that a new stream begins with.

        Nothing of what was sent on an earlier one is known to this one.
        """

    def received(self, response: ResponseT_contra) -> None:
        """Take a response."""

    def broken(self, error: errors.ClientError) -> None:
        """Take note that the stream broke; it is opened again."""

    def ended(self, error: errors.ClientError) -> None:
        """Take note that there will be no further response, and why."""


class Stream(Generic[RequestT, ResponseT]):
    """Keeps one bidirectional RPC open on a member that answers, until it is closed.

    Whatever ends it, a clean end by the server included, it is opened again: on the next
    member, with a fresh token, after a pause that grows until something is received. It
    ends for good when it is closed, or when the server refuses it for a reason that will
    not go away. Made by `Channel.stream`; its task is its own, and `close` awaits it.
    """

    def __init__(
        self,
        rpc: Rpc[RequestT, ResponseT],
        handler: StreamHandler[RequestT, ResponseT],
        members: Members,
        tokens: Tokens | None,
        metadata: Metadata,
        on_reconnect: Callable[[Reconnect], None],
    ) -> None:
        self.reconnects = 0
        """How often it was opened again."""
        self._rpc = rpc
        self._handler = handler
        self._members = members
        self._tokens = tokens
        self._metadata = _REQUIRE_LEADER + metadata
        self._on_reconnect = on_reconnect
        # What is to be written on the open stream; emptied when it breaks.
        self._outbox: deque[RequestT] = deque()
        self._wake_writer = asyncio.Event()
        self._call: aio.StreamStreamCall[RequestT, ResponseT] | None = None
        self._connection: Connection | None = None
        # Why the stream is to be opened again although it has not broken.
        self._demand: errors.ClientError | None = None
        self._failed_to_write: Exception | None = None
        self._heard = False
        self._stopped = False
        self._told_the_end = False
        self._task = asyncio.create_task(self._run(), name=f"etcd {rpc.name}")
        self._task.add_done_callback(self._tell_the_end_at_last)

    @property
    def ended(self) -> bool:
        """Whether the stream is over for good."""
        return self._task.done()

    def on_end(self, callback: Callable[[Stream[RequestT, ResponseT]], None]) -> None:
        """Call `callback` with the stream when it is over for good."""
        self._task.add_done_callback(lambda _: callback(self))

    def send(self, request: RequestT) -> None:
        """Write a request on the open stream.

        Where none is open it is dropped: `StreamHandler.opened` says what the next one
        must know.
        """
        if self._call is not None:
            self._outbox.append(request)
            self._wake_writer.set()

    def reopen(self, error: errors.ClientError) -> None:
        """Give up the open stream because of `error`, and open another."""
        if self._call is not None and self._demand is None:
            self._demand = error
            self._call.cancel()

    def move_off(self, connections: Collection[Connection]) -> None:
        """Open the stream on another connection if it is on one of these."""
        connection = self._connection
        if connection is not None and connection in connections:
            self.reopen(
                errors.ConnectionFailedError(
                    "the member is none of the channel's endpoints any more",
                    method=self._rpc.name,
                    endpoint=connection.endpoint.name,
                )
            )

    def stop(self) -> None:
        """Begin to end the stream; `close`, at the latest the channel's, awaits the end."""
        self._stopped = True
        self._task.cancel()

    async def close(self) -> None:
        """End the stream and its task; idempotent."""
        self.stop()
        await asyncio.wait([self._task])

    # The task ------------------------------------------------------------------------

    async def _run(self) -> None:
        final: errors.ClientError = errors.ClientClosedError("the channel is closed")
        try:
            final = await self._keep_open()
        except asyncio.CancelledError:
            pass  # by close(), which awaits this task and nothing of its result
        except Exception as error:
            _log.exception("%s: the stream failed by an error of the client", self._rpc.name)
            final = errors.InternalError(f"the client failed: {error!r}", method=self._rpc.name)
            final.__cause__ = error
        self._tell_the_end(final)

    def _tell_the_end(self, error: errors.ClientError) -> None:
        if not self._told_the_end:
            self._told_the_end = True
            try:
                self._handler.ended(error)
            except Exception:
                _log.exception("%s: the handler failed at the end of the stream", self._rpc.name)

    def _tell_the_end_at_last(self, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step never gets to say so itself.
        self._tell_the_end(errors.ClientClosedError("the channel is closed"))

    async def _keep_open(self) -> errors.ClientError:
        """Open the stream again and again; return the error that ends it for good."""
        backoff = Backoff()
        attempt = refusals = 0
        now = asyncio.get_running_loop().time
        while True:
            self._heard = False
            opened = now()
            error = await self._serve()
            if self._stopped:
                # Where the stream breaks at that very moment gRPC takes the cancellation
                # of this task for its own, and reports the break instead.
                return errors.ClientClosedError("the channel is closed")
            if isinstance(error, errors.ClientClosedError):
                return error
            demanded = error is self._demand
            verdict = Verdict.REPEAT if demanded else judge_stream(error)
            if self._heard and not (demanded and now() - opened < _WELL_AFTER):
                backoff.reset()
                attempt = refusals = 0
            refusals += verdict is Verdict.RENEW
            if verdict is Verdict.RAISE or refusals > _MOST_REFUSALS:
                return error
            attempt += 1
            self.reconnects += 1
            level = logging.WARNING if attempt == 1 else logging.DEBUG
            _log.log(level, "%s: the stream broke, opening it again: %s", self._rpc.name, error)
            self._handler.broken(error)
            self._on_reconnect(Reconnect(self._rpc.name, error, attempt))
            try:
                await self._members.pause(backoff.next())
            except errors.ClientClosedError as closed:
                return closed

    async def _serve(self) -> errors.ClientError:
        """Open the stream and serve it until it breaks; return why it did."""
        try:
            connection = await self._members.reach(self._rpc, None, None)
            metadata = self._metadata
            if self._tokens is not None:
                await self._tokens.renew(self._tokens.fetched)
                metadata += self._tokens.metadata or ()
                if connection.retired:
                    connection = await self._members.reach(self._rpc, None, None)
        except errors.ClientError as error:
            return error
        self._connection = connection
        call = self._call = connection.duplex(self._rpc)(metadata=metadata)
        self._demand = None
        self._outbox.clear()
        writer = asyncio.create_task(self._write(call))
        try:
            self._outbox.extend(self._handler.opened())
            self._wake_writer.set()
            reason = await self._read(call, connection.endpoint.name)
        finally:
            self._call = self._connection = None
            call.cancel()
            writer.cancel()
            await asyncio.wait([writer])
        self._members.leave(connection)
        return reason

    async def _read(
        self, call: aio.StreamStreamCall[RequestT, ResponseT], endpoint: str
    ) -> errors.ClientError:
        """Hand over what is received until the stream breaks; return why it did."""
        try:
            while True:
                response: Any = await call.read()
                if response is aio.EOF:
                    return errors.ConnectionFailedError(
                        "the server ended the stream", method=self._rpc.name, endpoint=endpoint
                    )
                self._heard = True
                self._handler.received(response)
        except aio.AioRpcError as cause:
            return to_client_error(cause, self._rpc, endpoint)
        except asyncio.CancelledError:
            # reopen() and a failed writer cancel the call and not the task, stop() the task.
            if self._failed_to_write is not None:
                raise self._failed_to_write from None
            if self._demand is None:
                raise
            return self._demand

    async def _write(self, call: aio.StreamStreamCall[RequestT, ResponseT]) -> None:
        try:
            while True:
                await self._wake_writer.wait()
                self._wake_writer.clear()
                while self._outbox:
                    request = self._outbox.popleft()
                    if type(request) is not self._rpc.request:
                        raise self._rpc.wrong_request(request)
                    await call.write(request)
        except (aio.AioRpcError, asyncio.InvalidStateError):
            # The stream broke; the reader learns it too, and says why.
            return
        except Exception as error:
            # A request that cannot be sent: the handler's fault, told by the reader.
            self._failed_to_write = error
            call.cancel()


def _no_hook(reconnect: Reconnect) -> None:
    """Stands where nobody wants to know."""


def checked_hook(hook: Any) -> Callable[[Reconnect], None]:
    """Return the caller's hook, guarded: an error of it is logged and stops nothing."""
    if hook is None:
        return _no_hook
    if not callable(hook):
        raise TypeError(f"on_reconnect must be callable, not {type(hook).__name__}")

    def guarded(reconnect: Reconnect) -> None:
        try:
            hook(reconnect)
        except Exception:
            _log.exception("on_reconnect failed")

    return guarded
