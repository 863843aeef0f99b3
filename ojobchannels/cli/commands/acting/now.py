"""``ojob now``: have a daemon run a job at once."""

from __future__ import annotations

from datetime import timedelta

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.names import complete_schedule
from ojobchannels.cli.options import as_duration, reason_option
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json


@click.command(short_help="Have a daemon run a job at once.")
@click.argument("name", shell_complete=complete_schedule)
@click.argument("args", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--wait",
    callback=as_duration,
    default="10s",
    metavar="TIME",
    help="How long to wait for a daemon to take the request (default: 10s).",
)
@reason_option
@location_options
@json_option
def now(
    locations: Locations,
    name: str,
    args: tuple[str, ...],
    wait: timedelta,
    reason: str | None,
    as_json: bool,
) -> None:
    """Have one of the daemons run the job of the schedule NAME at once, also if it is paused.

    Arguments override those of the schedule, as in ojob run. The command returns when a daemon has
    taken the request; the run is then in ojob history, with the author and the reason.
    """
    from ojobchannels.ojob import parse_args

    values = parse_args(args)
    with locations.manager() as manager:
        taken = manager.run_now(name, values, reason=reason, wait=wait)
    if as_json:
        print_json(taken.document)
    else:
        echo(f"A daemon has taken {taken.target!r} (state: {taken.state}); see ojob history.")
