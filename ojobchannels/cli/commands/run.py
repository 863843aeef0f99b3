"""``ojob run``: runs a job file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from ojobchannels.cli.locations import find_places_of_run, jobs_option, locks_option
from ojobchannels.cli.options import lang_option
from ojobchannels.cli.streams import drop_what_nobody_reads, set_apart_stdout

if TYPE_CHECKING:
    from ojobchannels.ojob import Output
    from ojobchannels.ojob.report.events import Level


@click.command(short_help="Run a job file.", add_help_option=False)
@click.argument("file", required=False, metavar="FILE")
@click.argument("args", nargs=-1, metavar="[KEY=VALUE]...")
@jobs_option
@locks_option
@lang_option
@click.option(
    "--json", "as_json", is_flag=True, help="Tell what happens as a JSON object on each line."
)
@click.option(
    "--help", "tells", is_flag=True, help="Show this message, or what FILE says of itself."
)
@click.pass_context
def run(
    ctx: click.Context,
    file: str | None,
    args: tuple[str, ...],
    jobs: str | None,
    locks: str | None,
    lang: str | None,
    as_json: bool,
    tells: bool,
) -> None:
    """Runs the todo of the job file FILE.

    Arguments win over those that the file gives its jobs. Each value is read as in YAML: limit=5 is
    a number, limit="'5'" a text. With --jobs and --locks, the managed jobs of the file use these
    places instead of those that the file names.

    A file with `daemon: true` runs until SIGTERM or Ctrl-C, waits for the jobs at work, and ends
    with status 0 after SIGTERM. At SIGHUP it reads the file again.

    Exit status: 0 if all went well, also if a job was skipped because it runs elsewhere; 1 if a job
    failed; 2 if the file or the call is wrong; 130 if it was interrupted.
    """
    from ojobchannels.ojob import Output, parse_args, run_file
    from ojobchannels.ojob.report.console import JsonLines

    drop_what_nobody_reads()
    if tells:
        click.echo(ctx.get_help() if file is None else _help_of(file))
        return
    if file is None:
        raise click.MissingParameter(ctx=ctx, param=ctx.command.params[0])
    given = parse_args(args)
    places = find_places_of_run(file, given, jobs, locks, os.environ)
    output = Output(*([JsonLines(set_apart_stdout())] if as_json else []))
    with _telling_the_log(output):
        result = run_file(file, given, output, places.jobs, places.locks, lang=lang)
    if result.unfinished:
        _leave(result.exit_status, result.unfinished)
    ctx.exit(result.exit_status)


def _help_of(file: str) -> str:
    from ojobchannels.ojob import check_file
    from ojobchannels.ojob.load.file_help import described

    help = check_file(file).help
    formatter = click.HelpFormatter()
    formatter.write_usage("ojob run", f"{file} [KEY=VALUE]...")
    if help.text:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(help.text)
    with formatter.section("Arguments"):
        if help.expects:
            formatter.write_dl([(name, described(one)) for name, one in help.expects.items()])
        else:
            formatter.write_text("The file does not say which it expects.")
    return formatter.getvalue().rstrip()


@contextmanager
def _telling_the_log(output: Output) -> Iterator[None]:
    """Has what this package logs told like what jobs say, unless the file sets up logging."""
    import logging

    class Teller(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not logging.root.handlers:
                level: Level = "error" if record.levelno >= logging.ERROR else "warn"
                output.log("ojob", level, self.format(record))

    logger, teller = logging.getLogger("ojobchannels"), Teller(logging.WARNING)
    logger.addHandler(teller)
    try:
        yield
    finally:
        logger.removeHandler(teller)


def _leave(status: int, unfinished: tuple[str, ...]) -> NoReturn:
    """Ends the process although threads still work: who interrupts twice wants that."""
    names = ", ".join(map(repr, dict.fromkeys(unfinished)))
    click.echo(f"ojob: left unfinished: {names}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
