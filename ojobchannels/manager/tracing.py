"""The traces to which runs belong, for what traces them in this process, such as OpenTelemetry.

The context of a trace is a text as in the header ``traceparent`` of W3C Trace Context.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

FIELD: Final = "traceparent"
"""The field of a record with the context of the run's trace."""

_launched_from: ContextVar[str | None] = ContextVar("ojobchannels_launched_from", default=None)
_log = logging.getLogger("ojobchannels.jobs")


class RunTracer(Protocol):
    """Traces the runs of this process."""

    def current(self) -> str | None:
        """Return the trace context of the calling code, or None without one."""

    def begin(self, record: Mapping[str, Any], launched_from: str | None) -> str | None:
        """Begin to trace a run, before its record is stored, and return its trace context.

        Args:
            record: The record of the run.
            launched_from: The trace context of the code that launched it.
        """

    def withdraw(self, run_id: str) -> None:
        """End the trace of a run that did not start after all."""


_tracer: RunTracer | None = None


def set_tracer(tracer: RunTracer | None) -> None:
    """Trace the runs of this process, or with None do it no more."""
    global _tracer
    _tracer = tracer


def begin(record: Mapping[str, Any]) -> Mapping[str, str]:
    """Begin to trace a run, and return the fields of that for its record."""
    if _tracer is None:
        return {}
    try:
        context = _tracer.begin(record, _launched_from.get())
    except Exception:  # noqa: BLE001  tracing must not disturb the run
        _log.exception("a run of job %r is not traced", record.get("name"))
        return {}
    return {} if context is None else {FIELD: context}


def withdraw(run_id: str) -> None:
    """End the trace of a run that did not start after all."""
    if _tracer is not None:
        _tracer.withdraw(run_id)


def current() -> str | None:
    """Return the trace context of the calling code, to keep it with a launch; None without one."""
    return None if _tracer is None else _tracer.current()


@contextmanager
def launched_from(context: str | None) -> Iterator[None]:
    """Start runs in this block that were launched by code with this trace context."""
    token = _launched_from.set(context)
    try:
        yield
    finally:
        _launched_from.reset(token)
