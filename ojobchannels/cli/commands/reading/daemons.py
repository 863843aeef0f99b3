"""``ojob daemons``: which daemons are alive, where, since when, with which file."""

from __future__ import annotations

from typing import Final

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.runs import process
from ojobchannels.cli.tables import Column, Row, show, table_options
from ojobchannels.cli.times import relative
from ojobchannels.cli.watching import watchable
from ojobchannels.host.clock import now_ms

_COLOURS: Final = {"alive": "green", "gone": "red"}


def _state(row: Row) -> str:
    if row["alive"]:
        return "alive"
    return "gone" if row["stopped"] is None else "stopped"


COLUMNS: Final = (
    Column("daemon", process, cut=True),
    Column("state", _state, colours=_COLOURS),
    Column("seen", lambda row: relative(row["seen"], now_ms())),
    Column("started", lambda row: relative(row["started"], now_ms())),
    Column("file", lambda row: row["file"], cut=True),
    Column("hash", lambda row: row["file_hash"][:8], optional=True),
    Column("version", lambda row: row["version"]),
)


@click.command(short_help="Show the daemons, and whether they are alive.")
@location_options
@table_options
@watchable
def daemons(locations: Locations, as_json: bool, wide: bool) -> None:
    """Show the daemons that share these channels: whether they are alive, where, and since when.

    A daemon that was killed or hangs is shown as gone, after ten seconds at most; one that was
    stopped by a signal or by Ctrl-C is shown as stopped.
    """
    from dataclasses import asdict

    with locations.manager() as manager:
        rows = [asdict(daemon) for daemon in manager.daemons()]
    show(rows, COLUMNS, as_json=as_json, wide=wide, nothing="No daemon is known.")
