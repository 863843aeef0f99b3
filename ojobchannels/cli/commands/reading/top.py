"""``ojob top``: a live view of jobs and schedules, with keys that act."""

import sys

import click

from ojobchannels.cli.errors import CommandError
from ojobchannels.cli.locations import Locations, location_options


@click.command(short_help="Show jobs and schedules live, and act on them.")
@location_options
@click.pass_context
def top(ctx: click.Context, locations: Locations) -> None:
    """Show jobs and schedules live in a terminal: overdue, failed, running, next.

    The arrow keys select a job. The keys that act on it are shown in the last line; each asks for
    confirmation. q quits. It needs the extra `top`: pip install 'ojobchannels[top]'.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("top needs a terminal; in a pipe use ojob jobs --watch")
    try:
        from ojobchannels.cli.top.app import Top
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(("textual", "rich")):
            raise
        advice = "pip install 'ojobchannels[top]'"
        raise CommandError(f"top needs the package textual; install it: {advice}") from error
    with locations.manager() as manager:
        ctx.exit(Top(manager).run() or 0)
