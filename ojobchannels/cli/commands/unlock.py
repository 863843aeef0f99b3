"""``ojob unlock``: puts out the holder of a lock."""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING

import click

from ojobchannels.cli.errors import Refused
from ojobchannels.cli.locations import Places, place_options
from ojobchannels.cli.streams import read_answer
from ojobchannels.cli.tables import json_option, print_json, printable
from ojobchannels.cli.times import local
from ojobchannels.errors import describe_holder

if TYPE_CHECKING:
    from ojobchannels.hookspecs import LockInfo


@click.command(short_help="Free a lock whose holder is known to be gone.")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@place_options
@json_option
@click.pass_context
def unlock(ctx: click.Context, places: Places, name: str, yes: bool, as_json: bool) -> None:
    """Frees the lock NAME, whoever holds it, and leaves a note in the record of that run.

    A holder that still works learns of it when it renews its lease, or at its end; until then two
    may run at once. So the command shows the holder and asks first. If another one holds the lock
    by the time of the answer, that one is left alone.

    Exit status: 0 if the lock is free now, also if it was before; 1 if the answer was no, or if the
    lock has gone to another holder.
    """
    with places.manager() as manager:
        held = manager.locks.lock_info(name)
        if held is not None and not yes:
            _ask(ctx, held)
        by = f"unlocked by {_user()} on {socket.gethostname()} with ojob unlock"
        fence = None if held is None or yes else held.fence
        put_out = manager.force_unlock(name, note=by, fence=fence) if held is not None else None
        now = None if put_out else manager.locks.lock_info(name)
        others = [] if put_out else [lock.name for lock in manager.locks.locks()]
    if as_json:
        print_json(put_out and put_out._asdict())
    elif put_out is not None:
        click.echo(f"Unlocked {name!r}, held by {_told(put_out)}.")
    elif now is None:
        click.echo(f"Lock {name!r} is free: nothing to unlock.")
        if others:
            click.echo(f"Held are: {printable(', '.join(sorted(others)))}", err=True)
    if now is not None:
        click.echo(f"Left as it is: lock {name!r} is held by another now, {_told(now)}.", err=True)
        ctx.exit(1)


def _ask(ctx: click.Context, held: LockInfo) -> None:
    click.echo(f"Lock {held.name!r} is held by {_told(held)}.", err=True)
    click.echo("If that run still works, another may now start beside it.", err=True)
    click.echo("Unlock it? [y/N] ", err=True, nl=False)
    answer = read_answer()
    if not answer:
        raise Refused("nobody answered; give --yes where nobody can")
    if answer.strip().lower() not in ("y", "yes"):
        click.echo("Left as it is.", err=True)
        ctx.exit(1)


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container may run as a user without a name
        return f"user id {os.getuid()}"


def _told(held: LockInfo) -> str:
    return f"{printable(describe_holder(held.holder))}, since {local(held.since)}"
