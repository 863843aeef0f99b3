"""``ojob pause``: pause a schedule on all hosts."""

from __future__ import annotations

from datetime import datetime

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.names import complete_schedule
from ojobchannels.cli.options import as_future, reason_option
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json
from ojobchannels.host.terminal import local_time


@click.command(short_help="Pause a schedule on all hosts.")
@click.argument("name", shell_complete=complete_schedule)
@click.option(
    "--until",
    callback=as_future,
    metavar="TIME",
    help="Resume automatically, after 2h or 7d, or at 2026-03-31T18:00.",
)
@reason_option
@location_options
@json_option
def pause(
    locations: Locations, name: str, until: datetime | None, reason: str | None, as_json: bool
) -> None:
    """Pause the schedule NAME on all hosts, until it is resumed or until a time.

    Active runs continue. After the pause, missed fire times are handled as `misfire` in the job
    file says. The pause is recorded with its author and reason; ojob schedules and ojob actions
    show it.
    """
    from dataclasses import asdict

    with locations.manager() as manager:
        paused = manager.pause(name, until=until, reason=reason)
    if as_json:
        print_json(asdict(paused))
    else:
        end = f"until {local_time(paused.until)}" if paused.until else "until it is resumed"
        echo(f"Paused {name!r} {end}.")
