"""The verdicts, and the tables that tell them: Markdown for people, JSON with every round."""

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
    "ojobchannels", "ojobchannels-redis", "ojobchannels-mongo", "pluggy", "redis", "hiredis",
    "pymongo", "filelock", "portalocker", "fasteners", "tooz", "mithril-locks", "diskcache",
    "sqlalchemy-dlock", "python-redis-lock", "sherlock", "pottery", "mongoelector", "mongolock",
    "py-key-value-aio", "cachelib", "tinydb", "sqlitedict", "huey", "celery-once", "apscheduler",
    "click",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A case and what came out of it."""

    case: Case
    results: list[Result]

    def result(self, name: str) -> Result | None:
        """Returns what that one achieved, if it took part to the end."""
        return next((one for one in self.results if one.name == name and one.rounds), None)

    @property
    def missing(self) -> dict[str, str]:
        """Who could not take part, and why."""
        return {one.name: one.trouble for one in self.results if one.trouble}


@dataclass(frozen=True)
class Verdict:
    """Ours beside another, or beside a number; `limit` None means that it is only told."""

    measure: str
    beside: str
    ratio: Ratio
    limit: float | None

    @property
    def reached(self) -> bool:
        """Whether the limit is kept, if there is one."""
        return self.limit is None or self.ratio.median <= self.limit


def verdicts(row: Row) -> Iterator[Verdict]:
    """Compares ours with the floor, with fixed numbers and with the peers."""
    mine = row.result(NAME)
    if mine is None:
        return
    for measure, limit in row.case.limits.items():
        floor = row.result(FLOOR)
        if floor is not None and measure in floor.rounds[0]:
            yield Verdict(measure, FLOOR, ratio(mine, floor, measure), limit)
    for measure, number in row.case.at_most.items():
        found = mine.median(measure)
        yield Verdict(measure, "", Ratio(found, found, found), number)
    for peer in row.results:
        if peer.name in (NAME, FLOOR) or not peer.rounds:
            continue
        for measure in row.case.peers:
            # Ahead of equals: who does not make writes durable is told, and no rival.
            limit = None if NOT_DURABLE in peer.name else row.case.ahead.get(peer.name, 1.0)
            yield Verdict(measure, peer.name, ratio(mine, peer, measure), limit)


def missed(row: Row) -> Iterator[str]:
    """Tells the targets that were not reached, and those that nobody could measure."""
    mine = next((one for one in row.results if one.name == NAME), None)
    if mine is None or mine.trouble:
        yield f"{row.case.title}: not measured: {mine.trouble if mine else 'nobody tried'}"
    for verdict in verdicts(row):
        if not verdict.reached and verdict.limit is not None:
            beside = f" of {verdict.beside}" if verdict.beside else ""
            yield (
                f"{row.case.title}, {verdict.measure}: {_number(verdict.ratio.median)}{beside}, "
                f"at most {verdict.limit:g}"
            )


def markdown(part: str, rows: list[Row], about: dict[str, Any]) -> str:
    """Returns the table of a part, with what it comes from."""
    table = _sizes_table(rows) if part == "sizes" else _table(rows)
    lines = [*table, "", *_absent(rows), _about(about)]
    return "\n".join(lines) + "\n"


def as_json(rows: list[Row], about: dict[str, Any]) -> dict[str, Any]:
    """Returns everything that was measured."""
    return {"about": about, "rows": [_row_as_json(row) for row in rows]}


def machine(folder: Path, rounds: int, seconds: float, servers: dict[str, str]) -> dict[str, Any]:
    """Tells where the numbers come from."""
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
            cells = _floor_cells([one for one in found if one.measure == measure])
            beside = [one for one in found if one.beside not in ("", FLOOR)]
            peers = _peers([one for one in beside if one.measure == measure])
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
            told = f"{_number(share.median)} ({_number(share.low)}–{_number(share.high)})"
            if verdict.limit is None:
                return f"{told} | | "
            return f"{told} | {verdict.limit:g} | {_mark(verdict)}"
    return "– | | "


def _peers(found: list[Verdict]) -> str:
    told = (
        f"{_number(one.ratio.median)} {one.beside}{'' if one.reached else f' {_mark(one)}'}"
        for one in found
    )
    return " · ".join(told)


def _sizes_table(rows: list[Row]) -> list[str]:
    lines = [
        "Each cell is the cost at that size, as a multiple of the cost at the smallest.",
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
    told: dict[str, None] = {}
    for row in rows:
        for name, why in row.missing.items():
            told[f"- {name}, {row.case.type or row.case.name}: {why.replace('|', '/')}"] = None
    return ["Did not take part:", "", *told, ""] if told else []


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
            one.name: {"rounds": [dict(numbers) for numbers in one.rounds]}
            if one.rounds
            else {"trouble": one.trouble}
            for one in row.results
        },
        "verdicts": [asdict(one) | {"reached": one.reached} for one in verdicts(row)],
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
    """Returns the kind of the filesystem; on one in memory flushing costs nothing."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown filesystem"
    mounts = [line.split()[1:3] for line in lines]
    inside = [(len(at), kind) for at, kind in mounts if folder.resolve().is_relative_to(at)]
    kind = max(inside, default=(0, "unknown filesystem"))[1]
    return f"{kind} (in memory: flushing costs nothing)" if kind in ("tmpfs", "ramfs") else kind
