"""``ojob locks``: who holds which lock."""

from __future__ import annotations

from typing import Final

import click

from ojobchannels.cli.locations import Places, place_options
from ojobchannels.cli.runs import where
from ojobchannels.cli.tables import Column, json_option, show
from ojobchannels.cli.times import relative
from ojobchannels.host.clock import now_ms

COLUMNS: Final = (
    Column("lock", lambda lock: lock["name"]),
    Column("held by", lambda lock: where(lock["holder"])),
    Column("since", lambda lock: relative(lock["since"], now_ms())),
    Column("lease ends", lambda lock: relative(lock["until"], now_ms())),
    Column("fence", lambda lock: str(lock["fence"]), right=True),
)


@click.command(short_help="Show the locks that are held, and by whom.")
@place_options
@json_option
def locks(places: Places, as_json: bool) -> None:
    """Shows the locks that are held; a job's lock has its name.

    A holder that works renews its lease before it ends; a lease that nobody renews frees its lock.
    """
    with places.lock_channel() as channel:
        held = [lock._asdict() for lock in channel.locks()]
    show(held, COLUMNS, as_json=as_json, nothing="No lock is held.")
