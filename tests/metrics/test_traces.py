"""The traces of runs: their context in the records, and links to what launched them."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

import ojobchannels as oc
from ojobchannels.errors import InvalidOption
from ojobchannels.manager import tracing
from tests.metrics.conftest import Collected


def _context(span: ReadableSpan) -> str:
    context = span.context
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def test_the_record_of_a_run_has_the_context_of_its_span(collected: Collected) -> None:
    """From its start to its end, so that a run that is still running leads to its trace, too."""
    with oc.JobManager() as manager:
        run = manager.start("nightly")
        (running,) = manager.running()
        with pytest.raises(InvalidOption, match="traceparent"):
            run.update(traceparent="mine")
        run.end()
        (record,) = manager.runs("nightly")
    (span,) = collected.exporter.get_finished_spans()
    assert record["traceparent"] == running["traceparent"] == _context(span)


def test_a_launched_job_has_a_link_to_the_span_that_launched_it(collected: Collected) -> None:
    """It has a trace of its own: the launching code may have ended long before."""
    with oc.JobManager() as manager:
        manager.job("inner")(lambda: None)
        manager.job("alone")(lambda: None)
        with manager.run("outer"):
            manager.launch("inner").wait()
        manager.launch("alone").wait()
        (record,) = manager.runs("outer")
    spans = {span.name: span for span in collected.exporter.get_finished_spans()}
    inner, outer, alone = spans["run inner"], spans["run outer"], spans["run alone"]
    (link,) = inner.links
    assert outer.context is not None
    assert inner.context is not None
    assert link.context.span_id == outer.context.span_id
    assert inner.context.trace_id != outer.context.trace_id
    assert record["traceparent"] == _context(outer)
    assert len(alone.links) == 0


def test_a_durable_launch_has_a_link_to_the_span_that_stored_it(collected: Collected) -> None:
    """Although another process may run it, after the launching one has ended."""
    with oc.JobManager() as manager:
        with manager.run("outer"):
            launch = manager.launch("later", durable=True)
        manager.job("later")(lambda: None)
        manager.start_worker()
        assert launch.wait(60)
    spans = {span.name: span for span in collected.exporter.get_finished_spans()}
    (link,) = spans["run later"].links
    assert spans["run outer"].context is not None
    assert link.context.span_id == spans["run outer"].context.span_id


@pytest.mark.parametrize(
    "context", ["", "00-x", "secret", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"]
)
def test_a_malformed_context_makes_no_link(collected: Collected, context: str) -> None:
    """A launch may have been stored by another version, or by others."""
    with oc.JobManager() as manager, tracing.launched_from(context), manager.run("work"):
        pass
    (span,) = collected.exporter.get_finished_spans()
    assert len(span.links) == 0


def test_a_run_that_is_not_recorded_leaves_no_span_behind(
    collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its span ends with the attempt to start it, and is not the current one afterwards."""
    before = trace.get_current_span()
    with oc.JobManager() as manager:
        monkeypatch.setattr(manager, "_record_start", _unreachable)
        with pytest.raises(oc.ChannelUnavailable):
            manager.start("nightly")
    assert trace.get_current_span() is before
    assert [span.name for span in collected.exporter.get_finished_spans()] == ["run nightly"]


def _unreachable(_: object) -> None:
    raise oc.ChannelUnavailable("jobs", "the server does not respond", "start it")
