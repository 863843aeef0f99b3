"""``ojob rerun``: run the job of a past run again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from ojobchannels.cli.find_run import find_run, run_argument
from ojobchannels.cli.locations import Locations, find_locations, location_options
from ojobchannels.cli.options import reason_option
from ojobchannels.cli.requests import report_taken, wait_option
from ojobchannels.cli.tables import json_option


@click.command(short_help="Run a job again, with the args of a past run.")
@run_argument
@click.argument("args", nargs=-1, metavar="[KEY=VALUE]...")
@wait_option
@reason_option
@click.option(
    "--here",
    metavar="FILE",
    type=click.Path(),
    help="Run it in this process, as a job of this file, instead of asking a daemon.",
)
@location_options
@json_option
@click.pass_context
def rerun(
    ctx: click.Context,
    locations: Locations,
    run: str,
    here: str | None,
    args: tuple[str, ...],
    wait: timedelta,
    reason: str | None,
    as_json: bool,
) -> None:
    """Run the job of a past run again, with the args of that run: by a daemon, or --here.

    JOB is the name of a job, and means its latest run; RUN is the identifier of a run, or its first
    characters. KEY=VALUE changes an arg; secrets are not in the record and must be passed again.
    The command returns when a daemon has taken the request. With --here FILE, it runs the job of
    that file itself, and its exit status is that of ojob run.
    """
    from ojobchannels.ojob import parse_args

    values = parse_args(args)
    if here is not None:
        ctx.exit(_run_here(here, locations, run, values, reason, as_json=as_json))
    with locations.manager() as manager:
        record = find_run(manager, run)
        taken = manager.rerun(record.get("runId", ""), values, reason=reason, wait=wait)
    report_taken(taken, as_json=as_json)


def _run_here(
    file: str,
    locations: Locations,
    run: str,
    changes: Mapping[str, Any],
    reason: str | None,
    *,
    as_json: bool,
) -> int:
    """Run the job of a past run in this process, and return the exit status."""
    from ojobchannels.cli.streams import ignore_write_errors, separate_stdout
    from ojobchannels.manager.actions.rerun import args_of
    from ojobchannels.ojob import Output, run_file
    from ojobchannels.ojob.daemon.again import RunAgain
    from ojobchannels.ojob.report.console import Console, JsonLines

    streams = ignore_write_errors()
    if not locations.jobs:
        found = find_locations(file, None, None, os.environ)
        locations = found._replace(locks=locations.locks or found.locks)
    output = Output(JsonLines(separate_stdout()) if as_json else Console(*streams))
    with locations.manager() as manager:
        record = find_run(manager, run)
        args = args_of(record, changes)
        again = RunAgain(
            record["name"], args, lambda: manager._record_rerun(record, None, reason).origin
        )
        return run_file(file, None, output, *locations, again=again).exit_status
