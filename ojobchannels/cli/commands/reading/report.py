"""``ojob report``: statistics of the runs of each job."""

from typing import Final

import click

from ojobchannels.cli import runs
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.runs import JOB, STATUS_COLOURS
from ojobchannels.cli.tables import Column, Row, show, table_options
from ojobchannels.cli.times import relative
from ojobchannels.cli.watching import watchable
from ojobchannels.host.clock import now_ms
from ojobchannels.host.terminal import duration


def _other(row: Row) -> str:
    return ", ".join(f"{row[status]} {status}" for status in _RARE if row[status])


def _average(row: Row) -> str:
    average = row.get("averageDuration")
    return "" if average is None else duration(average)


def _last(row: Row) -> str:
    return f"{row['lastStatus']} {relative(row['lastStart'], now_ms())}"


_RARE: Final = ("running", "cancelled", "skipped", "depsfail", "abandoned", "lost")

COLUMNS: Final = (
    JOB,
    Column("runs", lambda row: str(row["runs"]), right=True),
    Column("completed", lambda row: str(row["completed"]), right=True),
    Column("failed", lambda row: str(row["failed"]), right=True),
    Column("average", _average, right=True),
    Column("last", _last, colours=STATUS_COLOURS),
    Column("other", _other, cut=True),
)


@click.command(short_help="Show statistics of the runs of each job.")
@location_options
@table_options
@watchable
def report(locations: Locations, as_json: bool, wide: bool) -> None:
    """Show how many runs each job had, how they ended and how long they took.

    The average is the mean duration of the runs that completed or failed.
    """
    with locations.manager() as manager:
        rows = manager.report()
    runs.report_malformed(manager.malformed)
    show(rows, COLUMNS, as_json=as_json, wide=wide, nothing="No runs are recorded yet.")
