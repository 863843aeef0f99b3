"""Spans and metrics by OpenTelemetry, collected in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import ojobchannels as oc
from ojobchannels.telemetry import uninstrument
from tests.metrics.conftest import Collected


def test_a_run_is_a_span(collected: Collected) -> None:
    """Code of the run finds the span as the current one, and makes children of it."""
    before = trace.get_current_span()
    with oc.JobManager() as manager:
        with manager.run("nightly") as run:
            collected.tracers.get_tracer("test").start_span("child").end()
        assert trace.get_current_span() is before
    child, span = collected.exporter.get_finished_spans()
    assert span.name == "run nightly"
    assert child.parent is not None
    assert span.context is not None
    assert child.parent.span_id == span.context.span_id
    assert span.attributes is not None
    assert span.attributes["ojobchannels.run.id"] == run.run_id
    assert span.attributes["ojobchannels.run.status"] == "completed"


def test_a_failed_run_is_an_error_without_its_secrets(collected: Collected) -> None:
    """The span has the type of the error, and its text as the record has it: masked."""
    with oc.JobManager() as manager, suppress(ValueError), manager.run("nightly"):
        raise ValueError("cannot reach redis://job:pa55@example.org/0")
    (span,) = collected.exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert "pa55" not in str(span.status.description)


def test_metrics_of_runs_and_locks(collected: Collected) -> None:
    """Runs and locks are counted under the documented names."""
    with oc.JobManager() as manager:
        manager.start("a", fire_time=1_000).end()
        running = manager.start("b")
        with suppress(oc.LockBusy):
            manager.start("b")
        found = collected.values()
        running.end()
    assert found["run.outcomes", "a", "completed"] == 1
    assert found["run.outcomes", "b", "skipped"] == 1
    assert found["run.duration", "a", "completed"] == 1
    assert (found["run.active", "a"], found["run.active", "b"]) == (0, 1)
    assert found["schedule.delay", "a"] == 1
    assert found["lock.acquisitions", "granted"] == 2
    assert found["lock.acquisitions", "busy"] == 1
    assert found["lock.hold.duration",] == 1


def test_a_write_that_its_fence_refuses(collected: Collected) -> None:
    """The writes of a holder that lost its lock are counted."""
    with oc.open_channel("fenced") as channel:
        channel.set("key", 1, fence=5)
        with pytest.raises(oc.StaleFence):
            channel.set("key", 2, fence=4)
        channel.destroy()
    assert collected.values()["fence.rejections",] == 1


def test_runs_that_end_in_another_order(collected: Collected) -> None:
    """A run that ends inside a later one leaves that its span."""
    before = trace.get_current_span()
    with oc.JobManager() as manager:
        first, second = manager.start("first"), manager.start("second")
        inner = trace.get_current_span()
        first.end()
        assert trace.get_current_span() is inner
        second.end()
        assert trace.get_current_span() is before
    names = [span.name for span in collected.exporter.get_finished_spans()]
    assert names == ["run first", "run second"]


def test_after_the_end_nothing_is_reported(collected: Collected) -> None:
    """A process can stop reporting."""
    uninstrument()
    with oc.JobManager() as manager:
        manager.start("a").end()
    assert collected.exporter.get_finished_spans() == ()


@pytest.mark.parametrize(("variable", "expected"), [("OTEL_SERVICE_NAME", "True"), ("X", "False")])
def test_the_command_reports_only_if_it_is_configured(
    tmp_path: Path, variable: str, expected: str
) -> None:
    """Without a variable for it, the library is not even imported."""
    (tmp_path / "f.yaml").write_text(
        "jobs: [{name: A, exec: \"import sys; log('opentelemetry' in sys.modules)\"}]\ntodo: [A]\n"
    )
    command = [sys.executable, "-m", "ojobchannels", "run", "f.yaml"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    environment[variable] = "jobs"
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert expected in done.stdout
