"""``ojob check``: looks for faults in a job file."""

from __future__ import annotations

import click

from ojobchannels.cli.options import lang_option
from ojobchannels.cli.tables import json_option, print_json
from ojobchannels.errors import JobFileError


@click.command(short_help="Look for faults in a job file, without running it.")
@click.argument("file")
@lang_option
@json_option
@click.pass_context
def check(ctx: click.Context, file: str, lang: str | None, as_json: bool) -> None:
    """Looks for faults in a job file and all that it includes; nothing of it is run.

    Each fault is a line: file, line, column, the path in the document, what is wrong, what to do.

    Exit status: 0 if there is none, 2 if there are some.
    """
    from ojobchannels.ojob import check_file

    try:
        checked = check_file(file, lang=lang)
    except JobFileError as error:
        if not as_json:
            raise
        print_json([diagnostic._asdict() for diagnostic in error.diagnostics])
        ctx.exit(2)
    if as_json:
        print_json([])
    else:
        own = sum(not job.bundled for job in checked.jobs.values())
        click.echo(f"{file}: no faults; {_count(own, 'job')}, {len(checked.todo)} in the todo")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
