"""``ojob check``: check a job file."""

import click

from ojobchannels.cli.options import lang_option
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json
from ojobchannels.errors import JobFileError


@click.command(short_help="Check a job file without running it.")
@click.argument("file", type=click.Path())
@lang_option
@json_option
@click.pass_context
def check(ctx: click.Context, file: str, lang: str | None, as_json: bool) -> None:
    """Check a job file and all files that it includes, without running any job.

    Each error is printed on a line of its own: file, line, column, path in the document, what is
    wrong and how to fix it.

    Exit status: 0 if the file is valid, 2 if it is not.
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
        echo(f"{file}: no errors (jobs: {own}, todo entries: {len(checked.todo)})")
