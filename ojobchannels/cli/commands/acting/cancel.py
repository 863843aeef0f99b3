"""``ojob cancel``: end a run, on whichever host it is."""

from __future__ import annotations

import string
import time
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from ojobchannels.cli.find_run import find_run, find_running
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.names import complete_job
from ojobchannels.cli.options import as_duration, reason_option
from ojobchannels.cli.runs import outcome
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager

_POLL_SECONDS: Final = 0.2
_IDENTIFIER: Final = 32
"""The length of the identifier of a launch or a run."""


@click.command(short_help="Cancel a run.")
@click.argument("run", metavar="JOB|RUN|LAUNCH", shell_complete=complete_job)
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
    """Cancel a run, on whichever host it is, or a durable launch that waits.

    JOB is the name of a job, and means its active run; RUN is the identifier of a run, or its first
    characters; LAUNCH is the identifier of a launch. The process of the run is notified within
    about a second. Code in a child process is ended a second later, with all that it has started;
    Python code is interrupted where it next calls a helper such as log, or `run.check()`.

    Exit status: 0 if the run ends in time; 1 if it is still running after TIME; 2 if it had ended
    before.
    """
    with locations.manager() as manager:
        if _is_identifier(run) and manager.cancel_launch(run):
            _report_cancelled(manager, run, as_json=as_json)
            return
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


def _is_identifier(text: str) -> bool:
    return len(text) == _IDENTIFIER and not set(text) - set(string.hexdigits)


def _report_cancelled(manager: JobManager, launch_id: str, *, as_json: bool) -> None:
    """Print that a launch was cancelled before it began."""
    info = manager._store.find(launch_id)
    if as_json:
        print_json(asdict(info))
    else:
        echo(f"Launch {launch_id} of job {info.name!r} was cancelled before it began.")


def _ended(manager: JobManager, record: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Wait for the end of a run, and return its record."""
    deadline = time.monotonic() + seconds
    while True:
        manager._before_start()
        record = manager.record(record["runId"]) or record
        if record["status"] != "running" or time.monotonic() >= deadline:
            return record
        time.sleep(_POLL_SECONDS)
