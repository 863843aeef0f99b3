"""Where the channels are: from options, a job file or the environment."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

import click

from ojobchannels.cli.errors import CommandError
from ojobchannels.errors import shown

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel
    from ojobchannels.hookspecs import ChannelType
    from ojobchannels.manager import JobManager

Config: TypeAlias = Mapping[str, Any] | str


class Locations(NamedTuple):
    """The configurations of the channels of run records and of locks; None if not configured."""

    jobs: Config | None
    locks: Config | None

    def manager(self) -> JobManager:
        """Open both channels; neither is created, and what the manager logs is not printed."""
        import logging

        from ojobchannels.manager import JobManager

        logging.getLogger("ojobchannels").addHandler(logging.NullHandler())
        jobs, locks = existing("run records", self.jobs), existing("locks", self.locks)
        return JobManager(jobs, locks)

    def lock_channel(self) -> Channel:
        """Open only the channel of locks."""
        from ojobchannels.channels.opening import open_channel
        from ojobchannels.manager.channels import LOCKS

        return open_channel(LOCKS, existing("locks", self.locks))


_SIMPLE: Final = {"type": "simple"}
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")

file_option = click.option(
    "-f",
    "--file",
    type=click.Path(),
    metavar="FILE",
    help="Use the channels of this job file (environment: OJOB_FILE).",
)
jobs_option = click.option(
    "--jobs",
    metavar="URL",
    help="Channel of run records, such as sqlite:///data/jobs.db (environment: OJOB_JOBS).",
)
locks_option = click.option(
    "--locks",
    metavar="URL",
    help="Channel of locks; by default where the records are (environment: OJOB_LOCKS).",
)


def location_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that locate the channels; the command takes the argument `locations`."""

    @file_option
    @jobs_option
    @locks_option
    @functools.wraps(command)
    def with_locations(
        file: str | None, jobs: str | None, locks: str | None, **others: Any
    ) -> None:
        command(locations=find_locations(file, jobs, locks, os.environ), **others)

    return with_locations


def find_locations(
    file: str | None, jobs: str | None, locks: str | None, environment: Mapping[str, str]
) -> Locations:
    """Return the channels that a command reads.

    The records are located by the first of --jobs, --file, OJOB_JOBS and OJOB_FILE. The locks are
    located by --locks, otherwise by the same source as the records, otherwise by OJOB_LOCKS.
    """
    set_locks = _setting("OJOB_LOCKS", environment)
    found = (
        _from_urls(jobs, None)
        or _from_file(file)
        or _from_urls(_setting("OJOB_JOBS", environment), set_locks)
        or _from_file(environment.get("OJOB_FILE"))
        or Locations(None, None)
    )
    incomplete = file or environment.get("OJOB_FILE")
    if incomplete and found == (None, None) and not locks:
        raise CommandError(
            f"{incomplete} does not configure its channels: pass chJobs and chLocks to oJobManager "
            "Init, or use --jobs URL, such as sqlite:///data/jobs.db"
        )
    return found._replace(locks=locks or found.locks or set_locks or None)


def checked_locations(jobs: str | None, locks: str | None) -> Locations:
    """Return the channels that replace those of a job file; None to use those of the file."""
    locations = Locations(jobs, locks or jobs)
    for config in locations:
        if config:
            described(config)
    return locations


def locations_of_environment(
    locks: str | None, environment: Mapping[str, str]
) -> Callable[[], Locations] | None:
    """Return a function that returns the channels for a job file that configures none.

    None if the environment names no channels. They are not checked before they are needed.
    """
    jobs = _setting("OJOB_JOBS", environment)
    if not jobs:
        return None
    return lambda: checked_locations(jobs, locks or _setting("OJOB_LOCKS", environment))


def _setting(name: str, environment: Mapping[str, str]) -> str | None:
    """Return a variable, or what is in the file that NAME_FILE names, as secrets are mounted."""
    value, file = environment.get(name), environment.get(f"{name}_FILE")
    if value or not file:
        return value
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {file!r}, which {name}_FILE names: {error}") from error


def _from_urls(jobs: str | None, locks: str | None) -> Locations | None:
    return Locations(jobs, locks or jobs) if jobs else None


def _from_file(file: str | None) -> Locations | None:
    """Return the channels that a job file configures, or None if it configures none."""
    if not file:
        return None
    from ojobchannels.ojob import manager_config

    config = manager_config(file)
    if config is None or config == (None, None):
        return None
    return Locations(
        cast("Config", config.jobs or _SIMPLE), cast("Config", config.locks or _SIMPLE)
    )


def existing(what: str, config: Config | None) -> Config:
    """Return the configuration, after a check that the channel exists and is shared.

    Opening a channel creates missing files, and a command that only reads must not do that.
    """
    if config is None:
        raise CommandError(
            f"the location of the {what} is not known: use --file FILE to name the job file, or "
            "--jobs URL (such as sqlite:///data/jobs.db), or set OJOB_FILE or OJOB_JOBS"
        )
    type, options = described(config)
    if "processes" not in type.capabilities:
        raise CommandError(
            f"the {what} cannot be read: a channel of type {type.name!r} exists only in the memory "
            "of the process that opened it; set chJobs and chLocks to a persistent type such as db"
        )
    if type.exists is not None and not type.exists(options):
        file = os.fspath(options["file"])
        raise CommandError(
            f"there is no file {file!r} with {what}: either no job has run yet, or the path is "
            "relative to another folder"
        )
    return config


def described(config: Config) -> tuple[ChannelType, Mapping[str, Any]]:
    """Return the channel type of a configuration, and its options as they are given."""
    from ojobchannels.channels.opening import from_url
    from ojobchannels.plugins import registry

    if isinstance(config, str):
        if not _SCHEME.match(config):
            path = shown(config)[1:-1]
            raise CommandError(f"{path!r} is not a URL: write sqlite:///{path}, or file:{path}")
        return from_url(config)
    return registry().find(config.get("type") or "simple"), config.get("args") or {}
