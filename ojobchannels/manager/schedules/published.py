"""The documents by which daemons publish themselves and their schedules in the state channel.

A daemon has a life sign, its schedules in one document or several, and when jobs without records
began. The channel may contain documents of other versions, or of others; those that are malformed
are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, TypeGuard

from ojobchannels.host.process_identity import has_ended
from ojobchannels.manager.schedules.timetable import Timetable, trigger_of

OVERDUE_AFTER_MS: Final = 60_000
"""A fire time for which no run has begun after this time makes a schedule overdue."""

LONGEST_MS: Final = 200_000_000_000_000
"""The latest time and the longest duration in these documents: dates end with the year 9999."""

DAEMONS: Final = {"daemons": "known"}
"""The key of the list of all daemons."""

SCHEDULES: Final = "schedules"
BEGUN: Final = "begun"


@dataclass(frozen=True, slots=True)
class Published:
    """A schedule as a daemon publishes it. Times are milliseconds.

    Attributes:
        name: The name by which operators know it.
        job: The job of the file.
        run: The name of its runs; None for a job without records.
        claims: The name under which its fire times are claimed; None if they are not.
        launched_by: Its name in those claims, if another schedule has the same runs.
        cron: Its cron expression, or None.
        interval: Its interval; 0 with a cron expression.
        timezone: The name of its time zone, or a rule of POSIX.
        misfire: Which missed fire times are run later.
        jitter: The longest delay of a fire time.
        overdue_after: How long after a fire time it is overdue.
        since: The moment from which its fire times count.
        ended: Whether `stopWhen` has ended it.
    """

    name: str
    job: str
    run: str | None
    claims: str | None
    launched_by: str | None
    cron: str | None
    interval: int
    timezone: str
    misfire: str
    jitter: int
    overdue_after: int
    since: int
    ended: bool

    @property
    def trigger(self) -> str:
        """Its trigger as a text."""
        return self.cron if self.cron is not None else f"every {self.interval / 1000:g} s"

    @property
    def document(self) -> dict[str, Any]:
        """Its document."""
        return {name: getattr(self, name) for name in _FIELDS}

    def timetable(self) -> Timetable | None:
        """Return its fire times; None if this host cannot compute them."""
        trigger = trigger_of(self.cron, self.interval, self.timezone)
        return None if trigger is None else Timetable(trigger, self.name, self.jitter)

    @classmethod
    def of(cls, document: object) -> Published | None:
        """Return the schedule in a document, or None if there is none."""
        if not isinstance(document, dict):
            return None
        values: dict[str, Any] = {name: document.get(name) for name in _FIELDS}
        texts = [values[name] for name in ("name", "job", "timezone", "misfire")]
        optional = [values[name] for name in ("run", "claims", "launched_by", "cron")]
        numbers = [values[name] for name in ("interval", "jitter", "overdue_after", "since")]
        valid = (
            all(isinstance(text, str) for text in texts)
            and all(text is None or isinstance(text, str) for text in optional)
            and all(is_time(number) for number in numbers)
            and isinstance(values["ended"], bool)
        )
        return cls(**values) if valid else None


_FIELDS: Final = tuple(field.name for field in fields(Published))


@dataclass(frozen=True, slots=True)
class DaemonInfo:
    """A daemon that has published itself. Times are milliseconds since 1970.

    Attributes:
        id: Its identifier.
        host: Its host.
        pid: Its process id.
        version: Its version of ojobchannels.
        file: Its job file.
        file_hash: A hash of that file and all that it includes.
        started: When it was started.
        seen: When it has last given a sign of life, by its clock.
        stopped: When it was stopped in order; None if it was not.
        alive: Whether it is alive now, as the locks of the state channel show: a daemon that is
            killed, stopped by a signal or cut off loses its lock there within ten seconds. On its
            own host, a daemon whose process has ended is not alive from that moment on.
        process: The identity of its process, by which its host knows that it has ended.
    """

    id: str
    host: str
    pid: int
    version: str
    file: str
    file_hash: str
    started: int
    seen: int
    stopped: int | None
    alive: bool
    process: str = ""

    @property
    def key(self) -> dict[str, str]:
        """The key of its life sign."""
        return {"daemon": self.id}

    @property
    def document(self) -> dict[str, Any]:
        """The document of its life sign."""
        return {name: value for name, value in asdict(self).items() if name != "alive"}

    @classmethod
    def of(cls, document: object, locked: Mapping[str, object]) -> DaemonInfo | None:
        """Return the daemon in a document, or None if there is none.

        Args:
            document: The document.
            locked: The locks of the state channel that are held, by name.
        """
        if not isinstance(document, dict):
            return None
        texts = [document.get(name) for name in ("id", "host", "version", "file", "file_hash")]
        numbers = [document.get(name) for name in ("pid", "started", "seen")]
        stopped = document.get("stopped")
        if not all(isinstance(text, str) for text in texts) or not all(map(is_time, numbers)):
            return None
        if stopped is not None and not is_time(stopped):
            return None
        known: dict[str, Any] = {field.name: document.get(field.name) for field in fields(cls)}
        process = known["process"] if isinstance(known["process"], str) else ""
        alive = stopped is None and lock_name(document["id"]) in locked and not has_ended(process)
        return cls(**{**known, "process": process, "alive": alive})


def lock_name(daemon: str) -> str:
    """Return the name of the lock that a daemon holds in the state channel while it is alive."""
    return f"daemon {daemon}"


def part_key(daemon: str, part: str) -> dict[str, str]:
    """Return the key of a further document of a daemon."""
    return {"daemon": daemon, "part": part}


def is_time(value: object) -> TypeGuard[int]:
    """Return whether a value is a time or a duration in milliseconds, with which dates exist."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LONGEST_MS
