"""What OpenTelemetry's SDK exported, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from etcd_channel.opentelemetry import OpenTelemetryView

__all__ = ["Exported", "attributes_of"]


class Exported:
    """The spans and metrics of one test, and the middleware that makes them."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._started = _Starts()
        self.tracers.add_span_processor(self._started)
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = self.tracers.get_tracer("test")
        self.view = partial(
            OpenTelemetryView, tracer_provider=self.tracers, meter_provider=self.meters
        )

    def shutdown(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their ends."""
        return [span for span in self._spans.get_finished_spans() if name in (None, span.name)]

    def open_spans(self) -> int:
        """How many spans have not ended."""
        return self._started.count - len(self._spans.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        (span,) = self.spans(name)
        return span

    def points(self, metric: str) -> list[Any]:
        """The data points of a metric; none if nothing was recorded."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (() if data is None else data.resource_metrics)
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]

    def everything(self) -> str:
        """All that was exported, as text."""
        data = self._reader.get_metrics_data()
        metrics = "" if data is None else data.to_json()
        return metrics + "".join(span.to_json() for span in self.spans())


class _Starts(SpanProcessor):
    """Counts the spans that were started."""

    count = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.count += 1


def attributes_of(what: Any) -> Mapping[str, Any]:
    """The attributes of a span, an event or a data point."""
    return dict(what.attributes or {})
