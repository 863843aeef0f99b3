"""``ojob show``: all that is known of one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from ojobchannels.cli.commands.reading.logs import as_document, print_lines
from ojobchannels.cli.find_run import find_run, run_argument
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.runs import process, took
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json
from ojobchannels.host.terminal import local_time

if TYPE_CHECKING:
    from ojobchannels.manager.output import RunOutput

_LINES: Final = 20
_SHOWN_OTHERWISE: Final = frozenset(
    "name runId status startTime startDate endTime endDate duration host pid fence fireTime "
    "fireDate timeout traceback locksId inError args".split()
)


@click.command(short_help="Show all that is known of a run.")
@run_argument
@location_options
@json_option
def show(locations: Locations, run: str, as_json: bool) -> None:
    """Show the record of a run: times, args, error, traceback, and the end of its output.

    JOB is the name of a job, and means its latest run; RUN is the identifier of a run, or its first
    characters.
    """
    with locations.manager() as manager:
        record = find_run(manager, run)
        output = manager.output(record.get("runId", ""))
    if as_json:
        lines = None if output is None else [as_document(*line) for line in output.numbered()]
        print_json({**record, "output": lines})
        return
    facts = dict(_facts(record))
    width = max(map(len, facts))
    for name, value in facts.items():
        echo(f"{name:<{width}}  {value}")
    if traceback := record.get("traceback"):
        echo(f"\n{str(traceback).rstrip()}")
    if output is not None and output.total:
        _show_output(output, record["runId"][:8])


def _facts(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "job", record["name"]
    yield "run", str(record.get("runId", "-"))
    yield "status", record["status"]
    for name, field in (("started", "startTime"), ("ended", "endTime"), ("fire time", "fireTime")):
        if isinstance(record.get(field), int):
            yield name, local_time(record[field])
    if duration := took(record):
        yield "took", duration
    yield "where", process(record)
    if isinstance(record.get("timeout"), int):
        yield "timeout", f"{record['timeout'] / 1000:g} s"
    yield "args", _text(record.get("args", {}))
    for field, value in record.items():
        if field not in _SHOWN_OTHERWISE:
            yield field, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _show_output(output: RunOutput, run: str) -> None:
    kept = len(output.last or output.first)
    lines = list(output.numbered())[-min(kept, _LINES) :]
    all = len(lines) == output.total
    which = "" if all else f", the last {len(lines)} of {output.total} lines"
    echo(f"\nOutput{which}:")
    print_lines(lines, None, as_json=False)
    if which:
        echo(f"`ojob logs {run}` shows all that is kept.", err=True)
