"""Spans and metrics of OpenTelemetry, as a view; needs `pip install etcd-channel[opentelemetry]`.

The names are those of the semantic conventions for RPC and for databases, where they have one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from contextvars import ContextVar, Token
from time import perf_counter
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from etcd_channel.arguments import check_flag
from etcd_channel.endpoints import parse_endpoint
from etcd_channel.errors import ClientClosedError, ClientError
from etcd_channel.metadata import call_metadata
from etcd_channel.metrics import Measurement, Metric
from etcd_channel.observer import FailedAttempt, Report
from etcd_channel.rpc import Rpc
from etcd_channel.stream import Stream, StreamHandler
from etcd_channel.view import ChannelLike, ChannelView

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import (
        Link,
        Span,
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TraceFlags,
    )
except ImportError as missing:
    raise ImportError(
        "etcd_channel.opentelemetry needs OpenTelemetry: pip install etcd-channel[opentelemetry]"
    ) from missing

__all__ = ["OpenTelemetryView"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

_SCOPE = "etcd_channel"

_STATUS = "rpc.response.status_code"
_ERROR = "error.type"
_CANCELLED = "CANCELLED"

# The limits that the semantic conventions give for the durations of calls, in seconds.
_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

_TRACE_CONTEXT = ("traceparent", "tracestate")

# The span of the call that this task makes.
_call_span: ContextVar[Span | None] = ContextVar("etcd_call_span", default=None)


class OpenTelemetryView(ChannelView):
    """Records a span and the duration of each call, and the metrics that the channel reports.

    It is middleware: `Client(middleware=[OpenTelemetryView])`, or `KVClient(OpenTelemetryView(
    channel))` for the client of one service. `tracer_provider` and `meter_provider` are those of
    OpenTelemetry; None means the global ones.

    Each call and each download has a span, a child of the current one, however often it is sent;
    each failed attempt is an event of it. A stream of watches or keep-alives outlives the task
    that opened it: each of its openings has a span of its own, without a parent, with links to the
    span in which it was made and to the one before. No span and no measurement has a key, a value,
    a password or a token.

    Calls and downloads carry their span to the server as `traceparent`, so that the spans of an
    etcd with `--experimental-enable-distributed-tracing` continue the trace; `propagate=False`
    sends nothing.
    """

    def __init__(
        self,
        inner: ChannelLike,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        propagate: bool = True,
    ) -> None:
        from etcd_channel import __version__

        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        self._meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        self._durations = self._meter.create_histogram(
            "rpc.client.call.duration",
            unit="s",
            description="The duration of calls, with all their attempts.",
            explicit_bucket_boundaries_advisory=_DURATIONS,
        )
        self._retries = self._meter.create_counter(
            "etcd.client.retries",
            unit="{attempt}",
            description="Failed attempts of calls and downloads that were repeated.",
        )
        self._reconnects = self._meter.create_counter(
            "etcd.client.reconnects",
            unit="{reconnect}",
            description="Streams that broke and were opened again.",
        )
        self._propagates = check_flag("propagate", propagate)
        self._instruments: dict[Metric, Any] = {}
        self._attributes: dict[tuple[str, str], dict[str, str | int]] = {}
        super().__init__(inner)

    # Calls ----------------------------------------------------------------------------

    async def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> ResponseT:
        """As `Channel.call`, in a span."""
        call = _Call(self, rpc, endpoint)
        try:
            with call:
                response = await super().call(rpc, request, timeout=timeout, endpoint=endpoint)
        except BaseException as error:
            call.fail(error)
            raise
        call.end()
        return response

    async def download(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> AsyncGenerator[ResponseT, None]:
        """As `Channel.download`, in a span."""
        call = _Call(self, rpc, endpoint)
        responses = super().download(rpc, request, timeout=timeout, endpoint=endpoint)
        try:
            async with aclosing(responses):
                while True:
                    # The span is the current one while a response is awaited, and not in the code
                    # of the caller in between.
                    with call:
                        response = await anext(responses, None)
                    if response is None:
                        break
                    yield response
        except GeneratorExit:
            call.end(_CANCELLED)  # the caller wants no more
            raise
        except BaseException as error:
            call.fail(error)
            raise
        call.end()

    def stream(
        self,
        rpc: Rpc[RequestT, ResponseT],
        handler: StreamHandler[RequestT, ResponseT],
        *,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Stream[RequestT, ResponseT]:
        """As `Channel.stream`, with a span for each opening."""
        return super().stream(rpc, _StreamSpans(self, rpc, handler), metadata=metadata)

    def _describe(self, rpc: Rpc[Any, Any], endpoint: str) -> dict[str, str | int]:
        """Return the attributes of an RPC to a member; the caller must not change them."""
        known = self._attributes.get((rpc.path, endpoint))
        if known is None:
            # An `SRV` is no address of a member, as long as its records were not looked up.
            is_known = bool(self.endpoints) or endpoint != self.current_endpoint
            known = self._attributes[rpc.path, endpoint] = {
                "rpc.system.name": "grpc",
                "rpc.method": rpc.method,
                "db.system.name": "etcd",
                "db.operation.name": rpc.operation,
                **(_server(endpoint) if is_known else {}),
            }
        return known

    # Reports --------------------------------------------------------------------------

    def observe(self, report: Report) -> None:
        """Count a report of the channel, or of a service on it."""
        if isinstance(report, Measurement):
            record = self._instruments.get(report.metric)
            if record is None:
                record = self._instruments[report.metric] = self._instrument(report.metric)
            # A dict, because the SDK copies it, which the read-only one of a report does not allow.
            record(report.value, dict(report.attributes))
            return
        _, kind = _kind_of(report.error)
        attributes = {"rpc.method": report.method, _ERROR: kind}
        if not isinstance(report, FailedAttempt):
            self._reconnects.add(1, attributes)
            return
        if report.repeated:
            self._retries.add(1, attributes)
        span = _call_span.get()
        if span is not None and span.is_recording():
            where = {} if report.error.endpoint is None else _server(report.error.endpoint)
            numbers = {
                "etcd.attempt.number": report.attempt,
                "etcd.attempt.repeated": report.repeated,
            }
            span.add_event("etcd.attempt.failed", {_ERROR: kind, **numbers, **where})

    @contextmanager
    def around(self, operation: str) -> Iterator[None]:
        """Make a span for an operation of several calls, such as the acquiring of a lock."""
        span = self._tracer.start_span(operation, attributes={"db.system.name": "etcd"})
        try:
            with _current(span):
                yield
        except BaseException as error:
            # The message of an error for a lock has its key.
            _set_failure(span, error, with_message=False)
            raise
        finally:
            span.end()

    def _instrument(self, metric: Metric) -> Any:
        """Return the function that records a value of a metric."""
        name, unit, description = metric.name, metric.unit, metric.description
        if metric.kind == "counter":
            return self._meter.create_counter(name, unit, description).add
        if metric.kind == "up_down_counter":
            return self._meter.create_up_down_counter(name, unit, description).add
        boundaries = metric.boundaries or None
        return self._meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=boundaries
        ).record


class _Call:
    """The span and the duration of a call; a context manager in which its span is current."""

    __slots__ = ("_attributes", "_current", "_metadata", "_span", "_started", "_token", "_view")

    def __init__(self, view: OpenTelemetryView, rpc: Rpc[Any, Any], endpoint: str | None) -> None:
        self._view = view
        self._attributes = view._describe(rpc, endpoint or view.current_endpoint)
        self._span = view._tracer.start_span(
            rpc.method, kind=SpanKind.CLIENT, attributes=self._attributes
        )
        self._started = perf_counter()

    def __enter__(self) -> None:
        self._token = _call_span.set(self._span)
        self._current = _current(self._span)
        self._current.__enter__()
        self._metadata: Token[Any] | None = None
        if self._view._propagates:
            context = self._span.get_span_context()
            if context.is_valid:
                others = (pair for pair in call_metadata.get() if pair[0] not in _TRACE_CONTEXT)
                self._metadata = call_metadata.set((*others, *_trace_context(context)))

    def __exit__(self, *error: object) -> None:
        self._current.__exit__(None, None, None)
        try:
            _call_span.reset(self._token)
            if self._metadata is not None:
                call_metadata.reset(self._metadata)
        except ValueError:
            pass  # The coroutine is closed in another context: the loop was closed before its end.

    def end(self, status: str = "OK") -> None:
        self._span.set_attribute(_STATUS, status)
        self._record({_STATUS: status})

    def fail(self, error: BaseException) -> None:
        outcome = _set_failure(self._span, error)
        if isinstance(error, ClientError) and error.endpoint is not None:
            # Another member than at the start, perhaps.
            server = _server(error.endpoint)
            self._span.set_attributes(server)
            outcome = {**outcome, **server}
        self._record(outcome)

    def _record(self, outcome: dict[str, str | int]) -> None:
        self._span.end()
        duration = perf_counter() - self._started
        self._view._durations.record(duration, {**self._attributes, **outcome})


class _StreamSpans(Generic[RequestT, ResponseT]):
    """The handler of a stream that makes a span of each opening, and passes everything on."""

    def __init__(
        self,
        view: OpenTelemetryView,
        rpc: Rpc[RequestT, ResponseT],
        handler: StreamHandler[RequestT, ResponseT],
    ) -> None:
        self.received = handler.received
        self._handler = handler
        self._view = view
        self._rpc = rpc
        self._maker = trace.get_current_span().get_span_context()
        self._span: Span | None = None

    def opened(self) -> Iterable[RequestT]:
        before = trace.INVALID_SPAN_CONTEXT
        if self._span is not None:
            before = self._span.get_span_context()
        links = [Link(context) for context in (self._maker, before) if context.is_valid]
        self._span = self._view._tracer.start_span(
            self._rpc.method,
            Context(),
            SpanKind.CLIENT,
            self._view._describe(self._rpc, self._view.current_endpoint),
            links,
        )
        return self._handler.opened()

    def broken(self, error: ClientError) -> None:
        self._end(error)
        self._handler.broken(error)

    def ended(self, error: ClientError) -> None:
        self._end(error)
        self._handler.ended(error)

    def _end(self, error: ClientError) -> None:
        if self._span is not None and self._span.is_recording():
            if isinstance(error, ClientClosedError):
                self._span.set_attribute(_STATUS, _CANCELLED)  # nothing failed
            else:
                _set_failure(self._span, error)
            self._span.end()


def _current(span: Span) -> AbstractContextManager[Span]:
    """Make the span the current one, and leave its end and its status as they are."""
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def _set_failure(
    span: Span, error: BaseException, *, with_message: bool = True
) -> dict[str, str | int]:
    """Record an error on a span; return its attributes."""
    status, kind = _kind_of(error)
    outcome: dict[str, str | int] = {_ERROR: kind}
    if status is not None:
        outcome[_STATUS] = status
    span.set_attributes(outcome)
    # The message of an error of another class may contain anything.
    text = error.message if with_message and isinstance(error, ClientError) else None
    span.set_status(Status(StatusCode.ERROR, text))
    return outcome


def _kind_of(error: BaseException) -> tuple[str | None, str]:
    """Return gRPC's status code of an error, if it has one, and its `error.type`."""
    if isinstance(error, ClientError) and error.code is not None:
        return error.code.name, error.code.name
    if isinstance(error, asyncio.CancelledError):
        return _CANCELLED, _CANCELLED
    return None, f"{type(error).__module__}.{type(error).__qualname__}"


def _trace_context(context: SpanContext) -> Iterator[tuple[str, str]]:
    """Yield the metadata by which a server continues a trace (W3C's Trace Context).

    Not by OpenTelemetry's propagator: it sends a flag for random trace ids, and the Go library of
    etcd ignores a `traceparent` with that flag.
    """
    sampled = context.trace_flags & TraceFlags.SAMPLED
    yield "traceparent", f"00-{context.trace_id:032x}-{context.span_id:016x}-{sampled:02x}"
    if context.trace_state:
        yield "tracestate", context.trace_state.to_header()


def _server(endpoint: str) -> dict[str, str | int]:
    """Return the attributes of a member's address."""
    name = parse_endpoint(endpoint).name
    if name.startswith("unix:"):
        return {"server.address": name.removeprefix("unix:")}
    host, _, port = name.rpartition(":")
    return {"server.address": host.strip("[]"), "server.port": int(port)}
