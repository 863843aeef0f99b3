"""The cost of metrics and alerts for a managed run: ``python -m benchmarks.observed_run``.

Runs are started and ended in turns: plain, with OpenTelemetry's interface, with its SDK, and with
an alert. The command prints the median time of a run, and the processor time that each adds, of all
threads, as a share of a plain run. Of the processor times, the lowest tenth counts: other programs
on the machine lengthen the others. With ``--check`` it fails if one adds more than 2 %.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from ojobchannels import JobManager
from ojobchannels.alerts import Alert
from ojobchannels.telemetry import instrument, uninstrument

MOST_PERCENT: Final = 2.0


class Turn(NamedTuple):
    """The time of a run, and its processor time, in microseconds."""

    wall: float
    processor: float


class Contestant:
    """A manager of its own, and what observes its runs."""

    def __init__(self, url: str, providers: tuple[Any, ...] | None, **options: Any) -> None:
        self._providers = providers
        with self._observed():
            self.manager = JobManager(url, url, **options)

    def measure(self, runs: int) -> Turn:
        """Run a job some times."""
        with self._observed():
            began, processor = time.perf_counter(), time.process_time()
            for _ in range(runs):
                self.manager.start("measured").end()
            return Turn(
                (time.perf_counter() - began) / runs * 1e6,
                (time.process_time() - processor) / runs * 1e6,
            )

    @contextmanager
    def _observed(self) -> Iterator[None]:
        if self._providers is not None:
            instrument(*self._providers)
        try:
            yield
        finally:
            uninstrument()


def contestants(url_of: Mapping[str, str]) -> dict[str, Contestant]:
    """Return all contestants, each with its own store."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    sdk = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    return {
        "plain": Contestant(url_of["plain"], None),
        "interface": Contestant(url_of["interface"], ()),
        "sdk": Contestant(url_of["sdk"], sdk),
        "alert": Contestant(url_of["alert"], None, alerts=[Alert(_ignore)]),
    }


def _ignore(_: object) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and return 1 if a target is missed and was to be checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observed_run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="how many turns each has (60)")
    parser.add_argument("--runs", type=int, default=20, help="runs in a turn (20)")
    parser.add_argument("--url", help="a store for all, such as redis://host; by default, SQLite")
    parser.add_argument("--folder", help="where databases are made; by default a temporary one")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder,
        ExitStack() as all,
    ):
        names = ("plain", "interface", "sdk", "alert")
        own = {name: f"sqlite:///{Path(folder, name)}.db" for name in names}
        found = contestants(dict.fromkeys(names, options.url) if options.url else own)
        for one in found.values():
            all.enter_context(one.manager)
        turns: dict[str, list[Turn]] = {name: [] for name in found}
        for _ in range(options.rounds):
            for name, one in found.items():
                turns[name].append(one.measure(options.runs))
    return _report(turns, check=options.check)


def _report(turns: Mapping[str, list[Turn]], *, check: bool) -> int:
    wall = {name: statistics.median(turn.wall for turn in each) for name, each in turns.items()}
    processor = {
        name: statistics.quantiles((turn.processor for turn in each), n=10)[0]
        for name, each in turns.items()
    }
    missed = 0
    for name in turns:
        added = processor[name] - processor["plain"]
        percent = added / wall["plain"] * 100
        is_missed = percent > MOST_PERCENT
        missed += is_missed
        verdict = f"over {MOST_PERCENT:g} %" if is_missed else ""
        print(
            f"{name:10} {wall[name]:9.1f} us  added {added:+7.1f} us {percent:+6.2f} %  {verdict}"
        )
    return int(check and missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
