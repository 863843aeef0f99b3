"""``ojob locks``: the held locks and their holders."""

from typing import Final

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.runs import process
from ojobchannels.cli.tables import Column, show, table_options
from ojobchannels.cli.times import relative
from ojobchannels.cli.watching import watchable
from ojobchannels.host.clock import now_ms

COLUMNS: Final = (
    Column("lock", lambda lock: lock["name"], cut=True),
    Column("slot", lambda lock: f"{lock['slot']} of {lock['slots']}" if lock["slots"] > 1 else ""),
    Column("held by", lambda lock: process(lock["holder"]), cut=True),
    Column("since", lambda lock: relative(lock["since"], now_ms())),
    Column("lease expires", lambda lock: relative(lock["until"], now_ms())),
    Column("fence", lambda lock: str(lock["fence"]), right=True, optional=True),
)


@click.command(short_help="Show the locks that are held, and their holders.")
@location_options
@table_options
@watchable
def locks(locations: Locations, as_json: bool, wide: bool) -> None:
    """Show the locks that are held, and their holders. The lock of a job has the job's name.

    A lock with several slots has a row for each slot that is held. A running holder renews its
    lease before it expires; the lock is released when a lease expires.
    """
    with locations.lock_channel() as channel:
        held = [lock._asdict() for lock in channel.locks()]
    show(held, COLUMNS, as_json=as_json, wide=wide, nothing="No locks are held.")
