"""``ojob rerun``: run the job of a past run again."""

from __future__ import annotations

from datetime import timedelta

import click

from ojobchannels.cli.find_run import find_run, run_argument
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.options import as_duration, reason_option
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json


@click.command(short_help="Run a job again, with the args of a past run.")
@run_argument
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
def rerun(
    locations: Locations,
    run: str,
    args: tuple[str, ...],
    wait: timedelta,
    reason: str | None,
    as_json: bool,
) -> None:
    """Have a daemon run the job of a past run again, with the args of that run.

    JOB is the name of a job, and means its latest run; RUN is the identifier of a run, or its first
    characters. KEY=VALUE changes an arg; secrets are not in the record and must be passed again.
    The command returns when a daemon has taken the request; without a daemon that has the job, use
    ojob run with its file.
    """
    from ojobchannels.ojob import parse_args

    values = parse_args(args)
    with locations.manager() as manager:
        record = find_run(manager, run)
        taken = manager.rerun(record["runId"], values, reason=reason, wait=wait)
    if as_json:
        print_json(taken.document)
    else:
        echo(f"A daemon has taken {taken.target!r} (state: {taken.state}); see ojob history.")
