"""``ojob schedules``: what is due when, what is overdue, and what is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.pauses import described_pause
from ojobchannels.cli.runs import process
from ojobchannels.cli.tables import Column, Row, show, table_options
from ojobchannels.cli.times import relative
from ojobchannels.cli.watching import watchable
from ojobchannels.host.clock import now_ms

if TYPE_CHECKING:
    from ojobchannels.manager.schedules.overview import ScheduleInfo

_COLOURS: Final = {"overdue": "red", "paused": "magenta", "waiting": "green"}


def _state(row: Row) -> str:
    if row["overdue_since"] is not None:
        return f"overdue {relative(row['overdue_since'], now_ms()).removesuffix(' ago')}"
    if row["paused"] is not None:
        return "paused"
    return "waiting"


def _moment(name: str) -> Any:
    return lambda row: "" if row[name] is None else relative(row[name], now_ms())


def _daemons(row: Row) -> str:
    """Return the processes of the daemons that are alive."""
    alive = [process(daemon) for daemon in row["daemons"] if daemon["alive"]]
    return ", ".join(alive) or "none alive"


def _details(row: Row) -> str:
    return described_pause(row["paused"]) if row["paused"] else ""


COLUMNS: Final = (
    Column("schedule", lambda row: row["name"], cut=True),
    Column("state", _state, colours=_COLOURS),
    Column("next", _moment("next_time")),
    Column("last", _moment("last_time")),
    Column("trigger", lambda row: row["trigger"], cut=True),
    Column("zone", lambda row: row["timezone"], optional=True),
    Column("daemons", _daemons, cut=True),
    Column("details", _details, cut=True),
)


@click.command(short_help="Show what is due, overdue and paused.")
@location_options
@table_options
@watchable
def schedules(locations: Locations, as_json: bool, wide: bool) -> None:
    """Show the schedules of all daemons: when each is due, whether it is overdue, who paused it.

    A schedule is overdue if no run began within `overdueAfter` (a minute by default) after its fire
    time, whatever the reason, even if all daemons are down.
    """
    from dataclasses import asdict

    with locations.manager() as manager:
        rows = [asdict(schedule) for schedule in sorted(manager.schedules(), key=_rank)]
    nothing = "No daemon has published schedules."
    show(rows, COLUMNS, as_json=as_json, wide=wide, nothing=nothing)


def _rank(schedule: ScheduleInfo) -> tuple[bool, float, str]:
    """Return the rank of a schedule: overdue ones first, then by the next time."""
    due = float("inf") if schedule.next_time is None else schedule.next_time
    return schedule.overdue_since is None, due, schedule.name
