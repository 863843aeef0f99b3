"""``ojob cancel``: end a run, on whichever host it is."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from ojobchannels.cli.find_run import find_run, find_running, run_argument
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.options import as_duration, reason_option
from ojobchannels.cli.runs import outcome
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager

_POLL_SECONDS: Final = 0.2


@click.command(short_help="Cancel a run.")
@run_argument
@reason_option
@click.option(
    "--wait",
    default="10s",
    callback=as_duration,
    metavar="TIME",
    help="Wait for the end of the run, at most for TIME (default: 10s).",
)
@location_options
@json_option
@click.pass_context
def cancel(
    ctx: click.Context,
    locations: Locations,
    run: str,
    reason: str | None,
    wait: timedelta,
    as_json: bool,
) -> None:
    """Cancel a run, on whichever host it is.

    JOB is the name of a job, and means its active run; RUN is the identifier of a run, or its first
    characters. The process of the run is notified within about a second. Code in a child process
    is ended a second later, with all that it has started; Python code is interrupted where it next
    calls a helper such as log, or `run.check()`.

    Exit status: 0 if the run ends in time; 1 if it is still running after TIME; 2 if it had ended
    before.
    """
    with locations.manager() as manager:
        record = find_running(manager, run) or find_run(manager, run)
        manager.cancel(record["runId"], reason=reason)
        record = _ended(manager, record, wait.total_seconds())
    running = record["status"] == "running"
    if as_json:
        print_json(record)
    elif running:
        echo(f"Run {record['runId']} of job {record['name']!r} was asked to end, but is running.")
        echo("Its code has not reacted yet; `ojob unlock` is for a holder that is dead.", err=True)
    else:
        echo(f"Run {record['runId']} of job {record['name']!r} {outcome(record)}.")
    ctx.exit(int(running))


def _ended(manager: JobManager, record: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Wait for the end of a run, and return its record."""
    deadline = time.monotonic() + seconds
    while True:
        manager._before_start()
        record = manager.record(record["runId"]) or record
        if record["status"] != "running" or time.monotonic() >= deadline:
            return record
        time.sleep(_POLL_SECONDS)
