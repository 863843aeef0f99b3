"""``ojob jobs``: what runs, and what ran last, by job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click

from ojobchannels.cli import runs
from ojobchannels.cli.locations import Places, place_options
from ojobchannels.cli.tables import json_option, show

COLUMNS: Final = (
    runs.JOB,
    runs.STATUS,
    runs.AGO,
    runs.TOOK,
    runs.WHERE,
    runs.WHAT,
)


@click.command(short_help="Show what runs, and what ran last, by job.")
@place_options
@json_option
def jobs(places: Places, as_json: bool) -> None:
    """Shows each job once: the run that is on, else the last one.

    Attempts that found their job running elsewhere count only where there was nothing else. A run
    whose lease is over, and that never ended, is told as abandoned; nothing is written.
    """
    with places.manager() as manager:
        latest = one_of_each(manager.runs(limit=None))
    show(latest, COLUMNS, as_json=as_json, nothing="No runs are recorded yet.")


def one_of_each(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Picks, from records in the order latest first, the one that tells most of each job."""
    chosen: dict[str, dict[str, Any]] = {}
    for record in records:
        present = chosen.setdefault(record["name"], record)
        if _weight(record) > _weight(present):
            chosen[record["name"]] = record
    return sorted(chosen.values(), key=lambda record: str(record["name"]))


def _weight(record: dict[str, Any]) -> int:
    if record["status"] == "running":
        return 2
    return 0 if record["status"] in ("skipped", "depsfail") else 1
