"""``ojob logs``: what a run has logged and printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from ojobchannels.cli.find_run import find_run, run_argument
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.runs import outcome
from ojobchannels.cli.streams import echo
from ojobchannels.host.terminal import local_time

if TYPE_CHECKING:
    from ojobchannels.manager.output import OutputLine, RunOutput

PREFIX: Final = {"warn": "warning: ", "error": "error: "}


@click.command(short_help="Show what a run has logged and printed.")
@run_argument
@click.option("--follow", is_flag=True, help="Show lines as they are written, until the run ends.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Show only the last N lines.")
@location_options
@click.option("--json", "as_json", is_flag=True, help="Print each line as a line of JSON.")
def logs(locations: Locations, run: str, follow: bool, last: int | None, as_json: bool) -> None:
    """Show what a run has logged and printed, as far as it is kept.

    JOB is the name of a job, and means its latest run; RUN is the identifier of a run, or its first
    characters. The first and the last part of the output are kept; where lines are missing between
    them, a line says how many. How much is kept is configured in the job file.
    """
    with locations.manager() as manager:
        record = find_run(manager, run)
        output = manager.output(record.get("runId", ""))
        seen = 0
        if output is not None:
            seen = print_lines(latest(output, last), 0 if last is None else None, as_json)
        if follow:
            from ojobchannels.manager.output.follow import follow as followed

            lines = followed(manager, record["runId"], time.sleep, seen)
            seen = print_lines(lines, seen, as_json)
            record = manager.record(record["runId"]) or record
            echo(f"The run {outcome(record)}.", err=True)
        elif output is None:
            echo(f"Nothing is kept of run {record['runId']} of job {record['name']!r}.", err=True)


def latest(output: RunOutput, last: int | None) -> list[tuple[int, OutputLine]]:
    """Return the numbered lines, or the last ones of them."""
    lines = list(output.numbered())
    return lines if last is None else lines[-last:]


def print_lines(lines: Iterable[tuple[int, OutputLine]], after: int | None, as_json: bool) -> int:
    """Print lines, and between them how many are missing.

    Args:
        lines: The lines, with their numbers.
        after: The number of the line before them; None if it does not matter.
        as_json: Whether to print each as JSON.

    Returns:
        The number of the last line.
    """
    seen = after
    for number, line in lines:
        if seen is not None and number > seen + 1 and not as_json:
            echo(f"... {number - seen - 1} lines are not kept ...")
        seen = number
        echo(json.dumps(as_document(number, line)) if as_json else text_of(line))
    return seen or 0


def text_of(line: OutputLine) -> str:
    """Return a line as people read it."""
    return f"{local_time(line.time)} | {PREFIX.get(line.level, '')}{line.text}"


def as_document(number: int, line: OutputLine) -> dict[str, Any]:
    """Return a line for programs."""
    return {"number": number, **line._asdict()}
