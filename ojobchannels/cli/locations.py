"""Where the channels are: options first, then a job file, then the environment."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast
from urllib.parse import urlsplit

import click

from ojobchannels.cli.errors import Refused
from ojobchannels.errors import shown

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel
    from ojobchannels.hookspecs import ChannelType
    from ojobchannels.manager import JobManager

Config: TypeAlias = Mapping[str, Any] | str


class Places(NamedTuple):
    """Where the run records are kept and where the locks are held; None where nothing was said."""

    jobs: Config | None
    locks: Config | None

    def manager(self) -> JobManager:
        """Opens both channels, if they are there to be looked at."""
        from ojobchannels.manager import JobManager

        jobs, locks = _existing("run records", self.jobs), _existing("locks", self.locks)
        return JobManager(jobs, locks)

    def lock_channel(self) -> Channel:
        """Opens the channel of the locks alone."""
        from ojobchannels.channels.opening import open_channel
        from ojobchannels.manager.manager import LOCKS

        return open_channel(LOCKS, _existing("locks", self.locks))


_SIMPLE: Final = {"type": "simple"}

file_option = click.option(
    "-f",
    "--file",
    metavar="FILE",
    help="Look where this job file keeps its records and locks (or OJOB_FILE).",
)
jobs_option = click.option(
    "--jobs",
    metavar="URL",
    help="Where the run records are: sqlite:///data/jobs.db (or OJOB_JOBS).",
)
locks_option = click.option(
    "--locks",
    metavar="URL",
    help="Where the locks are, if elsewhere (or OJOB_LOCKS).",
)


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say where the channels are, and `places` as an argument."""

    @file_option
    @jobs_option
    @locks_option
    @functools.wraps(command)
    def with_places(file: str | None, jobs: str | None, locks: str | None, **others: Any) -> None:
        command(places=find_places(file, jobs, locks, os.environ), **others)

    return with_places


def find_places(
    file: str | None, jobs: str | None, locks: str | None, environment: Mapping[str, str]
) -> Places:
    """Settles where to look.

    The records are where the first of these says: --jobs, --file, OJOB_JOBS, OJOB_FILE. The locks
    are where --locks says, else where that same source puts them, else where OJOB_LOCKS says.
    """
    set_locks = environment.get("OJOB_LOCKS")
    found = (
        _from_urls(jobs, None)
        or _from_file(file)
        or _from_urls(environment.get("OJOB_JOBS"), set_locks)
        or _from_file(environment.get("OJOB_FILE"))
        or Places(None, None)
    )
    silent = file or environment.get("OJOB_FILE")
    if silent and found == (None, None) and not locks:
        raise Refused(
            f"{silent} does not say where its records are: give chJobs and chLocks to oJobManager "
            "Init, or name the place with --jobs URL, such as sqlite:///data/jobs.db"
        )
    return found._replace(locks=locks or found.locks or set_locks or None)


def find_places_of_run(
    file: str,
    args: Mapping[str, Any],
    jobs: str | None,
    locks: str | None,
    environment: Mapping[str, str],
) -> Places:
    """Settles what a run uses instead of what its file says; None to leave it to the file.

    The environment counts only for a file that names no place.
    """
    places = Places(jobs, locks or jobs)
    by_environment = _from_urls(environment.get("OJOB_JOBS"), environment.get("OJOB_LOCKS"))
    if not jobs and by_environment and not _from_file(file, args):
        places = by_environment._replace(locks=locks or by_environment.locks)
    for config in places:
        if config:
            _described(config)
    return places


def _from_urls(jobs: str | None, locks: str | None) -> Places | None:
    return Places(jobs, locks or jobs) if jobs else None


def _from_file(file: str | None, args: Mapping[str, Any] | None = None) -> Places | None:
    """Returns where a job file puts the channels, or None if it does not say."""
    if not file:
        return None
    from ojobchannels.ojob import manager_config

    config = manager_config(file, args)
    if config is None or config == (None, None):
        return None
    return Places(cast("Config", config.jobs or _SIMPLE), cast("Config", config.locks or _SIMPLE))


def _existing(what: str, config: Config | None) -> Config:
    """Returns the configuration of a channel that others use too, and whose file is there.

    Opening a channel makes what is missing; to look must make nothing.
    """
    if config is None:
        raise Refused(
            f"nothing says where the {what} are: name the job file with --file FILE, or the place "
            "with --jobs URL (such as sqlite:///data/jobs.db), or set OJOB_FILE or OJOB_JOBS"
        )
    type, options = _described(config)
    if "processes" not in type.capabilities:
        raise Refused(
            f"the {what} cannot be seen from here: a channel of type {type.name!r} lives and ends "
            "with the process that opened it; give chJobs and chLocks a type that lasts, such as db"
        )
    if type.exists is not None and not type.exists(options):
        file = os.fspath(options["file"])
        raise Refused(
            f"there is no file {file!r} with {what}: either nothing has run yet, or the "
            "path means another place from this folder"
        )
    return config


def _described(config: Config) -> tuple[ChannelType, Mapping[str, Any]]:
    from ojobchannels.plugins import registry

    if isinstance(config, str):
        scheme = urlsplit(config).scheme
        if not scheme:
            path = shown(config)[1:-1]
            raise Refused(f"{path!r} is no URL: write sqlite:///{path}, or file:{path}")
        type = registry().find_scheme(scheme)
        return type, type.parse_url(config) if type.parse_url else {}
    return registry().find(config.get("type") or "simple"), config.get("args") or {}
