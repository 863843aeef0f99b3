"""The daemons that should be alive and give no sign of life."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar


class Daemon(Protocol):
    """A daemon that has published itself. Times are milliseconds since 1970."""

    @property
    def id(self) -> str:
        """Its identifier."""

    @property
    def host(self) -> str:
        """Its host."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def file(self) -> str:
        """Its job file."""

    @property
    def started(self) -> int:
        """When it was started."""

    @property
    def seen(self) -> int:
        """When it has last given a sign of life."""

    @property
    def stopped(self) -> int | None:
        """When it was stopped in order; None if it was not."""

    @property
    def alive(self) -> bool:
        """Whether it is alive now."""


class Schedule(Protocol):
    """A schedule that daemons have published."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def run(self) -> str | None:
        """The name of its runs; None for a job without records."""

    @property
    def daemons(self) -> Iterable[Daemon]:
        """The daemons that have it."""


_Daemon = TypeVar("_Daemon", bound=Daemon)


def gone_daemons(daemons: Iterable[_Daemon]) -> list[_Daemon]:
    """Return those that were not stopped in order, unless another one has replaced them.

    A daemon with the same file that was started after the last sign of life replaces one, on
    whichever host: containers have other names when they are started again.
    """
    known = list(daemons)
    newest: dict[str, int] = {}
    for daemon in known:
        if daemon.alive:
            newest[daemon.file] = max(daemon.started, newest.get(daemon.file, 0))
    return [
        daemon
        for daemon in known
        if not daemon.alive and daemon.stopped is None and newest.get(daemon.file, 0) <= daemon.seen
    ]


def described(daemons: Iterable[Daemon], schedules: Iterable[Schedule]) -> dict[str, Any]:
    """Return what a report needs to know of each daemon that is gone, by its identifier."""
    known = list(daemons)
    jobs: dict[str, list[str]] = {}
    for schedule in schedules:
        for daemon in schedule.daemons:
            jobs.setdefault(daemon.id, []).append(schedule.run or schedule.name)
    alive: dict[str, int] = {}
    for daemon in known:
        alive[daemon.file] = alive.get(daemon.file, 0) + daemon.alive
    return {
        daemon.id: {
            "file": daemon.file,
            "host": daemon.host,
            "pid": daemon.pid,
            "since": daemon.seen,
            "left": alive[daemon.file],
            "jobs": jobs.get(daemon.id, []),
        }
        for daemon in gone_daemons(known)
    }


def is_of(daemons: Iterable[Daemon], process: Mapping[str, Any]) -> bool:
    """Return whether a record or the holder of a lock names the process of one of them."""
    where = process.get("host"), process.get("pid")
    return any((daemon.host, daemon.pid) == where for daemon in daemons)
