"""``ojob launch``: have a job run by one of the processes that take durable launches."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.options import as_duration
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json


@click.command(short_help="Launch a job durably.")
@click.argument("job")
@click.argument("args", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--delay",
    default="0s",
    callback=as_duration,
    metavar="TIME",
    help="Run it after TIME at the earliest.",
)
@click.option(
    "--priority",
    type=float,
    default=1,
    metavar="NUMBER",
    help="Launches with a lower priority are taken first (default: 1).",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    metavar="N",
    help="Try it again N times after a failure, in place of the retries of the job.",
)
@click.option(
    "--key", metavar="TEXT", help="Launch it only once with this text (an idempotency key)."
)
@location_options
@json_option
def launch(
    locations: Locations,
    job: str,
    args: tuple[str, ...],
    delay: timedelta,
    priority: float,
    retries: int | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Store a launch of JOB, which one of the processes that have this job runs.

    They are the daemons of job files with a job of that name, and the Python programs that take
    launches. If there is none now, the launch waits. Arguments override those of the job, as in
    ojob run. The command prints the identifier of the launch and returns at once; ojob launches
    shows what becomes of it.
    """
    from ojobchannels.ojob import parse_args

    values = parse_args(args)
    whole = int(priority) if priority.is_integer() else priority
    with locations.manager() as manager:
        made = manager.launch(
            job,
            values,
            durable=True,
            delay=delay,
            priority=whole,
            retries=retries,
            idempotency_key=key,
        )
        info = made.info
    if as_json:
        print_json(asdict(info))
        return
    echo(made.launch_id)
    if not (info.takers or info.worker or info.has_ended):
        echo(f"It waits: no process takes launches of {job!r} now.", err=True)
