"""``ojob report``: how the jobs fare."""

from __future__ import annotations

from typing import Final

import click

from ojobchannels.cli.locations import Places, place_options
from ojobchannels.cli.runs import JOB, STATUS_COLOURS
from ojobchannels.cli.tables import Column, Row, json_option, show
from ojobchannels.cli.times import relative, span
from ojobchannels.host.clock import now_ms


def _otherwise(row: Row) -> str:
    return ", ".join(f"{row[status]} {status}" for status in _RARE if row[status])


def _average(row: Row) -> str:
    taken = row.get("averageDuration")
    return "" if taken is None else span(taken)


def _last(row: Row) -> str:
    return f"{row['lastStatus']} {relative(row['lastStart'], now_ms())}"


_RARE: Final = ("running", "skipped", "depsfail", "abandoned", "lost")

COLUMNS: Final = (
    JOB,
    Column("runs", lambda row: str(row["runs"]), right=True),
    Column("completed", lambda row: str(row["completed"]), right=True),
    Column("failed", lambda row: str(row["failed"]), right=True),
    Column("average", _average, right=True),
    Column("last", _last, colours=STATUS_COLOURS),
    Column("otherwise", _otherwise, folds=True),
)


@click.command(short_help="Sum up the runs by job.")
@place_options
@json_option
def report(places: Places, as_json: bool) -> None:
    """Sums up the runs by job: how many, how they ended, how long they take.

    The average counts runs that completed or failed.
    """
    with places.manager() as manager:
        rows = manager.report()
    show(rows, COLUMNS, as_json=as_json, nothing="No runs are recorded yet.")
