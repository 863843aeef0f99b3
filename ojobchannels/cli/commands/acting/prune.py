"""``ojob prune``: remove old run records."""

from datetime import timedelta

import click

from ojobchannels.cli import runs
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.options import as_duration
from ojobchannels.cli.tables import json_option, print_json


@click.command(short_help="Remove old run records.")
@click.option(
    "--older-than",
    required=True,
    callback=as_duration,
    metavar="AGE",
    help="Remove the records of runs that ended more than AGE ago: 12h, 7d, 4w.",
)
@location_options
@json_option
def prune(locations: Locations, older_than: timedelta, as_json: bool) -> None:
    """Remove the records of runs that ended more than AGE ago.

    Active runs are kept. Dead ones are closed as abandoned; they count as ended now.
    """
    with locations.manager() as manager:
        pruned = manager.prune(older_than)
    runs.report_malformed(manager.malformed)
    if as_json:
        print_json(pruned._asdict())
    else:
        records = "record" if pruned.removed == 1 else "records"
        marked = f", closed {pruned.abandoned} as abandoned" if pruned.abandoned else ""
        click.echo(f"Removed {pruned.removed} {records}{marked}.")
