"""Unary calls over a bidirectional stream: one request, one response."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Sequence
from typing import Any

from grpc import StatusCode, aio

__all__ = ["UnaryOverStream"]


class UnaryOverStream:
    """Calls a bidirectional RPC, with the interface of gRPC's callable for a unary RPC.

    A unary call of gRPC half-closes the stream together with the request. etcd's server answers
    anyway, but etcd's grpc-proxy then cancels its own request to the server. This class ends the
    stream only after the response was received.
    """

    def __init__(self, open_stream: aio.StreamStreamMultiCallable[bytes, bytes]) -> None:
        self._open_stream = open_stream

    def __call__(
        self,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
    ) -> Exchange:
        """Open the stream; awaiting the result sends the request."""
        return Exchange(self._open_stream(timeout=timeout, metadata=metadata), request)


class Exchange:
    """A call in flight; await it once for the response, or cancel it.

    Raises `AioRpcError` as a unary call does, with UNAVAILABLE for a stream that the server
    ended with OK and without a response. Cancellation ends the stream. As for all calls of gRPC,
    `grpc_result` distinguishes a cancelled task from a cancelled call.
    """

    def __init__(self, call: aio.StreamStreamCall[bytes, bytes], request: bytes) -> None:
        self._call = call
        self._request = request
        self._writing: asyncio.Future[None] | None = None

    def cancel(self) -> bool:
        is_cancelled = self._call.cancel()
        if self._writing is not None:
            # If gRPC has not sent the headers yet, because it is still connecting for example, the
            # write waits for that, and gRPC does not wake it up when the call is cancelled.
            self._writing.cancel()
        return is_cancelled

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline, 0.0 if it has passed; None if there is none."""
        return self._call.time_remaining()

    def __await__(self) -> Generator[Any, None, bytes]:
        return self._run().__await__()

    async def _run(self) -> bytes:
        try:
            return await self._exchange()
        finally:
            self._call.cancel()

    async def _exchange(self) -> bytes:
        call = self._call
        ends: list[aio.AioRpcError] = []
        call.add_done_callback(lambda _: ends.append(_end_of(call)))
        self._writing = asyncio.ensure_future(call.write(self._request))
        try:
            await self._writing
        except asyncio.InvalidStateError:
            pass  # The stream has ended; the read below gives the reason.
        except aio.AioRpcError:
            # gRPC reports a write on a stream that the server ended as INTERNAL, instead of the
            # status that the server sent.
            if ends:
                raise ends[0] from None
            raise
        answer: Any = await call.read()
        if answer is aio.EOF:
            raise _end_of(call)
        return bytes(answer)


def _end_of(call: aio.StreamStreamCall[bytes, bytes]) -> aio.AioRpcError:
    """Return the error for a call that ended without a response."""
    code, details = _at_once(call.code()), _at_once(call.details())
    if code is StatusCode.OK:
        code, details = StatusCode.UNAVAILABLE, "the server ended the stream without a response"
    initial, trailing = _at_once(call.initial_metadata()), _at_once(call.trailing_metadata())
    return aio.AioRpcError(code, initial, trailing, details)


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("gRPC reports that a call has ended, but has no status for it")
