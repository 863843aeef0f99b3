"""``ojob jobs``: the active or last run of each job."""

from typing import Final

import click

from ojobchannels.cli import runs
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.tables import show, table_options
from ojobchannels.cli.watching import watchable
from ojobchannels.following.gone_daemons import gone_daemons

COLUMNS: Final = (runs.JOB, runs.STATUS, runs.AGO, runs.TOOK, runs.RUN, runs.WHERE, runs.DETAILS)


@click.command(short_help="Show the active or last run of each job.")
@location_options
@table_options
@watchable
def jobs(locations: Locations, as_json: bool, wide: bool) -> None:
    """Show each job once, with its active run or, if none is active, with its last run.

    Runs that were skipped because the job was running elsewhere are shown only if there is no
    other run. The record of a run whose process died is closed as abandoned.
    """
    with locations.manager() as manager:
        latest = runs.latest_of_each(manager.runs(limit=None))
        if not as_json:
            latest = [*runs.noted(latest, gone_daemons(manager.daemons()))]
    runs.report_malformed(manager.malformed)
    show(latest, COLUMNS, as_json=as_json, wide=wide, nothing="No runs are recorded yet.")
