"""``ojob run``: run a job file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ojobchannels.cli.init_process import continue_if_first
from ojobchannels.cli.locations import (
    checked_locations,
    jobs_option,
    locations_of_environment,
    locks_option,
)
from ojobchannels.cli.options import lang_option
from ojobchannels.cli.streams import echo, ignore_write_errors, separate_stdout

if TYPE_CHECKING:
    from ojobchannels.manager.jobs import IfRunning
    from ojobchannels.ojob import Control, Output
    from ojobchannels.ojob.report.events import Level


@click.command(short_help="Run a job file.", add_help_option=False)
@click.argument("file", required=False, metavar="FILE", type=click.Path())
@click.argument("args", nargs=-1, metavar="[KEY=VALUE]...")
@jobs_option
@locks_option
@lang_option
@click.option(
    "--if-running",
    type=click.Choice(["fail", "skip", "wait"]),
    help="What a managed job does if another run holds its lock (default: what the file says).",
)
@click.option(
    "--alive-file",
    metavar="PATH",
    help="Touch this file every second while a daemon works, for liveness probes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
@click.option("--help", "show_help", is_flag=True, help="Show this message, or the help of FILE.")
@click.pass_context
def run(
    ctx: click.Context,
    file: str | None,
    args: tuple[str, ...],
    jobs: str | None,
    locks: str | None,
    lang: str | None,
    if_running: IfRunning | None,
    alive_file: str | None,
    as_json: bool,
    show_help: bool,
) -> None:
    """Run the todo list of the job file FILE.

    Arguments override those in the file. Their values are parsed as YAML: limit=5 is a number,
    limit="'5'" a string. With --jobs and --locks, managed jobs use these channels instead of those
    that the file configures.

    A file with `daemon: true` runs until SIGTERM or Ctrl-C, then waits for running jobs to end. Its
    exit status after SIGTERM is 0. On SIGHUP it reloads the file.

    Exit status: 0 on success, even if a job was skipped; 1 if a job failed, even if only because it
    was running elsewhere; 2 if the file or the command line is wrong; 130 if the run was
    interrupted.
    """
    from ojobchannels.ojob import Output, parse_args, run_file
    from ojobchannels.ojob.report.console import Console, JsonLines

    continue_if_first()
    streams = ignore_write_errors()
    if show_help:
        echo(ctx.get_help() if file is None else _help_of(file))
        return
    if file is None:
        raise click.MissingParameter(ctx=ctx, param=ctx.command.params[0])
    values = parse_args(args)
    channels = checked_locations(jobs, locks)
    fallback = None if jobs else locations_of_environment(locks, os.environ)
    output = Output(JsonLines(separate_stdout()) if as_json else Console(*streams))
    options: dict[str, Any] = {"lang": lang, "fallback": fallback, "if_running": if_running}
    _instrument(os.environ)
    with _log_to(output), _controlled(alive_file) as options["control"]:
        result = run_file(file, values, output, *channels, **options)
    if result.unfinished:
        _leave(result.exit_status, result.unfinished)
    ctx.exit(result.exit_status)


def _instrument(environment: Mapping[str, str]) -> None:
    """Report to OpenTelemetry if it is configured and installed."""
    if any(name.startswith("OTEL_") for name in environment):
        from importlib.util import find_spec

        if find_spec("opentelemetry") is not None:
            from ojobchannels.telemetry import instrument

            instrument()


@contextmanager
def _controlled(alive_file: str | None) -> Iterator[Control | None]:
    """Yield what makes a daemon touch a file, and remove that at its end."""
    if alive_file is None:
        yield None
        return
    from ojobchannels.cli.alive_file import AliveFile

    control = AliveFile(alive_file)
    try:
        yield control
    finally:
        control.remove()


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
            formatter.write_text("The file does not declare its arguments.")
    return formatter.getvalue().rstrip()


@contextmanager
def _log_to(output: Output) -> Iterator[None]:
    """Report warnings that this package logs like those of jobs, unless logging is configured."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            status = getattr(
                record, "status", "abandoned"
            )  # the end of a run is shown as its job's
            if status == "abandoned" and not logging.root.handlers:
                level: Level = "error" if record.levelno >= logging.ERROR else "warn"
                output.log("ojob", level, self.format(record))

    logger, handler = logging.getLogger("ojobchannels"), Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _leave(status: int, unfinished: tuple[str, ...]) -> NoReturn:
    """End the process although threads are still running, as a second interrupt asks for."""
    names = ", ".join(map(repr, dict.fromkeys(unfinished)))
    echo(f"ojob: left unfinished: {names}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
