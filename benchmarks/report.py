"""The verdicts and the tables that show them: Markdown for people, JSON with every round."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.entrants import FLOOR
from benchmarks.measure import Ratio, Result, ratio
from benchmarks.ours import NAME
from benchmarks.peers.stores import NOT_DURABLE

_PACKAGES = (
    "ojobchannels", "ojobchannels-redis", "ojobchannels-mongo", "ojobchannels-postgres",
    "ojobchannels-ignite", "pluggy",
    "redis", "hiredis", "pymongo", "psycopg", "pyignite", "filelock", "portalocker", "fasteners",
    "tooz", "mithril-locks", "diskcache",
    "sqlalchemy-dlock", "python-redis-lock", "sherlock", "pottery", "mongoelector", "mongolock",
    "py-key-value-aio", "cachelib", "tinydb", "sqlitedict", "huey", "celery-once", "apscheduler",
    "click",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A case and its results."""

    case: Case
    results: list[Result]

    def result(self, name: str) -> Result | None:
        """Return the result of a contestant that completed the case, or None."""
        return next((r for r in self.results if r.name == name and r.rounds), None)

    @property
    def missing(self) -> dict[str, str]:
        """The contestants that failed, each with its error."""
        return {result.name: result.error for result in self.results if result.error}


@dataclass(frozen=True)
class Verdict:
    """Ours compared with another contestant or a number; without a `limit` it is only reported."""

    measure: str
    beside: str
    ratio: Ratio
    limit: float | None

    @property
    def reached(self) -> bool:
        """Whether the limit is met; true without a limit."""
        return self.limit is None or self.ratio.median <= self.limit


def verdicts(row: Row) -> Iterator[Verdict]:
    """Compare ours with the floor, with fixed numbers and with the peers."""
    mine = row.result(NAME)
    if mine is None:
        return
    for measure, limit in row.case.limits.items():
        floor = row.result(FLOOR)
        if floor is not None and measure in floor.rounds[0]:
            yield Verdict(measure, FLOOR, ratio(mine, floor, measure), limit)
    for measure, number in row.case.at_most.items():
        median = mine.median(measure)
        yield Verdict(measure, "", Ratio(median, median, median), number)
    for peer in row.results:
        if peer.name in (NAME, FLOOR) or not peer.rounds:
            continue
        for measure in row.case.peers:
            # A peer whose writes are not durable is reported, but sets no target.
            limit = None if NOT_DURABLE in peer.name else row.case.ahead.get(peer.name, 1.0)
            yield Verdict(measure, peer.name, ratio(mine, peer, measure), limit)


def missed(row: Row) -> Iterator[str]:
    """Yield a message for each target that was missed or could not be measured."""
    mine = next((result for result in row.results if result.name == NAME), None)
    if mine is None or mine.error:
        yield f"{row.case.title}: not measured: {mine.error if mine else 'no contestant'}"
    for verdict in verdicts(row):
        if not verdict.reached and verdict.limit is not None:
            beside = f" of {verdict.beside}" if verdict.beside else ""
            yield (
                f"{row.case.title}, {verdict.measure}: {_number(verdict.ratio.median)}{beside}, "
                f"at most {verdict.limit:g}"
            )


def markdown(part: str, rows: list[Row], about: dict[str, Any]) -> str:
    """Return the table of a part, followed by the conditions of the measurement."""
    table = _sizes_table(rows) if part == "sizes" else _table(rows)
    lines = [*table, "", *_absent(rows), _about(about)]
    return "\n".join(lines) + "\n"


def as_json(rows: list[Row], about: dict[str, Any]) -> dict[str, Any]:
    """Return every measured number."""
    return {"about": about, "rows": [_row_as_json(row) for row in rows]}


