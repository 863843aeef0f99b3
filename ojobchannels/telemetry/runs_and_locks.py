"""Runs and locks of this process for OpenTelemetry, by its interface only: the extra ``otel``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Mapping
from typing import Any, Final

from opentelemetry import metrics, trace

from ojobchannels.channels.opening import add_extension, remove_extension
from ojobchannels.errors import StaleFence
from ojobchannels.hookspecs import Granted, LeaseRequest, hookimpl
from ojobchannels.manager import tracing
from ojobchannels.manager.hooks.observers import add_run_observer, remove_run_observer
from ojobchannels.telemetry.instruments import Attributes, Instruments
from ojobchannels.telemetry.spans import BAD, ERROR, JOB, STATUS, RunSpans, error_type

_NAME: Final = "ojobchannels"
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
    tracing.set_tracer(runs.spans)
    add_run_observer(runs.observe)
    for extension in extensions:
        add_extension(extension)


def uninstrument() -> None:
    """Stop reporting runs, and the locks of channels that are opened later."""
    while _instrumented:
        runs, extensions = _instrumented.pop()
        tracing.set_tracer(None)
        remove_run_observer(runs.observe)
        for extension in extensions:
            remove_extension(extension)


class RunTelemetry:
    """Makes metrics of each run, and has it traced."""

    def __init__(self, tracer: trace.Tracer, instruments: Instruments) -> None:
        self.spans = RunSpans(tracer)
        self._duration = instruments.histogram("run.duration", "Durations of runs.")
        self._outcomes = instruments.counter("run.outcomes", "{run}", "Runs by their final status.")
        instruments.observed_up_down_counter(
            "run.active", "{run}", "Runs that are running.", self._active
        )
        self._delay = instruments.histogram(
            "schedule.delay", "Time from a fire time to the start of its run."
        )
        self._missed = instruments.counter(
            "schedule.missed", "{firing}", "Fire times that were missed."
        )

    def observe(self, record: Mapping[str, Any]) -> None:
        """Report the start or the end of a run."""
        if record["status"] == "running":
            self.spans.enter(record["runId"])
            if "fireTime" in record:
                late = max(record["startTime"] - record["fireTime"], 0)
                self._delay.record(late / 1000, ((JOB, record["name"]),))
        else:
            self._end(record)

    def _end(self, record: Mapping[str, Any]) -> None:
        job, status = record["name"], record["status"]
        attributes: Attributes = ((JOB, job), (STATUS, status))
        self._outcomes.add(1, attributes)
        if status in ("skipped", "depsfail"):
            if str(record.get("reason", "")).startswith("missed"):
                self._missed.add(1, ((JOB, job),))
        else:
            if status in BAD:
                attributes = (*attributes, (ERROR, error_type(record)))
            self._duration.record(record.get("duration", 0) / 1000, attributes)
        self.spans.end(record)

    def _active(self) -> Mapping[Attributes, int]:
        """Return the number of active runs, also of the jobs that have none any more."""
        jobs = dict.fromkeys((attributes[0][1] for attributes in self._outcomes.known()), 0)
        active = Counter(self.spans.active())
        return {((JOB, job),): number for job, number in (jobs | active).items()}


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
