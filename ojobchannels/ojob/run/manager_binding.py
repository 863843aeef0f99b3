"""What the jobs of the pack oJobManager.yaml stand on: one manager for a run, and its open runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import same
from ojobchannels.errors import (
    JobMisuse,
    shown,
)
from ojobchannels.manager import JobManager
from ojobchannels.ojob.load.manager_jobs import INIT

if TYPE_CHECKING:
    pass

Config: TypeAlias = Mapping[str, Any] | str | Channel | None
"""Where a channel of the manager is: ``{type, args}``, a URL, an open channel; None is `simple`."""


class ManagerConfig(NamedTuple):
    """Where the channels of a manager are."""

    jobs: Config
    locks: Config


class Managing:
    """The manager of one run of a job file, opened by the first Init.

    Attributes:
        manager: The manager, once it is open.
        given: Where its channels are, in place of what the file says.
        failure: Why it could not be opened as asked; then nothing more may run.
    """

    def __init__(self, given: ManagerConfig) -> None:
        self.manager: JobManager | None = None
        self.failure: Exception | None = None
        self.given = given
        self._asked: ManagerConfig | None = None
        self._lock = threading.Lock()

    def init(self, job: str, asked: ManagerConfig) -> JobManager | None:
        """Opens the manager and returns it, or None if it is open already.

        Raises:
            JobMisuse: It is open, but not as asked.
            ChannelError: It cannot be opened. It stays so: nothing runs unmanaged instead.
        """
        with self._lock:
            if self.failure is not None:
                raise self.failure
            try:
                return self._init(job, asked)
            except Exception as error:
                self.failure = error
                raise

    def _init(self, job: str, asked: ManagerConfig) -> JobManager | None:
        if self._asked is not None:
            if asked != (None, None) and not _same_config(asked, self._asked):
                reason = f"the manager is open with {_told(self._asked)}, not with {_told(asked)}"
                raise JobMisuse(job, reason, f"call {INIT!r} once, before all that needs it")
            return None
        jobs, locks = self.given
        self.manager = JobManager(
            asked.jobs if jobs is None else jobs, asked.locks if locks is None else locks, threads=1
        )
        self._asked = asked
        return self.manager

    def required(self, job: str, what: str) -> JobManager:
        """Returns the manager.

        Raises:
            JobMisuse: It is not open yet.
        """
        if self.manager is None:
            raise JobMisuse(job, f"{what} needs the manager", f"put {INIT!r} before it in the todo")
        return self.manager

    def close(self) -> None:
        """Closes the manager, if it is open."""
        if self.manager is not None:
            self.manager.close()


def _same_config(one: ManagerConfig, other: ManagerConfig) -> bool:
    return all(same(_plain(a), _plain(b)) for a, b in zip(one, other, strict=True))


def _plain(config: Config) -> Any:
    if isinstance(config, Mapping):
        return {"type": "simple", **config, "args": dict(config.get("args") or {})}
    return {"type": "simple", "args": {}} if config is None else config


def _told(config: ManagerConfig) -> str:
    jobs, locks = (
        one.get("type", "simple") if isinstance(one, Mapping) else shown(one or "simple")
        for one in config
    )
    return f"chJobs {jobs} and chLocks {locks}"
