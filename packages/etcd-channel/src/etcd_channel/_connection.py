"""The connection to one member: opens its gRPC channels and replaces those that stay silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from grpc import aio

from etcd_channel import errors
from etcd_channel._options import INT32_MAX, Options
from etcd_channel._single_flight import SingleFlight
from etcd_channel._transport import Transport, is_silence
from etcd_channel.endpoints import Endpoint
from etcd_channel.tls import TLS

__all__ = ["Connection", "KeepaliveTimes"]

T = TypeVar("T")

# By default gRPC reads ahead without limit, tens of megabytes on a fast connection.
_READ_AHEAD = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1 << 20))

# Seconds to wait for a late answer to a probe after its transport was given up; also the maximum
# of the probe timeout that is extended because of late answers.
_LATE_ANSWER_TIME = 30.0

# Seconds for which a late answer extends the timeout of later probes.
_EXTENSION_TIME = 600.0

# Seconds. A call expects a response soon, unlike a stream, so it is probed earlier. A call that
# takes long costs one probe per second.
_CALL_SILENCE = 1.0

_CALLS = "calls"
_DOWNLOADS = "downloads"
_OLD_CALLS = "calls with old certificates "


class KeepaliveTimes(NamedTuple):
    """When a silent member is probed and its transport given up, in seconds."""

    stream_silence: float
    """The time that a stream may receive nothing before the member is probed."""
    probe_timeout: float
    """The time that the answer to a probe may take before the transport is given up."""

    @property
    def call_silence(self) -> float:
        """The time that a call may receive nothing before the member is probed."""
        return min(_CALL_SILENCE, self.stream_silence)

    @property
    def check_interval(self) -> float:
        """The interval of the checks for silence."""
        return self.call_silence / 2


class Connection:
    """The connection to one member.

    It has a transport for unary calls, one for downloads and one for each kind of stream.
    `healthy` means that the member answered last time, so a call is sent without a probe.
    Otherwise `dial` probes the member first, so that no request is sent to a member that may not
    answer.

    If a call, a download or a stream waits on a transport and nothing is received there, the
    member is probed on that transport. If the probe is not answered in time, the transport is
    given up: everything in flight on it ends, and the next use opens a new one. gRPC's own pings
    detect a lost connection only after a minute.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        tls: TLS | None,
        options: Options,
        dial_timeout: float,
        redial_timeout: float,
        times: KeepaliveTimes,
        answered: Callable[[Connection], object],
    ) -> None:
        self.endpoint = endpoint
        self.healthy = False
        self._tls = tls
        self._options = options.of(endpoint)
        self._times = times
        self.dial_timeout = dial_timeout
        """Seconds that the member may take to connect and to answer a probe."""
        self.redial_timeout = redial_timeout
        """The same for a transport on which something was received before."""
        self.in_flight = 0
        """The number of downloads and dials in progress; each one counts itself."""
        self.monitored_calls: Transport | None = None
        """The transport of unary calls while it is checked for silence; if None, use `calls`."""
        self.is_grpc_proxy = False
        """Whether the endpoint is etcd's grpc-proxy, which, unlike a member, has no health
        service."""
        self.draining = False
        """Whether new calls must use another connection; each call that ends calls `release`."""
        self._transports: dict[str, Transport] = {}
        self._given_up: set[Transport] = set()
        """Transports that are about to be closed."""
        self._closed = False
        self.was_open = False
        """Whether a gRPC channel was ever opened."""
        self._unused = asyncio.Event()
        self._dialing = SingleFlight(self._probe_for_dial)
        # Called when a dial has succeeded, also if nobody waits for it any more.
        self._answered = answered
        self._timer: asyncio.TimerHandle | None = None
        # Probes of transports, and the closing of transports that were given up.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._checks: set[asyncio.Task[None]] = set()
        # The probe timeout that a late answer extended, and the time at which that ends.
        self._extended_timeout = self._extended_until = 0.0

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self._tls is not None

    # Transports ------------------------------------------------------------------------

    def transport(self, use: str) -> Transport:
        """Return the transport for a use; open it if there is none.

        Calls, downloads and each kind of stream have separate transports: on one TCP connection
        a large response would delay events (etcd issue 15402), and the replay of a watch's
        history would delay the responses that keep a lease alive.
        """
        transport = self._transports.get(use)
        if transport is not None and self._is_outdated(transport) and transport.idle:
            self._close_idle(use)
            transport = None
        if transport is None:
            if self._closed and not self.draining:
                # The pool closed it after the caller had picked it.
                raise errors.ClientClosedError("the client was closed")
            if self._closed:
                raise errors.ConnectionFailedError(
                    "the connection is closed", endpoint=self.endpoint.name, definite=True
                )
            times = self._times
            silence = times.call_silence if use == _CALLS else times.stream_silence
            channel = self._channel(use)
            transport = Transport(channel, silence, self._generation)
            self._transports[use] = transport
            self.was_open = True
        self.monitor()
        return transport

    @property
    def calls(self) -> Transport:
        """The transport of unary calls, which is checked for silence from now on."""
        self.monitored_calls = self.transport(_CALLS)
        return self.monitored_calls

    @property
    def download_transport(self) -> Transport:
        """The transport of downloads."""
        return self.transport(_DOWNLOADS)

    def _channel(self, use: str) -> aio.Channel:
        target = self.endpoint.target
        # The default of gRPC is to try to connect for 20 s. The caller's options come first,
        # because gRPC uses the first of two options with the same name.
        milliseconds = min(max(int(self.dial_timeout * 1000), 1), INT32_MAX)
        connect_time = ("grpc.min_reconnect_backoff_ms", milliseconds)
        options = [*self._options, connect_time]
        if use == _DOWNLOADS:
            options += _READ_AHEAD
        if self._tls is None:
            return aio.insecure_channel(target, options=options)
        self._tls.reload()
        return aio.secure_channel(
            target, self._tls.credentials(), options=[*options, *self._tls.options()]
        )

    def download(self, path: str) -> aio.UnaryStreamMultiCallable[bytes, bytes]:
        """Return a callable for an RPC with a stream of responses.

        It takes and returns bytes, because gRPC would log messages that it cannot parse.
        """
        return self.transport(_DOWNLOADS).channel.unary_stream(path)

    def duplex(self, path: str) -> aio.StreamStreamMultiCallable[bytes, bytes]:
        """Return a callable for a bidirectional RPC, which has a transport of its own."""
        return self.transport(path).channel.stream_stream(path)

    # Certificates --------------------------------------------------------------------------

    @property
    def _generation(self) -> int:
        return 0 if self._tls is None else self._tls.generation

    def _is_outdated(self, transport: Transport) -> bool:
        """Whether other certificates are in use than when the transport was opened.

        gRPC would use the old ones each time it connects again.
        """
        return transport.generation != self._generation

    def _leave_outdated_transports(self) -> None:
        """Close the idle transports with old certificates, and make calls use a new one.

        What is in flight goes on: a transport of calls stays, under another name, until its last
        call has ended, and one of streams until they have ended.
        """
        for use, transport in tuple(self._transports.items()):
            if not self._is_outdated(transport):
                continue
            if transport.idle:
                self._close_idle(use)
            elif use == _CALLS:
                self._transports[f"{_OLD_CALLS}{transport.generation}"] = self._transports.pop(use)
                self.monitored_calls = None

    # Probes ------------------------------------------------------------------------------

    async def dial(self, timeout: float) -> None:
        """Wait until the member answers a probe, which concurrent callers share.

        Raises gRPC's error, `StillRunning` after `timeout` seconds, and `CallCancelled`
        when the connection was closed.
        """
        self.in_flight += 1
        try:
            await self._dialing.run(timeout)
        finally:
            self.in_flight -= 1
            if self.draining:
                self.release()

    async def _probe_for_dial(self) -> None:
        if self._tls is not None and (self._tls.reload() or self._generation):
            self._leave_outdated_transports()
        transport = self.transport(_CALLS)
        timeout = self.redial_timeout if transport.received else self.dial_timeout
        has_health_service = await transport.probe(timeout)
        self.is_grpc_proxy = not has_health_service
        self.healthy = True
        self._answered(self)

    def check_transports(self) -> None:
        """Probe the member on each transport that is waited on, unless probes are in flight."""
        if self._closed or self._checks:
            return
        for use, transport in self._transports.items():
            if transport.waiting:
                check = self._start(self._check(use, transport), "etcd probe a silent member")
                self._checks.add(check)
                check.add_done_callback(self._checks.discard)

    async def _check(self, use: str, transport: Transport) -> None:
        sent = asyncio.get_running_loop().time()
        timeout = self._probe_timeout(sent)
        probe = self._start(transport.probe(timeout + _LATE_ANSWER_TIME), "etcd probe")
        # If nothing awaits the probe any more, asyncio must not report its error.
        probe.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([probe], timeout=timeout)
        if not probe.done():
            self._give_up(use, transport)
            _ = self._start(self._close_late(transport, probe, sent), "etcd late answer")
            return
        error = None if probe.cancelled() else probe.exception()
        if isinstance(error, aio.AioRpcError) and is_silence(error):
            self.give_up(use, transport)

    def _probe_timeout(self, now: float) -> float:
        """Return the seconds that an answer may take: more if one was late recently."""
        timeout = self._times.probe_timeout
        return max(timeout, self._extended_timeout) if now < self._extended_until else timeout

    async def _close_late(
        self, transport: Transport, probe: asyncio.Task[bool], sent: float
    ) -> None:
        """Wait for a late answer to a probe, then close its transport, which was given up.

        A late answer means that the link is slow, or busy with a large response, and that the
        connection is not lost. Later probes get more time then; otherwise each new transport
        would be given up in the same way.
        """
        try:
            await asyncio.wait([probe])
            if not probe.cancelled() and probe.exception() is None:
                now = asyncio.get_running_loop().time()
                # Not twice the present timeout: a member that was frozen answers late on each
                # transport, and each answer would double it again.
                twice = min(2 * (now - sent), _LATE_ANSWER_TIME)
                self._extended_timeout = max(twice, self._probe_timeout(now))
                self._extended_until = now + _EXTENSION_TIME
        finally:
            await self._close(transport)

    def renew_calls(self) -> None:
        """Give up the transport of calls, on which the member is silent."""
        transport = self._transports.get(_CALLS)
        if transport is not None:
            self.give_up(_CALLS, transport)

    def give_up(self, use: str, transport: Transport) -> None:
        """End everything in flight on a silent transport; the next use opens a new one."""
        if self._give_up(use, transport):
            _ = self._start(self._close(transport), "etcd close a silent connection")

    def _give_up(self, use: str, transport: Transport) -> bool:
        if self._transports.get(use) is not transport:
            return False
        self._remove(use)
        # Idle transports are probably lost as well; opening new ones costs less than probing.
        for other, idle in tuple(self._transports.items()):
            if idle.idle:
                self._close_idle(other)
        transport.give_up(
            errors.ConnectionTimeoutError(
                "the member is silent: it did not answer a probe",
                endpoint=self.endpoint.name,
                definite=False,
            )
        )
        return True

    def _remove(self, use: str) -> None:
        self._given_up.add(self._transports.pop(use))
        if use == _CALLS:
            self.healthy = False
            self.monitored_calls = None

    def _close_idle(self, use: str) -> None:
        transport = self._transports[use]
        self._remove(use)
        _ = self._start(self._close(transport), "etcd close an idle connection")

    async def _close(self, transport: Transport) -> None:
        await transport.close()
        self._given_up.discard(transport)

    def _start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def monitor(self) -> None:
        """Check the transports for silence at regular intervals, as long as any is waited on."""
        if self._timer is None and not self._closed:
            interval = self._times.check_interval
            self._timer = asyncio.get_running_loop().call_later(interval, self._check_silence)

    def _check_silence(self) -> None:
        """Probe the member if a transport has been silent for too long."""
        self._timer = self.monitored_calls = None
        interval = self._times.check_interval
        # A list, because `is_silent` must be called for every transport: it adds up the time.
        silent = [each.is_silent(interval) for each in self._transports.values()]
        if any(silent):
            self.check_transports()
        for use, transport in tuple(self._transports.items()):
            if use.startswith(_OLD_CALLS) and transport.idle:
                self._close_idle(use)
        if any(each.waiting for each in self._transports.values()):
            self.monitor()

    # Closing -----------------------------------------------------------------------------

    @property
    def _in_use(self) -> bool:
        return self.in_flight > 0 or any(
            transport.waiting and use.startswith(_CALLS)
            for use, transport in self._transports.items()
        )

    def release(self) -> None:
        """Record that a call ended; after the last one a draining connection is closed."""
        if not self._in_use:
            self._unused.set()

    def drain(self, reason: errors.ClientError) -> None:
        """Accept no new calls, and make the streams reopen on another connection."""
        self.draining = True
        for transport in tuple(self._transports.values()):
            for reopen_elsewhere in tuple(transport.streams):
                reopen_elsewhere(reason)

    async def close_when_unused(self) -> None:
        """Wait until nothing is in flight, then close the connection."""
        if self._in_use:
            await self._unused.wait()
        await self.close()

    async def close(self) -> None:
        """End everything in flight and close the transports."""
        self.healthy = False
        self.monitored_calls = None
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._dialing.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for transport in (*self._transports.values(), *self._given_up):
            await transport.close()
        self._transports.clear()
        self._given_up.clear()
