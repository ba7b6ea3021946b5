"""The way to one member: its gRPC channels, made at first use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from grpc import StatusCode, aio

from etcd_channel._single_flight import SingleFlight
from etcd_channel.endpoints import Endpoint
from etcd_channel.errors import ClientClosedError
from etcd_channel.rpc import Rpc
from etcd_channel.tls import TLS

__all__ = ["Connection", "settle"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

# The answer does not matter, only that there is one: etcd serves gRPC's health service
# to everybody, and a server that does not still says that it does not.
_PROBE = "/grpc.health.v1.Health/Check"
# By itself gRPC reads as far ahead as the connection lets it, tens of megabytes on a fast one.
_READ_AHEAD = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1 << 20))
_UNREACHED = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)


class Connection:
    """The way to one member.

    `healthy` says that the last thing heard of it was good: then a call is sent without
    asking first. When it is not, `dial` finds out, apart from any request, so that a
    request is never sent where nobody is known to listen.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        tls: TLS | None,
        options: Sequence[tuple[str, Any]],
        dial_timeout: float,
    ) -> None:
        self.endpoint = endpoint
        self.healthy = False
        self._tls = tls
        self._options = options
        self.dial_timeout = dial_timeout
        """Seconds that the member may take to answer when it is asked whether it does."""
        self.under_way = 0
        """How many calls, downloads and dials use it now; whoever does counts itself."""
        self.retired = False
        """Whether no other may begin. Who ends then, calls `ended`."""
        self.downloads: set[aio.UnaryStreamCall[Any, Any]] = set()
        """Those under way; whoever begins one enters it, and takes it out again."""
        self._channels: dict[str, aio.Channel] = {}
        self._closed = False
        self.was_open = False
        """Whether a gRPC channel was ever made."""
        self._unary: dict[str, aio.UnaryUnaryMultiCallable[bytes, bytes]] = {}
        self._unused = asyncio.Event()
        self._probe = SingleFlight(self._ask)

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self._tls is not None

    def _channel(self, use: str) -> aio.Channel:
        """The gRPC channel for a use; made here, because this runs in the event loop.

        Streams have their own: a large range on the same connection would hold up the events
        behind it (etcd issue 15402). So would a download.
        """
        channel = self._channels.get(use)
        if channel is None:
            if self._closed:
                raise ClientClosedError("the channel is closed")
            target = self.endpoint.target
            # How long gRPC tries to connect is by its own default 20 s, and was decided here.
            # The caller's options go first: of two of a name, gRPC takes the first.
            patience = ("grpc.min_reconnect_backoff_ms", max(int(self.dial_timeout * 1000), 1))
            options = [*self._options, patience]
            if use == "downloads":
                options += _READ_AHEAD
            if self._tls is None:
                channel = aio.insecure_channel(target, options=options)
            else:
                channel = aio.secure_channel(
                    target, self._tls.credentials(), options=[*options, *self._tls.options()]
                )
            self._channels[use] = channel
            self.was_open = True
        return channel

    def unary(self, rpc: Rpc[Any, Any]) -> aio.UnaryUnaryMultiCallable[bytes, bytes]:
        """The RPC as something to call, kept for the next time.

        It takes and returns bytes: what cannot be read gRPC would log on stderr.
        """
        call = self._unary.get(rpc.path)
        if call is None:
            call = self._unary[rpc.path] = self._channel("calls").unary_unary(rpc.path)
        return call

    def download(
        self, rpc: Rpc[RequestT, ResponseT]
    ) -> aio.UnaryStreamMultiCallable[RequestT, ResponseT]:
        """The RPC, one of many responses to a request, as something to call."""
        return self._channel("downloads").unary_stream(
            rpc.path,
            request_serializer=rpc.request.SerializeToString,
            response_deserializer=rpc.response.FromString,
        )

    def duplex(
        self, rpc: Rpc[RequestT, ResponseT]
    ) -> aio.StreamStreamMultiCallable[RequestT, ResponseT]:
        """The RPC, a bidirectional stream, as something to call."""
        # Watches and keep-alives apart: a replay of history must not stand before an answer
        # that a lease lives by.
        return self._channel(rpc.path).stream_stream(
            rpc.path,
            request_serializer=rpc.request.SerializeToString,
            response_deserializer=rpc.response.FromString,
        )

    async def dial(self, timeout: float) -> None:
        """Return when the member has answered; all who dial at once ask once.

        Raises gRPC's error, or `asyncio.TimeoutError` when `timeout` seconds went by.
        """
        self.under_way += 1
        try:
            await self._probe.run(timeout)
        finally:
            self.under_way -= 1
            if self.retired:
                self.ended()

    async def _ask(self) -> None:
        probe: aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel("calls").unary_unary(
            _PROBE
        )
        try:
            await probe(b"", timeout=self.dial_timeout)
        except aio.AioRpcError as error:
            if error.code() in _UNREACHED:
                raise
        self.healthy = True

    def ended(self) -> None:
        """Take note that something ended here."""
        if not self.under_way:
            self._unused.set()

    async def retire(self) -> None:
        """Close the connection when all that is under way has ended.

        `retired` is to be set before. Streams, which know no end, have to leave.
        """
        if self.under_way:
            await self._unused.wait()
        await self.close()

    async def close(self) -> None:
        """End what is under way, and the connection."""
        self.healthy = False
        self._closed = True
        await self._probe.close()
        self._unary.clear()
        # gRPC 1.62 does not end them with their channel; 1.85 does.
        for call in tuple(self.downloads):
            call.cancel()
        while self._channels:
            _, channel = self._channels.popitem()
            await channel.close()


async def settle() -> None:
    """Return when this event loop has heard from gRPC how all that was cancelled has ended.

    That news comes through one queue for the whole process. What arrives after its loop was
    closed is reported in the next loop as an exception in a callback (grpc issue 25364). The
    queue keeps its order, so the end of a call that can but fail comes after all the rest.
    """
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with aio.insecure_channel("unix:/", options=options) as channel:
        last: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_PROBE)
        try:
            await last(b"", timeout=0)
        except aio.AioRpcError:
            return
