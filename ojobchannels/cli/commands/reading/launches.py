"""``ojob launches``: the durable launches that wait, run and have ended."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.options import limit_option
from ojobchannels.cli.tables import Column, Row, show, table_options
from ojobchannels.cli.watching import watchable
from ojobchannels.host.terminal import local_time

if TYPE_CHECKING:
    from ojobchannels.manager import LaunchInfo

_COLOURS: Final = {
    "failed": "red",
    "lost": "red",
    "abandoned": "yellow",
    "cancelled": "yellow",
    "running": "cyan",
    "completed": "green",
}


def _where(row: Row) -> str:
    """Return the process that runs it, or how many would take it."""
    if row["worker"] is not None:
        return str(row["worker"])
    if row["state"] != "waiting":
        return ""
    return "; ".join(row["takers"]) or "no process takes it"


COLUMNS: Final = (
    Column("added", lambda row: local_time(row["added"])),
    Column("job", lambda row: row["name"], cut=True),
    Column("state", lambda row: row["state"], colours=_COLOURS),
    Column("due", lambda row: local_time(row["due"]) if row["state"] == "waiting" else ""),
    Column("attempts", lambda row: str(row["attempts"])),
    Column("run", lambda row: (row["run_id"] or "")[:8]),
    Column("worker", _where, cut=True),
    Column("error", lambda row: row["reason"] or row["error"] or "", cut=True),
    Column("launch", lambda row: row["id"], cut=True),
)


@click.command(short_help="Show the durable launches.")
@limit_option("launches", "all that are kept")
@location_options
@table_options
@watchable
def launches(locations: Locations, limit: int, as_json: bool, wide: bool) -> None:
    """Show the durable launches: those that wait or run, then those that ended.

    A launch waits until a process that has its job takes it: a daemon of a job file, or a Python
    program that takes launches (`JobManager.serve` or `start_worker`). For each, the table shows
    the process that runs it, or those that could take it.
    """
    with locations.manager() as manager:
        rows = [_row(info) for info in manager.launches(limit or None)]
    show(rows, COLUMNS, as_json=as_json, wide=wide, nothing="No durable launches are recorded.")


def _row(info: LaunchInfo) -> dict[str, object]:
    return asdict(info)
