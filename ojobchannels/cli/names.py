"""Names that a shell completes: those of jobs, of schedules and of held locks."""

import os
from collections.abc import Callable, Iterable

import click

from ojobchannels.cli.errors import CommandError
from ojobchannels.cli.locations import Locations, find_locations
from ojobchannels.errors import ChannelError

_RECENT = 500


def complete_job(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of jobs of which there are recent runs."""
    return _starting(incomplete, ctx, _jobs)


def complete_schedule(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the schedules that daemons have published."""
    return _starting(incomplete, ctx, _schedules)


def complete_lock(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the locks that are held."""
    return _starting(incomplete, ctx, _locks)


def _starting(
    incomplete: str, ctx: click.Context, find: Callable[[Locations], Iterable[str]]
) -> list[str]:
    file, jobs, locks = (ctx.params.get(option) for option in ("file", "jobs", "locks"))
    try:
        names = set(find(find_locations(file, jobs, locks, os.environ)))
    except (ChannelError, CommandError):  # a shell shows nothing then
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def _jobs(locations: Locations) -> list[str]:
    with locations.manager() as manager:
        return [record["name"] for record in manager.runs(limit=_RECENT)]


def _schedules(locations: Locations) -> list[str]:
    with locations.manager() as manager:
        return [schedule.name for schedule in manager.schedules()]


def _locks(locations: Locations) -> list[str]:
    with locations.lock_channel() as channel:
        return list(dict.fromkeys(lock.name for lock in channel.locks()))
