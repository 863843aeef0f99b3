"""``ojob actions``: what operators did, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.options import limit_option
from ojobchannels.cli.tables import Column, Row, show, table_options
from ojobchannels.cli.watching import watchable
from ojobchannels.host.terminal import local_time

if TYPE_CHECKING:
    from ojobchannels.manager.actions.action import Action

_COLOURS: Final = {
    "failed": "red",
    "refused": "red",
    "expired": "yellow",
    "requested": "cyan",
    "taken": "cyan",
}


def _result(row: Row) -> str:
    """Return why it was not done, or how the run has ended that it asked for."""
    details = row["details"]
    return str(details.get("error") or details.get("status") or "")


COLUMNS: Final = (
    Column("time", lambda row: local_time(row["time"])),
    Column("action", lambda row: row["action"]),
    Column("target", lambda row: row["target"], cut=True),
    Column("author", lambda row: row["author"], cut=True),
    Column("state", lambda row: row["state"], colours=_COLOURS),
    Column("reason", lambda row: row["reason"], cut=True),
    Column("result", _result, cut=True),
)


@click.command(short_help="Show what operators did, and why.")
@limit_option("actions", "all that are kept")
@location_options
@table_options
@watchable
def actions(locations: Locations, limit: int, as_json: bool, wide: bool) -> None:
    """Show what operators did on the command line, on the page or in Python, latest first.

    Each action has its author, its reason and its outcome: done, refused, failed if the daemon that
    took it died, or expired if no daemon took it in time.
    """
    with locations.manager() as manager:
        rows = [_row(action) for action in manager.actions(limit or None)]
    show(rows, COLUMNS, as_json=as_json, wide=wide, nothing="No actions are recorded.")


def _row(action: Action) -> dict[str, object]:
    return dict(action.document)
