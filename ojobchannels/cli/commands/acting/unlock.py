"""``ojob unlock``: force-release a lock."""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING

import click

from ojobchannels.cli.errors import CommandError
from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.names import complete_lock
from ojobchannels.cli.streams import echo, read_line
from ojobchannels.cli.tables import json_option, print_json
from ojobchannels.errors import describe_holder
from ojobchannels.host.terminal import local_time

if TYPE_CHECKING:
    from ojobchannels.hookspecs import LockInfo


@click.command(short_help="Force-release a lock.")
@click.argument("name", shell_complete=complete_lock)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@location_options
@json_option
@click.pass_context
def unlock(ctx: click.Context, locations: Locations, name: str, yes: bool, as_json: bool) -> None:
    """Force-release the lock NAME, and add a note to the record of the run that held it.

    Use this only if the holder is known to be dead. A holder that is still running notices the loss
    only when it renews its lease or ends; until then two runs may be active at once. The command
    therefore shows the holder and asks for confirmation. If the lock has another holder by then, it
    is not released.

    Exit status: 0 if the lock is free now, even if it was free before; 1 if you did not confirm, or
    if the lock has another holder now.
    """
    with locations.manager() as manager:
        held = manager.locks.lock_info(name)
        if held is not None and not yes:
            _confirm(ctx, held)
        note = f"unlocked by {_user()} on {socket.gethostname()} with ojob unlock"
        fence = None if held is None or yes else held.fence
        released = manager.force_unlock(name, note=note, fence=fence) if held is not None else None
        now = None if released else manager.locks.lock_info(name)
        others = [] if released else [lock.name for lock in manager.locks.locks()]
    if as_json:
        print_json(released and released._asdict())
    elif released is not None:
        echo(f"Released lock {name!r}, which was held by {_holder(released)}.")
    elif now is None:
        echo(f"Lock {name!r} is free; there is nothing to release.")
        if others:
            echo(f"Locks that are held: {', '.join(sorted(others))}", err=True)
    if now is not None:
        echo(f"Not released: lock {name!r} is now held by {_holder(now)}.", err=True)
        ctx.exit(1)


def _confirm(ctx: click.Context, held: LockInfo) -> None:
    echo(f"Lock {held.name!r} is held by {_holder(held)}.", err=True)
    echo("If that run is still active, another run can start while it works.", err=True)
    echo("Release it? [y/N] ", err=True, nl=False)
    reply = read_line()
    if not reply:
        raise CommandError("no reply on standard input; use --yes to release without confirmation")
    if reply.strip().lower() not in ("y", "yes"):
        echo("Not released.", err=True)
        ctx.exit(1)


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a user without a name, as in containers
        return f"user id {os.getuid()}"


def _holder(held: LockInfo) -> str:
    return f"{describe_holder(held.holder)}, since {local_time(held.since)}"