def machine(folder: Path, rounds: int, seconds: float, servers: dict[str, str]) -> dict[str, Any]:
    """Return the conditions of the measurement: the machine, the versions, the number of rounds."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "rounds": rounds,
        "seconds": seconds,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "disk": _filesystem(folder),
        "python": sys.version.split()[0],
        "servers": servers,
        "versions": dict(_versions()),
    }


def _table(rows: list[Row]) -> list[str]:
    lines = [
        "| type | case | ours ÷ floor | at most | | ours ÷ peer |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        found = list(verdicts(row))
        for number, measure in enumerate(row.case.limits):
            named = row.case.name if measure == "wall" else f"{row.case.name}, {measure}"
            cells = _floor_cells([v for v in found if v.measure == measure])
            beside = [v for v in found if v.beside not in ("", FLOOR)]
            peers = _peers([v for v in beside if v.measure == measure])
            if number == 0 and row.result(NAME) is None:
                cells = f"not measured: {row.missing.get(NAME, '')} | | ✗"
            lines.append(f"| {_code(row.case.type)} | {named} | {cells} | {peers} |")
    return lines


def _floor_cells(found: list[Verdict]) -> str:
    for verdict in found:
        if not verdict.beside:
            limit = f"{verdict.limit:g}" if verdict.limit is not None else ""
            return f"itself {_number(verdict.ratio.median)} | {limit} | {_mark(verdict)}"
    for verdict in found:
        if verdict.beside == FLOOR:
            share = verdict.ratio
            text = f"{_number(share.median)} ({_number(share.low)}–{_number(share.high)})"
            if verdict.limit is None:
                return f"{text} | | "
            return f"{text} | {verdict.limit:g} | {_mark(verdict)}"
    return "– | | "


def _peers(found: list[Verdict]) -> str:
    cells = (
        f"{_number(v.ratio.median)} {v.beside}{'' if v.reached else f' {_mark(v)}'}" for v in found
    )
    return " · ".join(cells)


def _sizes_table(rows: list[Row]) -> list[str]:
    lines = [
        "Each cell is the cost at that size, as a multiple of the cost at the smallest size.",
        "",
        "| growing | type | what | cost by size |",
        "| --- | --- | --- | --- |",
    ]
    for of, type in dict.fromkeys((row.case.of, row.case.type) for row in rows):
        series = [row for row in rows if (row.case.of, row.case.type) == (of, type)]
        for measure in series[0].case.limits:
            known = [(row.case.size, found) for row in series if (found := row.result(NAME))]
            if not known:
                continue
            first = known[0][1].median(measure)
            costs = " · ".join(
                f"{size:,}: {_number(found.median(measure) / first)}" for size, found in known
            )
            lines.append(f"| {of} | {_code(type)} | {measure} | {costs} |")
    return lines


def _absent(rows: list[Row]) -> list[str]:
    absent: dict[str, None] = {}
    for row in rows:
        for name, why in row.missing.items():
            absent[f"- {name}, {row.case.type or row.case.name}: {why.replace('|', '/')}"] = None
    return ["Did not take part:", "", *absent, ""] if absent else []


def _about(about: dict[str, Any]) -> str:
    servers = "".join(f", {name} {version}" for name, version in about["servers"].items())
    return (
        f"{about['rounds']} rounds of {about['seconds']:g} s for each contestant, interleaved; "
        f"the middle half of the rounds in parentheses. {about['processor']}, {about['cores']} "
        f"cores, load {about['load']} at the start, {about['system']}, {about['disk']}, "
        f"Python {about['python']}{servers}, {about['when']}."
    )


def _row_as_json(row: Row) -> dict[str, Any]:
    case = row.case
    return {
        "part": case.part,
        "type": case.type,
        "case": case.name,
        "size": case.size or None,
        "of": case.of or None,
        "floor": case.floor,
        "results": {
            result.name: {"rounds": [dict(numbers) for numbers in result.rounds]}
            if result.rounds
            else {"error": result.error}
            for result in row.results
        },
        "verdicts": [asdict(v) | {"reached": v.reached} for v in verdicts(row)],
    }


def _mark(verdict: Verdict) -> str:
    return "✓" if verdict.reached else "✗"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _number(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:,.0f}"


def _versions() -> Iterable[tuple[str, str]]:
    for name in _PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _filesystem(folder: Path) -> str:
    """Return the type of the filesystem; on one in memory flushing costs nothing."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown filesystem"
    mounts = [line.split()[1:3] for line in lines]
    inside = [(len(at), kind) for at, kind in mounts if folder.resolve().is_relative_to(at)]
    kind = max(inside, default=(0, "unknown filesystem"))[1]
    return f"{kind} (in memory: flushing costs nothing)" if kind in ("tmpfs", "ramfs") else kind
