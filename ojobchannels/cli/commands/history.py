"""``ojob history``: what ran."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import click

from ojobchannels.cli import runs
from ojobchannels.cli.locations import Places, place_options
from ojobchannels.cli.options import moment
from ojobchannels.cli.tables import json_option, show

COLUMNS: Final = (
    runs.STARTED,
    runs.JOB,
    runs.STATUS,
    runs.TOOK,
    runs.WHERE,
    runs.WHAT,
)


@click.command(short_help="Show the runs, latest first.")
@click.argument("name", required=False)
@click.option("--status", metavar="STATUS", help="Only runs of this status, such as failed.")
@click.option(
    "--since",
    callback=moment,
    metavar="TIME",
    help="Only runs that started since then: 2h, 7d, 2026-03-31, 2026-03-31T18:00.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=50,
    metavar="N",
    show_default=True,
    help="So many at most; 0 for all.",
)
@place_options
@json_option
def history(
    places: Places,
    name: str | None,
    status: str | None,
    since: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Shows the runs of all jobs, or of the job NAME, latest first.

    A status is one of running, completed, failed, skipped (it ran elsewhere, or had nothing to do),
    depsfail (a job that it waits for failed), abandoned (its process died) or lost (it lost its
    lock while it ran).
    """
    with places.manager() as manager:
        found = manager.runs(name, status, since, limit + 1 if limit else None)
    shown = found[:limit] if limit else found
    show(shown, COLUMNS, as_json=as_json, nothing="No such runs are recorded.")
    if len(found) > len(shown) and not as_json:
        click.echo(f"There are more than these {limit}; --limit 0 shows all.", err=True)
