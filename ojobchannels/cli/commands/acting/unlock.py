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
from ojobchannels.cli.options import reason_option
from ojobchannels.cli.streams import echo, read_line
from ojobchannels.cli.tables import json_option, print_json
from ojobchannels.errors import describe_holder
from ojobchannels.host.terminal import local_time

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel
    from ojobchannels.hookspecs import LockInfo


@click.command(short_help="Force-release a lock.")
@click.argument("name", shell_complete=complete_lock)
@click.option(
    "--slot", type=click.IntRange(1, 1000), metavar="N", help="The slot, of a lock with slots."
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@reason_option
@location_options
@json_option
@click.pass_context
def unlock(
    ctx: click.Context,
    locations: Locations,
    name: str,
    slot: int | None,
    yes: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Force-release the lock NAME, and add a note to the record of the run that held it.

    Use this only if the holder is known to be dead. A holder that is still running notices the loss
    only when it renews its lease or ends; until then two runs may be active at once. The command
    therefore shows the holder and asks for confirmation. If the lock has another holder by then, it
    is not released. If several slots of the lock are held, choose one with --slot.

    Exit status: 0 if the lock is free now, even if it was free before; 1 if you did not confirm, or
    if the lock has another holder now; 2 if it is not clear which slot is meant.
    """
    with locations.manager() as manager:
        held = _find(manager.locks, name, slot)
        if held is not None and not yes:
            _confirm(ctx, held)
        note = f"unlocked by {_user()} on {socket.gethostname()} with ojob unlock"
        note += f": {reason}" if reason else ""
        released = now = None
        if held is not None:
            fence = None if yes else held.fence
            released = manager.force_unlock(
                name, note=note, fence=fence, slot=held.slot, reason=reason
            )
            now = None if released else manager.locks.lock_info(name, slot=held.slot)
        others = [] if released else [lock.name for lock in manager.locks.locks()]
    if as_json:
        print_json(released and released._asdict())
    elif released is not None:
        echo(f"Released {_lock(released)}, which was held by {_holder(released)}.")
    elif now is None:
        which = f"Slot {slot} of lock" if slot else "Lock"
        echo(f"{which} {name!r} is free; there is nothing to release.")
        if others:
            echo(f"Locks that are held: {', '.join(sorted(others))}", err=True)
    if now is not None:
        echo(f"Not released: {_lock(now)} is now held by {_holder(now)}.", err=True)
        ctx.exit(1)


def _find(locks: Channel, name: str, slot: int | None) -> LockInfo | None:
    """Return the lock or the slot to release, or None if it is free."""
    held = locks.lock_info(name, slot=slot or 1)
    if slot is not None or (held is not None and held.slots == 1):
        return held
    slots = [info for info in locks.locks() if info.name == name]
    if len(slots) > 1:
        shown = "; ".join(f"{info.slot} by {_holder(info)}" for info in slots)
        raise CommandError(f"several slots of lock {name!r} are held: {shown}; pass --slot")
    return slots[0] if slots else None


def _lock(info: LockInfo) -> str:
    return f"slot {info.slot} of lock {info.name!r}" if info.slots > 1 else f"lock {info.name!r}"


def _confirm(ctx: click.Context, held: LockInfo) -> None:
    text = _lock(held)
    echo(f"{text[0].upper()}{text[1:]} is held by {_holder(held)}.", err=True)
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
