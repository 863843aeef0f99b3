"""``ojob prune``: removes old records."""

from __future__ import annotations

from datetime import timedelta

import click

from ojobchannels.cli.locations import Places, place_options
from ojobchannels.cli.options import span
from ojobchannels.cli.tables import json_option, print_json


@click.command(short_help="Remove the records of old runs.")
@click.option(
    "--older-than",
    required=True,
    callback=span,
    metavar="SPAN",
    help="Remove runs that ended longer ago than this: 12h, 7d, 4w.",
)
@place_options
@json_option
def prune(places: Places, older_than: timedelta, as_json: bool) -> None:
    """Removes the records of runs that ended longer ago than SPAN.

    Runs that are on stay. Those that died are marked as abandoned, and go another time.
    """
    with places.manager() as manager:
        pruned = manager.prune(older_than)
    if as_json:
        print_json(pruned._asdict())
    else:
        records = "record" if pruned.removed == 1 else "records"
        marked = f", marked {pruned.abandoned} as abandoned" if pruned.abandoned else ""
        click.echo(f"Removed {pruned.removed} {records}{marked}.")
