"""Runs and locks of this process for OpenTelemetry, by its interface only: the extra ``otel``."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from contextvars import Token
from typing import Any, Final, NamedTuple

from opentelemetry import context, metrics, trace
from opentelemetry.trace import Span, Status, StatusCode

from ojobchannels.channels.opening import add_extension, remove_extension
from ojobchannels.errors import StaleFence
from ojobchannels.hookspecs import Granted, LeaseRequest, hookimpl
from ojobchannels.manager.observers import add_run_observer, remove_run_observer
from ojobchannels.telemetry.instruments import Attributes, Instruments

_NAME: Final = "ojobchannels"
_JOB: Final = "ojobchannels.job.name"
_STATUS: Final = "ojobchannels.run.status"
_RUN: Final = "ojobchannels.run.id"
_ERROR: Final = "error.type"
_BAD: Final = ("failed", "abandoned", "lost")

_Wrapper = Generator[None, Any, Any]
_instrumented: list[tuple[RunTelemetry, list[object]]] = []


def instrument(
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    *,
    fences: bool = False,
) -> None:
    """Report the runs of this process, and the locks of channels that are opened later.

    A second call has no effect.

    Args:
        tracer_provider: Receives the spans; by default the global provider.
        meter_provider: Receives the metrics; by default the global provider.
        fences: Whether to count writes that were refused by their fence, too. It adds about 2 µs to
            each write of a document.
    """
    if _instrumented:
        return
    instruments = Instruments(metrics.get_meter(_NAME, meter_provider=meter_provider))
    tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
    runs = RunTelemetry(tracer, instruments)
    extensions: list[object] = [LockTelemetry(instruments)]
    if fences:
        extensions.append(FenceTelemetry(instruments))
    _instrumented.append((runs, extensions))
    add_run_observer(runs.observe)
    for extension in extensions:
        add_extension(extension)


def uninstrument() -> None:
    """Stop reporting runs, and the locks of channels that are opened later."""
    while _instrumented:
        runs, extensions = _instrumented.pop()
        remove_run_observer(runs.observe)
        for extension in extensions:
            remove_extension(extension)


class _OpenRun(NamedTuple):
    """The span of a run, and how it was made current."""

    span: Span
    context: context.Context
    token: Token[context.Context]
    thread: int


class RunTelemetry:
    """Makes a span and metrics of each run."""

    def __init__(self, tracer: trace.Tracer, instruments: Instruments) -> None:
        self._tracer = tracer
        self._open: dict[str, _OpenRun] = {}
        self._duration = instruments.histogram("run.duration", "Durations of runs.")
        self._active = instruments.up_down_counter("run.active", "{run}", "Runs that are running.")
        self._outcomes = instruments.counter("run.outcomes", "{run}", "Runs by their final status.")
        self._delay = instruments.histogram(
            "schedule.delay", "Time from a fire time to the start of its run."
        )
        self._missed = instruments.counter(
            "schedule.missed", "{firing}", "Fire times that were missed."
        )

    def observe(self, record: Mapping[str, Any]) -> None:
        """Report the start or the end of a run."""
        if record["status"] == "running":
            self._start(record)
        else:
            self._end(record)

    def _start(self, record: Mapping[str, Any]) -> None:
        job, run_id = record["name"], record["runId"]
        span = self._tracer.start_span(f"run {job}")
        current = trace.set_span_in_context(span)
        token = context.attach(current)
        self._open[run_id] = _OpenRun(span, current, token, threading.get_ident())
        self._active.add(1, ((_JOB, job),))
        if "fireTime" in record:
            late = max(record["startTime"] - record["fireTime"], 0)
            self._delay.record(late / 1000, ((_JOB, job),))

    def _end(self, record: Mapping[str, Any]) -> None:
        job, status = record["name"], record["status"]
        attributes: Attributes = ((_JOB, job), (_STATUS, status))
        self._outcomes.add(1, attributes)
        if status in ("skipped", "depsfail"):
            if str(record.get("reason", "")).startswith("missed"):
                self._missed.add(1, ((_JOB, job),))
        else:
            if status in _BAD:
                attributes = (*attributes, (_ERROR, _error_type(record)))
            self._duration.record(record.get("duration", 0) / 1000, attributes)
        opened = self._open.pop(record["runId"], None)
        if opened is not None:
            self._active.add(-1, ((_JOB, job),))
            _close(opened, record, attributes)


def _close(opened: _OpenRun, record: Mapping[str, Any], attributes: Attributes) -> None:
    span = opened.span
    if span.is_recording():
        span.set_attributes({_RUN: record["runId"], **dict(attributes)})
        if record["status"] in _BAD:
            span.set_status(Status(StatusCode.ERROR, str(record.get("error", record["status"]))))
    span.end()
    # A run may end in another thread, or inside a later one: then its context is left as it is.
    if opened.thread == threading.get_ident() and context.get_current() is opened.context:
        context.detach(opened.token)


def _error_type(record: Mapping[str, Any]) -> str:
    """Return the type of the error of a run, which begins the text in its record."""
    kind, colon, _ = str(record.get("error", "")).partition(":")
    return kind if colon and kind.isidentifier() else str(record["status"])


class LockTelemetry:
    """An extension that makes metrics of the locks of channels."""

    def __init__(self, instruments: Instruments) -> None:
        self._held: dict[tuple[str, str], float] = {}
        self._acquisitions = instruments.counter(
            "lock.acquisitions", "{acquisition}", "Attempts to acquire a lock."
        )
        self._wait = instruments.histogram("lock.wait.duration", "Time of waiting for a lock.")
        self._hold = instruments.histogram("lock.hold.duration", "Time for which a lock was held.")
        self._renewals = instruments.counter("lease.renewals", "{renewal}", "Renewals of leases.")

    @hookimpl(wrapper=True)
    def lock(self, name: str, token: str) -> _Wrapper:
        """Count an acquisition."""
        result = yield
        if isinstance(result, Granted):
            self._held[name, token] = time.monotonic()
            self._acquisitions.add(1, _GRANTED)
        else:
            self._acquisitions.add(1, _BUSY)
        return result

    @hookimpl(wrapper=True)
    def unlock(self, name: str, token: str) -> _Wrapper:
        """Measure how long the lock was held."""
        result = yield
        since = self._held.pop((name, token), None)
        if since is not None:
            self._hold.record(time.monotonic() - since, ())
        return result

    @hookimpl(wrapper=True)
    def wait(self) -> _Wrapper:
        """Measure a wait for a lock."""
        begun = time.monotonic()
        try:
            return (yield)
        finally:
            self._wait.record(time.monotonic() - begun, ())

    @hookimpl(wrapper=True)
    def extend_all(self, leases: list[LeaseRequest]) -> _Wrapper:
        """Count renewals."""
        results = yield
        for lease, held in zip(leases, results, strict=True):
            if held is not None:  # otherwise it is tried again
                self._renewals.add(1, _RENEWED if held else _LOST)
            if held is False:
                self._held.pop((lease.name, lease.token), None)
        return results


class FenceTelemetry:
    """An extension that counts the writes that were refused by their fence."""

    def __init__(self, instruments: Instruments) -> None:
        self._rejections = instruments.counter(
            "fence.rejections", "{write}", "Writes that were refused by their fence."
        )

    @hookimpl(wrapper=True)
    def set(self) -> _Wrapper:
        """Wrap a write."""
        return (yield from self._counted())

    @hookimpl(wrapper=True)
    def unset(self) -> _Wrapper:
        """Wrap a removal."""
        return (yield from self._counted())

    @hookimpl(wrapper=True)
    def get_set(self) -> _Wrapper:
        """Wrap a conditional write."""
        return (yield from self._counted())

    def _counted(self) -> _Wrapper:
        try:
            return (yield)
        except StaleFence:
            self._rejections.add(1, ())
            raise


_GRANTED: Final[Attributes] = (("ojobchannels.lock.result", "granted"),)
_BUSY: Final[Attributes] = (("ojobchannels.lock.result", "busy"),)
_RENEWED: Final[Attributes] = (("ojobchannels.lease.result", "renewed"),)
_LOST: Final[Attributes] = (("ojobchannels.lease.result", "lost"),)
