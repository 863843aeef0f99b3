"""A span for each run of this process, and the context of its trace for the record."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextvars import Token
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

JOB: Final = "ojobchannels.job.name"
STATUS: Final = "ojobchannels.run.status"
ERROR: Final = "error.type"
BAD: Final = ("failed", "abandoned", "lost")

_MOST_LEFT: Final = 100
_RUN: Final = "ojobchannels.run.id"
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class _OpenRun:
    """The span of a run, and how it was made current."""

    __slots__ = ("context", "job", "span", "token")

    def __init__(self, job: str, span: Span) -> None:
        self.job = job
        self.span = span
        self.context: context.Context | None = None
        self.token: Token[context.Context] | None = None


class RunSpans:
    """Makes the spans; one begins before the record of its run is stored, which has its context."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._open: dict[str, _OpenRun] = {}
        self._left: deque[_OpenRun] = deque(maxlen=_MOST_LEFT)

    def current(self) -> str | None:
        """Return the context of the current span, or None without one."""
        return _traceparent(trace.get_current_span().get_span_context())

    def begin(self, record: Mapping[str, Any], launched_from: str | None) -> str | None:
        """Begin the span of a run, and return its context."""
        job, run_id = record["name"], record["runId"]
        links = None if launched_from is None else _links(launched_from)
        attributes = {JOB: job, _RUN: run_id}
        parent = context.get_current()  # given, it is not looked up again and again
        span = self._tracer.start_span(f"run {job}", parent, attributes=attributes, links=links)
        self._open[run_id] = _OpenRun(job, span)
        return _traceparent(span.get_span_context())

    def withdraw(self, run_id: str) -> None:
        """End the span of a run that did not start after all."""
        opened = self._open.pop(run_id, None)
        if opened is not None:
            opened.span.end()

    def enter(self, run_id: str) -> None:
        """Make the span of a run that has started the current one."""
        opened = self._open.get(run_id)
        if opened is not None:
            opened.context = trace.set_span_in_context(opened.span)
            opened.token = context.attach(opened.context)

    def end(self, record: Mapping[str, Any]) -> None:
        """End the span of a run, if it began in this process."""
        opened = self._open.pop(record["runId"], None)
        if opened is None:
            return
        span, status = opened.span, record["status"]
        span.set_attribute(STATUS, status)
        if status in BAD:
            span.set_attribute(ERROR, error_type(record))
            span.set_status(Status(StatusCode.ERROR, str(record.get("error", status))))
        span.end()
        if opened.token is None:
            return
        if not self._left and context.get_current() is opened.context:
            context.detach(opened.token)
        else:
            self._leave(opened)

    def _leave(self, opened: _OpenRun) -> None:
        """Make the earlier span the current one again, when that is possible.

        A run may end in another thread, or inside a later one. Its span is left when that is over.
        """
        self._left.append(opened)
        while (last := self._left_in(context.get_current())) is not None:
            self._left.remove(last)
            if last.token is not None:
                context.detach(last.token)

    def _left_in(self, present: context.Context) -> _OpenRun | None:
        return next((each for each in tuple(self._left) if each.context is present), None)

    def active(self) -> list[str]:
        """Return the jobs of the runs that are active, one for each run."""
        return [opened.job for opened in tuple(self._open.values())]


def error_type(record: Mapping[str, Any]) -> str:
    """Return the type of the error of a run, which begins the text in its record."""
    kind, colon, _ = str(record.get("error", "")).partition(":")
    return kind if colon and kind.isidentifier() else str(record["status"])


def _traceparent(span: SpanContext) -> str | None:
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def _links(traceparent: str) -> list[Link]:
    """Return the link to the span with a context; none if that is malformed."""
    found = _PROPAGATOR.extract({"traceparent": traceparent}, context.Context())
    span = trace.get_current_span(found).get_span_context()
    return [Link(span)] if span.is_valid else []
