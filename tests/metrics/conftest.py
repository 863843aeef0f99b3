"""Spans and metrics by OpenTelemetry, collected in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ojobchannels.telemetry import instrument, uninstrument


class Collected:
    """The reports that OpenTelemetry got."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])

    def values(self) -> dict[tuple[str, ...], Any]:
        """Return the values of counters, and the counts of histograms, by name and attributes."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            (
                metric.name.removeprefix("ojobchannels."),
                *(str(value) for _, value in sorted((point.attributes or {}).items())),
            ): getattr(point, "value", None) if hasattr(point, "value") else point.count
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }


@pytest.fixture
def collected() -> Iterator[Collected]:
    """Instrument the process for one test."""
    collected = Collected()
    instrument(collected.tracers, collected.meters, fences=True)
    yield collected
    uninstrument()
    collected.meters.shutdown()
    collected.tracers.shutdown()
