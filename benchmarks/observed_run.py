"""The cost of metrics, traces and alerts for a managed run: ``python -m benchmarks.observed_run``.

Runs are started and ended in turns, some of each contestant after some of another: plain, with
OpenTelemetry's interface, with the metrics of its SDK, with its spans as well, all or a tenth of
them, and with an alert. ``bare`` is the floor of the spans: a span of the SDK that begins and ends
beside a plain run. The command prints the median time of a run, and the median processor time that
each adds to the thread of the run, as a share of a plain run. What other threads do later, such as
exporting or sending, is not in the way of the run and not counted. With ``--check`` it fails if one
that must not adds more than 2 %.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from ojobchannels import JobManager
from ojobchannels.alerts import Alert
from ojobchannels.telemetry import instrument, uninstrument

MOST_PERCENT: Final = 2.0
CHECKED: Final = ("interface", "metrics", "tenth", "alert")
"""With every span, the spans of the SDK alone are above it."""


class Turn(NamedTuple):
    """The time of a run, and the processor time of its thread, in microseconds."""

    wall: float
    processor: float


class Contestant:
    """A manager of its own, and what observes its runs.

    Args:
        url: The store.
        providers: The providers of traces and metrics; None to instrument nothing.
        beside: Called before each run, and measured with it.
        options: Options of the manager.
    """

    def __init__(
        self,
        url: str,
        providers: tuple[Any, ...] | None = None,
        beside: Callable[[], object] = lambda: None,
        **options: Any,
    ) -> None:
        self._providers = providers
        self._beside = beside
        with self._observed():
            self.manager = JobManager(url, url, **options)

    def measure(self, runs: int) -> Turn:
        """Run a job some times, after a first time that is not measured."""
        with self._observed():
            self._run()
            began, processor = time.perf_counter(), time.thread_time()
            for _ in range(runs):
                self._run()
            return Turn(
                (time.perf_counter() - began) / runs * 1e6,
                (time.thread_time() - processor) / runs * 1e6,
            )

    def _run(self) -> None:
        self._beside()
        self.manager.start("measured").end()

    @contextmanager
    def _observed(self) -> Iterator[None]:
        if self._providers is not None:
            instrument(*self._providers)
        try:
            yield
        finally:
            uninstrument()


def contestants(url_of: Callable[[str], str]) -> dict[str, Contestant]:
    """Return all contestants, each with its own store."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    from opentelemetry.trace import NoOpTracerProvider

    def metrics() -> MeterProvider:
        return MeterProvider([InMemoryMetricReader()])

    tenth = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.1)))
    bare = TracerProvider().get_tracer("bare")

    def span() -> None:
        bare.start_span("run measured", attributes={"job": "measured", "run": "0"}).end()

    return {
        "plain": Contestant(url_of("plain")),
        "interface": Contestant(url_of("interface"), ()),
        "metrics": Contestant(url_of("metrics"), (NoOpTracerProvider(), metrics())),
        "tenth": Contestant(url_of("tenth"), (tenth, metrics())),
        "spans": Contestant(url_of("spans"), (TracerProvider(), metrics())),
        "bare": Contestant(url_of("bare"), beside=span),
        "alert": Contestant(url_of("alert"), alerts=[Alert(_ignore)]),
    }


def _ignore(_: object) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and return 1 if a target is missed and was to be checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observed_run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="how many turns each has (100)")
    parser.add_argument("--runs", type=int, default=10, help="runs in a turn (10)")
    parser.add_argument("--url", help="a store for all, such as redis://host; by default, SQLite")
    parser.add_argument("--folder", help="where databases are made; by default a temporary one")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder,
        ExitStack() as stack,
    ):
        found = contestants(lambda name: options.url or f"sqlite:///{Path(folder, name)}.db")
        for one in found.values():
            stack.enter_context(one.manager)
            one.measure(options.runs)
        turns: dict[str, list[Turn]] = {name: [] for name in found}
        gc.collect()
        for _ in range(options.rounds):
            for name, one in found.items():
                turns[name].append(one.measure(options.runs))
    return _report(turns, check=options.check)


def _report(turns: Mapping[str, list[Turn]], *, check: bool) -> int:
    """Print the table.

    A turn is compared with the plain one of the same round: what slows down the machine for a while
    slows down both.
    """
    plain = turns["plain"]
    usual = statistics.median(turn.wall for turn in plain)
    missed = 0
    for name, each in turns.items():
        wall = statistics.median(turn.wall for turn in each)
        pairs = zip(each, plain, strict=True)
        added = statistics.median(turn.processor - beside.processor for turn, beside in pairs)
        percent = added / usual * 100
        is_missed = name in CHECKED and percent > MOST_PERCENT
        missed += is_missed
        verdict = f"over {MOST_PERCENT:g} %" if is_missed else ""
        print(f"{name:10} {wall:9.1f} us  added {added:+7.1f} us {percent:+6.2f} %  {verdict}")
    return int(check and missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
