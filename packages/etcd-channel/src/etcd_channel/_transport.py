"""`Transport`, one gRPC channel to a member, which knows how long it has been silent."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

from grpc import StatusCode, aio

from etcd_channel._grpc_result import CallCancelled, grpc_result
from etcd_channel._unary_over_stream import UnaryOverStream
from etcd_channel.errors import ClientError
from etcd_channel.rpc import Rpc

__all__ = ["Transport", "is_silence"]

# etcd serves gRPC's health service without authentication; a server without the service answers
# UNIMPLEMENTED, which is an answer too.
_PROBE = "/grpc.health.v1.Health/Check"


class PendingCall(Protocol):
    """A call in flight, which can be awaited for its response or cancelled."""

    def __await__(self) -> Generator[Any, None, bytes]: ...
    def cancel(self) -> bool: ...
    def time_remaining(self) -> float | None: ...


UnaryCall = Callable[..., PendingCall]
"""Sends a request; called with the request, `timeout` and `metadata`."""

_UNREACHED = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)


class Transport:
    """One gRPC channel, which is one TCP connection: for calls, for downloads or for a stream.

    Each transport is checked for silence separately, because a NAT or a load balancer can drop
    one connection to a member and keep another one.
    """

    def __init__(self, channel: aio.Channel, silence_limit: float, generation: int = 0) -> None:
        self.channel = channel
        self.generation = generation
        """The generation of the certificates with which it connects, and connects again."""
        self.silence_limit = silence_limit
        """Seconds after which the member is probed if nothing was received."""
        self.waiting = 0
        """The number of calls, downloads and streams that wait to receive something."""
        self.received = 0
        """The number of messages received."""
        self.failure: ClientError | None = None
        """Why the transport was given up; None if it was not."""
        self.streams: set[Callable[[ClientError], None]] = set()
        """Callbacks, one for each open stream, that make it reopen on another transport."""
        self.open_calls: set[Any] = set()
        """The calls and downloads in flight; each one adds and removes itself."""
        self.unary: dict[str, UnaryCall] = {}
        """Callables for unary RPCs by path."""
        # `received` at the last check, and the seconds of silence since then.
        self._last_received = 0
        self._silence = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight on it."""
        return not self.waiting and not self.open_calls

    def call(self, rpc: Rpc[Any, Any]) -> UnaryCall:
        """Return a callable for the RPC, and store it in `unary`.

        It takes and returns bytes, because gRPC would log messages that it cannot parse to
        stderr.
        """
        unary_call: UnaryCall
        if rpc.duplex:
            unary_call = UnaryOverStream(self.channel.stream_stream(rpc.path))
        else:
            unary_call = self.channel.unary_unary(rpc.path)
        self.unary[rpc.path] = unary_call
        return unary_call

    def is_silent(self, elapsed: float) -> bool:
        """Add `elapsed` seconds; return whether the member must be probed now."""
        if not self.waiting or self.received != self._last_received:
            self._last_received = self.received
            self._silence = 0.0
            return False
        self._silence += elapsed
        return self._silence >= self.silence_limit

    async def probe(self, timeout: float) -> bool:
        """Wait for any answer of the member; return whether it has the health service.

        Raises gRPC's error if there was no answer, and `CallCancelled` when the transport was
        closed.
        """
        call: aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(_PROBE)
        try:
            await grpc_result(call(b"", timeout=timeout))
        except aio.AioRpcError as error:
            if error.code() in _UNREACHED:
                raise
            has_health_service = error.code() is not StatusCode.UNIMPLEMENTED
        else:
            has_health_service = True
        self.received += 1
        return has_health_service

    def give_up(self, failure: ClientError) -> None:
        """End everything in flight because of `failure`; streams reopen on another transport."""
        self.failure = failure
        for reopen_elsewhere in tuple(self.streams):
            reopen_elsewhere(failure)
        self._end_calls()

    def _end_calls(self) -> None:
        for call in tuple(self.open_calls):
            call.cancel()

    async def close(self) -> None:
        """End everything in flight and close the TCP connection."""
        self.unary.clear()
        self._end_calls()  # gRPC 1.62 does not end downloads with their channel; 1.85 does
        await self.channel.close()


def is_silence(cause: BaseException) -> bool:
    """Whether a failure means that nothing was received, not even an end of the connection."""
    if isinstance(cause, CallCancelled):
        return False
    if not isinstance(cause, aio.AioRpcError):
        return True
    # gRPC can end an attempt to connect, with UNAVAILABLE, before the dial times out.
    return cause.code() is StatusCode.DEADLINE_EXCEEDED or "timed out" in str(cause.details())
