"""What grows with the history: ``python -m benchmarks.growth --type db redis``.

Each question concerns few records, beside 1,000, 10,000 and 100,000 others (``--records``). One
session measures all sizes of a type in turn, so that what slows the machine slows all of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ojobchannels as oc
from benchmarks import ours
from benchmarks.__main__ import running_servers
from benchmarks.measure import Workspace

_CENTURY = 36_500 * 86_400
_TYPES = ("db", "redis", "mongo", "postgres")
_FEW = 10


@dataclass
class Measured:
    """A manager over a long history; `times` are the seconds of each question, one a round."""

    manager: oc.JobManager
    records: int
    times: dict[str, list[float]] = field(default_factory=dict)

    def round(self) -> None:
        """Ask each question once."""
        for name, prepare, ask in _questions(self.manager, self.records):
            prepare()
            began = time.perf_counter()
            ask()
            self.times.setdefault(name, []).append(time.perf_counter() - began)


Question = tuple[str, Callable[[], object], Callable[[], object]]


def _questions(manager: oc.JobManager, records: int) -> Iterator[Question]:
    def put(name: str, first: int, end: int | None = None) -> None:
        for number in range(first, first + _FEW):
            record = {**ours.record(number), "name": name}
            if end is not None:
                record["endTime"] = end
            manager.jobs.set({"name": name, "startTime": record["startTime"]}, record)

    def search() -> None:
        with _fresh(manager) as fresh:
            fresh.close_dead_runs()

    def report() -> None:
        with _fresh(manager) as fresh:
            fresh.report()

    yield "size of the channel", _nothing, manager.jobs.size
    yield "`runs` of a rare job", _nothing, lambda: manager.runs("rare")
    yield (
        "`record` of a run without output",
        _nothing,
        lambda: manager.record(f"{records // 2:032x}"),
    )
    yield "`prune` of ten", lambda: put("old", 0, end=1), lambda: manager.prune(_CENTURY / 3)
    yield "first search for dead runs", _nothing, search
    yield "`report`", _nothing, manager.report
    yield "`report` after ten runs", lambda: put("rare", 0), manager.report
    yield "`report` of a new manager", _nothing, report


def _nothing() -> None:
    return None


def _fresh(manager: oc.JobManager) -> oc.JobManager:
    return oc.JobManager(manager.jobs, manager.locks, state=manager.state)


def measure(type: str, sizes: list[int], rounds: int, workspace: Workspace) -> list[Measured]:
    """Return what each question takes beside each number of records."""
    with ExitStack() as opened:
        managers = [
            Measured(opened.enter_context(ours.filled_manager(type, workspace, size)), size)
            for size in sizes
        ]
        for each in managers:
            each.round()
            each.times.clear()
        for _ in range(rounds):
            for each in managers:
                each.round()
        return managers


def table(results: dict[str, list[Measured]], sizes: list[int]) -> str:
    """Return the medians in milliseconds, and the last one by the first."""
    lines = [
        f"| question | type | {' | '.join(f'{size:,}' for size in sizes)} | last ÷ first |",
        f"| --- | --- {'| ---: ' * (len(sizes) + 1)}|",
    ]
    names = next(iter(results.values()))[0].times
    for name in names:
        for type, measured in results.items():
            medians = [statistics.median(each.times[name]) * 1000 for each in measured]
            shown = " | ".join(f"{one:.3g} ms" for one in medians)
            lines.append(f"| {name} | `{type}` | {shown} | {medians[-1] / medians[0]:.2g} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Print the table, and write it to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--type", nargs="+", default=_TYPES, help="channel types (all of them)")
    parser.add_argument("--records", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=15, help="how often each is asked (15)")
    parser.add_argument("--out", type=Path, help="a file for the table")
    options: Any = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with running_servers(Path(folder), set(options.type)) as (workspace, _versions):
            results = {
                type: measure(type, options.records, options.rounds, workspace)
                for type in options.type
            }
        text = table(results, options.records)
    print(text, end="")
    if options.out is not None:
        options.out.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
