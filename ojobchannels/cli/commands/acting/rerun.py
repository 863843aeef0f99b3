"""``ojob rerun``: run the job of a past run again."""

from __future__ import annotations

from datetime import timedelta

import click

from ojobchannels.cli.find_run import find_run, run_argument
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.options import reason_option
from ojobchannels.cli.requests import report_taken, wait_option
from ojobchannels.cli.tables import json_option


@click.command(short_help="Run a job again, with the args of a past run.")
@run_argument
@click.argument("args", nargs=-1, metavar="[KEY=VALUE]...")
@wait_option
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
    report_taken(taken, as_json=as_json)
