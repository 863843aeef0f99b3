"""What ``ojob top`` shows: one row for each job and schedule, those that need a look first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from ojobchannels.cli.pauses import described_pause
from ojobchannels.cli.runs import details, latest_of_each, noted, process, took
from ojobchannels.cli.tables import Column, Row
from ojobchannels.cli.times import relative
from ojobchannels.following.gone_daemons import gone_daemons
from ojobchannels.host.clock import now_ms
from ojobchannels.manager import JobManager
from ojobchannels.manager.records import Record
from ojobchannels.manager.schedules.overview import ScheduleInfo
from ojobchannels.manager.schedules.published import DaemonInfo

State: TypeAlias = Literal[
    "overdue", "failed", "abandoned", "lost", "running", "paused", "ok", "waiting"
]

_RECENT: Final = 500
_NAMED: Final = 3
_IN_TROUBLE: Final = ("overdue", "failed", "abandoned", "lost")
_ORDER: Final = (*_IN_TROUBLE, "running", "paused", "waiting", "ok")
COLOURS: Final = {
    "overdue": "red",
    "failed": "red",
    "abandoned": "yellow",
    "lost": "yellow",
    "running": "cyan",
    "paused": "magenta",
    "ok": "green",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One job or schedule.

    Attributes:
        name: Its name.
        state: The state that matters most.
        record: Its active run, or else its last one; None if no run is known.
        schedule: Its schedule, if a daemon has published one.
    """

    name: str
    state: State
    record: Record | None
    schedule: ScheduleInfo | None

    @property
    def row(self) -> Row:
        """The line as a row of a table."""
        return {"line": self}


class Board:
    """All lines at one moment."""

    def __init__(self, lines: Iterable[Line], gone: Sequence[DaemonInfo] = ()) -> None:
        self.lines = sorted(lines, key=_rank)
        self._gone = gone

    def count(self, state: State) -> int:
        """Return the number of lines in a state."""
        return sum(line.state == state for line in self.lines)

    @property
    def summary(self) -> str:
        """The numbers that matter, and the next fire time."""
        counts = [f"{self.count(state)} {state}" for state in ("running", *_IN_TROUBLE, "paused")]
        shown = [text for text in counts if not text.startswith("0 ") or " running" in text]
        if self._gone:
            where = ", ".join(process(asdict(daemon)) for daemon in self._gone[:_NAMED])
            shown.append(f"daemons without a sign of life: {len(self._gone)} ({where})")
        due = [line for line in self.lines if line.schedule and line.schedule.next_time]
        first = min(due, key=_next_time, default=None)
        if first is not None:
            shown.append(f"next {first.name} {relative(_next_time(first), now_ms())}")
        return ", ".join(shown)


def read_board(manager: JobManager) -> Board:
    """Read the runs and the schedules."""
    recent = manager.runs(limit=_RECENT)
    known = {record.get("runId") for record in recent}
    recent += [record for record in manager.running() if record["runId"] not in known]
    schedules, gone = manager.schedules(), gone_daemons(manager.daemons())
    latest = {record["name"]: record for record in noted(latest_of_each(recent), gone)}
    with_schedule = {schedule.run for schedule in schedules}
    lines = [line_of(each.name, latest.get(each.run or ""), each) for each in schedules]
    lines += [line_of(name, latest[name], None) for name in latest.keys() - with_schedule]
    return Board(lines, gone)


def line_of(name: str, record: Record | None, schedule: ScheduleInfo | None) -> Line:
    """Return the line of a job, with its last run and its schedule."""
    return Line(name, state_of(record, schedule), record, schedule)


def state_of(record: Mapping[str, Any] | None, schedule: ScheduleInfo | None) -> State:
    """Return the state of a job that matters most."""
    status = None if record is None else record["status"]
    if status == "running":
        return "running"
    if schedule is not None and schedule.overdue_since is not None:
        return "overdue"
    if schedule is not None and schedule.paused is not None:
        return "paused"
    if status in ("failed", "abandoned", "lost"):
        state: State = status
        return state
    return "waiting" if status is None else "ok"


def _rank(line: Line) -> tuple[int, int, str]:
    return _ORDER.index(line.state), _next_time(line), line.name


def _next_time(line: Line) -> int:
    schedule = line.schedule
    return schedule.next_time if schedule and schedule.next_time else 2**63


def _state(row: Row) -> str:
    line: Line = row["line"]
    if line.state == "overdue" and line.schedule and line.schedule.overdue_since:
        return f"overdue {relative(line.schedule.overdue_since, now_ms()).removesuffix(' ago')}"
    return str(line.state)


def _of_record(format: Any) -> Any:
    def cell(row: Row) -> str:
        record = row["line"].record
        return "" if record is None else str(format(record))

    return cell


def _next(row: Row) -> str:
    due = _next_time(row["line"])
    return relative(due, now_ms()) if due < 2**63 else ""


def _why(row: Row) -> str:
    """Return the pause, or the error of the last run."""
    line: Line = row["line"]
    if line.schedule is not None and line.schedule.paused is not None:
        return described_pause(asdict(line.schedule.paused))
    return _of_record(details)(row) if line.record else ""


COLUMNS: Final = (
    Column("job", lambda row: row["line"].name, cut=True),
    Column("state", _state, colours=COLOURS),
    Column("next", _next),
    Column("last", _of_record(lambda record: relative(record["startTime"], now_ms()))),
    Column("took", _of_record(took), right=True),
    Column("where", _of_record(process), optional=True),
    Column("details", _why, cut=True),
)
