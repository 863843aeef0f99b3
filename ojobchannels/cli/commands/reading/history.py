"""``ojob history``: the recorded runs."""

from collections.abc import Set
from datetime import datetime
from typing import Final

import click

from ojobchannels.cli import runs
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.names import complete_job
from ojobchannels.cli.options import as_moment, limit_option
from ojobchannels.cli.tables import show, table_options
from ojobchannels.cli.watching import watchable

COLUMNS: Final = (
    runs.STARTED,
    runs.JOB,
    runs.STATUS,
    runs.TOOK,
    runs.RUN,
    runs.WHERE,
    runs.DETAILS,
)


@click.command(short_help="Show the recorded runs, latest first.")
@click.argument("name", required=False, shell_complete=complete_job)
@click.option("--status", metavar="STATUS", help="Show only runs with this status, such as failed.")
@click.option(
    "--since",
    callback=as_moment,
    metavar="TIME",
    help="Show only runs that started since TIME: 2h, 7d, 2026-03-31, 2026-03-31T18:00.",
)
@limit_option("runs", "all")
@location_options
@table_options
@watchable
def history(
    locations: Locations,
    name: str | None,
    status: str | None,
    since: datetime | None,
    limit: int,
    as_json: bool,
    wide: bool,
) -> None:
    """Show the recorded runs of all jobs, or of the job NAME, latest first.

    The status is running, completed, failed, skipped (the job was running elsewhere or had nothing
    to do), depsfail (a dependency failed), abandoned (the process died), lost (the run lost its
    lock) or cancelled (an operator ended it).
    """
    with locations.manager() as manager:
        found = manager.runs(name, status, since, limit + 1 if limit else None)
        nothing = "No matching runs are recorded."
        if name is not None and not found:
            nothing = _nothing_about(name, {one["name"] for one in manager.runs(limit=None)})
    runs.report_malformed(manager.malformed)
    shown = found[:limit] if limit else found
    show(shown, COLUMNS, as_json=as_json, wide=wide, nothing=nothing)
    if len(found) > len(shown) and not as_json:
        click.echo(f"Only the latest {limit} runs are shown; --limit 0 shows all.", err=True)


def _nothing_about(name: str, known: Set[str]) -> str:
    from ojobchannels.suggestions import did_you_mean

    if name in known:
        return f"No matching runs of job {name!r} are recorded."
    hint = did_you_mean(name, sorted(known))
    return f"No runs of a job {name!r} are recorded{hint and f'; {hint}'}"
