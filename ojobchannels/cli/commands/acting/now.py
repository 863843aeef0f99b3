"""``ojob now``: have a daemon run a job at once."""

from __future__ import annotations

from datetime import timedelta

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.names import complete_schedule
from ojobchannels.cli.options import reason_option
from ojobchannels.cli.requests import report_taken, wait_option
from ojobchannels.cli.tables import json_option


@click.command(short_help="Have a daemon run a job at once.")
@click.argument("name", shell_complete=complete_schedule)
@click.argument("args", nargs=-1, metavar="[KEY=VALUE]...")
@wait_option
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
    """Have one of the daemons run the job of the schedule NAME at once, even if it is paused.

    Arguments override those of the schedule, as in ojob run. The command returns when a daemon has
    taken the request; ojob actions then shows how the run ended. The run of a managed job is in
    ojob history too, with the author and the reason.
    """
    from ojobchannels.ojob import parse_args

    values = parse_args(args)
    with locations.manager() as manager:
        taken = manager.run_now(name, values, reason=reason, wait=wait)
    report_taken(taken, as_json=as_json)
