"""``ojob resume``: resume a paused schedule."""

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.names import complete_schedule
from ojobchannels.cli.options import reason_option
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json
from ojobchannels.host.terminal import local_time


@click.command(short_help="Resume a paused schedule.")
@click.argument("name", shell_complete=complete_schedule)
@reason_option
@location_options
@json_option
def resume(locations: Locations, name: str, reason: str | None, as_json: bool) -> None:
    """Resume the schedule NAME on all hosts.

    Missed fire times are handled as `misfire` in the job file says.

    Exit status: 0, even if it was not paused.
    """
    from dataclasses import asdict

    with locations.manager() as manager:
        ended = manager.resume(name, reason=reason)
    if as_json:
        print_json(ended and asdict(ended))
    elif ended is None:
        echo(f"{name!r} is not paused; there is nothing to resume.")
    else:
        echo(f"Resumed {name!r}, which {ended.author} paused at {local_time(ended.since)}.")
