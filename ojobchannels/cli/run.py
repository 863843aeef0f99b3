"""``ojob run``: runs a job file."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from ojobchannels.cli.places import find_places_of_run, jobs_option, locks_option


@click.command(short_help="Run a job file.")
@click.argument("file")
@click.argument("args", nargs=-1, metavar="[KEY=VALUE]...")
@jobs_option
@locks_option
@click.pass_context
def run(
    ctx: click.Context, file: str, args: tuple[str, ...], jobs: str | None, locks: str | None
) -> None:
    """Runs the todo of the job file FILE.

    Arguments win over those that the file gives its jobs. Each value is read as in YAML: limit=5 is
    a number, limit="'5'" a text. With --jobs and --locks, the managed jobs of the file use these
    places instead of those that the file names.

    Exit status: 0 if all went well, also if a job was skipped because it runs elsewhere; 1 if a job
    failed; 2 if the file or the call is wrong; 130 if it was interrupted.
    """
    from ojobchannels.ojob import parse_args, run_file

    given = parse_args(args)
    places = find_places_of_run(file, given, jobs, locks, os.environ)
    result = run_file(file, args=given, jobs=places.jobs, locks=places.locks)
    if result.unfinished:
        _leave(result.exit_status, result.unfinished)
    ctx.exit(result.exit_status)


def _leave(status: int, unfinished: tuple[str, ...]) -> NoReturn:
    """Ends the process although threads still work: who interrupts twice wants that."""
    click.echo(f"ojob: left unfinished: {', '.join(unfinished)}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
