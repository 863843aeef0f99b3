"""RunRecord: the record of a run, as the queries return it."""

from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeAlias, cast

Status: TypeAlias = Literal[
    "running", "completed", "failed", "skipped", "depsfail", "abandoned", "lost", "cancelled"
]
"""How a run is, or how it has ended."""


class RunRecord(dict[str, Any]):
    """The record of a run: a JSON map that cannot be changed, with an attribute for each field.

    ``record.run_id`` is ``record["runId"]``; an attribute whose field is missing is None. Fields of
    your own are in the map only. `copy` returns a dict that can be changed. Times are milliseconds
    since 1970, durations milliseconds, dates ISO 8601 in UTC.

    Example:
        >>> import ojobchannels as oc
        >>> with oc.JobManager() as manager:
        ...     with manager.run("daily-report", args={"day": "monday"}) as run:
        ...         run.update(rows=12)
        ...     record = manager.runs("daily-report")[0]
        >>> record.status, record.args, record["rows"]
        ('completed', {'day': 'monday'}, 12)
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name of the job."""
        return cast("str", self["name"])

    @property
    def run_id(self) -> str:
        """The unique identifier of the run."""
        return cast("str", self.get("runId"))

    @property
    def status(self) -> Status:
        """How the run ended; ``running`` until then."""
        return cast("Status", self["status"])

    @property
    def start_time(self) -> int:
        """When the run started."""
        return cast("int", self["startTime"])

    @property
    def start_date(self) -> str | None:
        """When the run started, as text."""
        return self.get("startDate")

    @property
    def end_time(self) -> int | None:
        """When the run ended."""
        return self.get("endTime")

    @property
    def end_date(self) -> str | None:
        """When the run ended, as text."""
        return self.get("endDate")

    @property
    def duration(self) -> int | None:
        """How long the run took."""
        return self.get("duration")

    @property
    def in_error(self) -> bool:
        """Whether the run ended as failed, abandoned, lost or cancelled."""
        return bool(self.get("inError"))

    @property
    def error(self) -> str | None:
        """The type and the message of the error."""
        return self.get("error")

    @property
    def traceback(self) -> str | None:
        """The traceback of the error."""
        return self.get("traceback")

    @property
    def reason(self) -> str | None:
        """Why the run did not begin."""
        return self.get("reason")

    @property
    def args(self) -> dict[str, Any]:
        """The arguments, with ``***`` in place of secrets."""
        return cast("dict[str, Any]", self.get("args", {}))

    @property
    def host(self) -> str | None:
        """The host on which it ran."""
        return self.get("host")

    @property
    def pid(self) -> int | None:
        """The process in which it ran."""
        return self.get("pid")

    @property
    def fence(self) -> int | None:
        """The fence of its lease."""
        return self.get("fence")

    @property
    def slot(self) -> int | None:
        """The slot of its lock, if several runs of the job may be active at a time."""
        return self.get("slot")

    @property
    def timeout(self) -> int | None:
        """Its timeout."""
        return self.get("timeout")

    @property
    def fire_time(self) -> int | None:
        """The fire time, if a schedule started it."""
        return self.get("fireTime")

    @property
    def fire_date(self) -> str | None:
        """The fire time as text."""
        return self.get("fireDate")

    @property
    def launched_by(self) -> str | None:
        """The job that launched it at its fire time."""
        return self.get("launchedBy")

    @property
    def launch_number(self) -> int | None:
        """Which launch of its name that was."""
        return self.get("launchNumber")

    @property
    def attempt(self) -> int | None:
        """The number of the attempt, for a job with retries."""
        return self.get("attempt")

    @property
    def retry_in(self) -> int | None:
        """The time from a failure of this attempt to the next one."""
        return self.get("retryIn")

    @property
    def traceparent(self) -> str | None:
        """The trace to which it belongs, as in the header of that name."""
        return self.get("traceparent")

    @property
    def note(self) -> str | None:
        """When its lock was force-released, and by which user."""
        return self.get("note")

    def copy(self) -> dict[str, Any]:
        """Return the fields as a dict that can be changed."""
        return dict(self)

    def __repr__(self) -> str:
        took = "" if self.duration is None else f" {self.duration} ms"
        why = self.error or self.reason
        known = f"{self.name!r} {self.run_id} {self.status} {self.start_date}{took}"
        return f"<RunRecord {known}{f': {why.splitlines()[0]}' if why else ''}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return RunRecord, (dict(self),)

    def _refuse(self) -> NoReturn:
        raise TypeError("a RunRecord cannot be changed; change a copy of it: record.copy()")

    def __setitem__(self, *_: Any) -> NoReturn:
        self._refuse()

    def __delitem__(self, *_: Any) -> NoReturn:
        self._refuse()

    def __ior__(self, _: Any) -> NoReturn:  # type: ignore[misc]  # a dict has more
        self._refuse()

    def clear(self) -> NoReturn:
        """Raise TypeError."""
        self._refuse()

    def pop(self, *_: Any) -> NoReturn:
        """Raise TypeError."""
        self._refuse()

    def popitem(self) -> NoReturn:
        """Raise TypeError."""
        self._refuse()

    def setdefault(self, *_: Any) -> NoReturn:
        """Raise TypeError."""
        self._refuse()

    def update(self, *_: Any, **__: Any) -> NoReturn:
        """Raise TypeError."""
        self._refuse()


def sealed(record: Mapping[str, Any]) -> RunRecord:
    """Return a record that cannot be changed."""
    return record if isinstance(record, RunRecord) else RunRecord(record)
