"""``ojob doctor``: check the installation, the storages, the locks and the daemons."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import click

from ojobchannels.cli.locations import Locations, location_options
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import json_option, print_json, terminal_width
from ojobchannels.host.terminal import has_colours

if TYPE_CHECKING:
    from ojobchannels.cli.doctor.checks import Check

_COLOURS: Final = {"ok": "green", "note": "cyan", "problem": "red"}
_INDENT: Final = 9
_NARROWEST: Final = 20


@click.command(short_help="Check clocks, servers, locks and daemons.")
@location_options
@json_option
@click.pass_context
def doctor(ctx: click.Context, locations: Locations, as_json: bool) -> None:
    """Check what the jobs rely on, and say what to do about each problem.

    It checks the installed plugins, whether the channels can be used, the clock of this host
    against that of the server, settings of the server that can lose data, permissions of files and
    folders, locks whose holder is gone, runs that do not end, daemons, and overdue schedules. It
    takes and releases a lock named 'ojob doctor'.

    Exit status: 0 if there is no problem, even if there are notes; 1 if there is a problem.
    """
    checks = list(_checks(locations))
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        _print(checks)
    if any(check.level == "problem" for check in checks):
        ctx.exit(1)


def _checks(locations: Locations) -> Iterator[Check]:
    from ojobchannels.cli.doctor.daemons import check_daemons
    from ojobchannels.cli.doctor.holders import check_holders
    from ojobchannels.cli.doctor.programs import check_programs
    from ojobchannels.cli.doctor.storage import check_storages

    yield from check_programs()
    storages, usable = check_storages(locations)
    yield from storages
    if usable:
        with locations.manager() as manager:
            yield from check_holders(manager)
            yield from check_daemons(manager)


def _print(checks: Iterable[Check]) -> None:
    """Print a level and a wrapped text for each check."""
    width = terminal_width()
    coloured = has_colours(sys.stdout)
    for check in checks:
        level = f"{check.level:{_INDENT}}"
        lines = _wrapped(f"{check.subject}: {check.text}", width)
        lines += _wrapped(f"-> {check.advice}", width) if check.advice else []
        click.echo(click.style(level, fg=_COLOURS[check.level]) if coloured else level, nl=False)
        echo(f"\n{' ' * _INDENT}".join(lines))


def _wrapped(text: str, width: int | None) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, max(width - _INDENT, _NARROWEST), break_on_hyphens=False)
