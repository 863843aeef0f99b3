"""What a job call has started: managed runs, with their args, and executions of the director."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from ojobchannels.channels.lease import Lease
from ojobchannels.errors import RunNotStarted, safe_str
from ojobchannels.json_values import json_or_repr
from ojobchannels.manager import JobRun, current_run
from ojobchannels.manager.output.current import make_current
from ojobchannels.ojob.load.job_file import START
from ojobchannels.ojob.schema.model import OnTimeout

DIRECTOR_CHANNEL: Final = "oJobDirector"
"""The name of the channel that holds the executions, unless the job file names another one."""

_NOT_RECORDED: Final = frozenset(
    {
        "name",
        "timeout",
        "onTimeout",
        "ifRunning",
        "lockAtLeastFor",
        "maxConcurrent",
        "rateLimit",
        "chJobs",
        "chLocks",
        "init",
    }
)


_innermost: "ContextVar[StartedRuns | None]" = ContextVar(
    "runs of the innermost call", default=None
)


class Limit(NamedTuple):
    """A time limit of `seconds`, which ends at `due` on the monotonic clock.

    Attributes:
        action: What happens then. Without one, code of other languages is ended, as it has nothing
            to lose, and Python continues.
    """

    due: float
    seconds: float
    action: OnTimeout | None

    @classmethod
    def of(cls, seconds: float, action: OnTimeout | None) -> "Limit":
        """Return a limit that starts now."""
        return cls(time.monotonic() + seconds, seconds, action)

    def remaining(self) -> float:
        """Return the seconds until it ends."""
        return max(self.due - time.monotonic(), 0)


class StartedRuns:
    """The managed runs that one job call has started.

    The latest open run is the call's `current_run`; without one, that of its caller is.

    Attributes:
        started: All of them.
        own_limit: The time limit of the call itself, if it has one.
    """

    def __init__(self) -> None:
        self.started: list[JobRun] = []
        self.own_limit: Limit | None = None
        self._limits: dict[str, Limit] = {}
        self._callers_run: JobRun | None = None
        self._caller: StartedRuns | None = None

    def __enter__(self) -> "StartedRuns":
        self._callers_run = current_run()
        self._caller = _innermost.get()
        _innermost.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _innermost.set(self._caller)
        make_current(self._callers_run)

    def open_around(self, name: str) -> int:
        """Return the number of open runs of that name of the calls around, in this thread."""
        runs, thread, number = self._caller, threading.get_ident(), 0
        while runs is not None:
            number += sum(run.name == name and run.lease._thread == thread for run in runs.open())
            runs = runs._caller
        return number

    def add(self, run: JobRun, on_timeout: OnTimeout | None = None) -> None:
        """Add a run that has just started."""
        self.started.append(run)
        self._limits[run.run_id] = Limit.of(run.timeout, on_timeout)
        make_current(run)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Correct the current run after a block that ends some of the runs."""
        try:
            yield
        finally:
            make_current(next(self.open(), self._callers_run))

    def limits(self, *, python: bool) -> list[Limit]:
        """Return the limits that end code, in Python or another language: the earliest first."""
        limits = [self._limits[run.run_id] for run in self.open()]
        own = [self.own_limit] if self.own_limit else []
        ending = ("fail", "kill") if python else ("fail", "kill", None)
        found = [limit for limit in [*limits, *own] if limit.action in ending]
        return sorted(found, key=lambda limit: limit.due)

    def open(self) -> Iterator[JobRun]:
        """Yield the open runs, the latest first."""
        yield from [run for run in reversed(self.started) if run.open]

    def find(self, purpose: str, name: object) -> JobRun:
        """Return the latest open run of a name, or of any name for None.

        Raises:
            RunNotStarted: There is no such run.
        """
        for run in self.open():
            if name in (None, run.name):
                return run
        names = ", ".join(dict.fromkeys(repr(run.name) for run in self.started))
        advice = "it was ended before: end it only once"
        if not names:
            advice = f"this job has started none: put {START!r} under `from`"
        elif name is not None and name not in [run.name for run in self.started]:
            advice = f"pass the name of a run that this job has started: {names}"
        raise RunNotStarted(purpose, None if name is None else str(name), advice)


def record_args(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return args as a run record keeps them: without those of the manager and of the file."""
    kept = ((key, value) for key, value in args.items() if key not in _NOT_RECORDED)
    return {safe_str(key): json_or_repr(value) for key, value in kept}


class Executions:
    """The executions of the pack oJobDirector.yaml that have begun in a run and have not ended.

    Attributes:
        stamp: The fields that mark the director's entries in its channel.
        channel: The name of its channel.
        may_be_alone: Whether to warn if that channel is in the memory of this process.
    """

    def __init__(self) -> None:
        self.stamp: Mapping[str, Any] = {"type": "director"}
        self.channel = DIRECTOR_CHANNEL
        self.may_be_alone = True
        self._leases: dict[tuple[str, str], tuple[Lease, object]] = {}
        self._lock = threading.Lock()

    def begin(self, key: tuple[str, str], lease: Lease, owner: object) -> None:
        """Register the execution of a (job name, job UUID) by the job call `owner`."""
        with self._lock:
            self._leases[key] = lease, owner

    def end(self, key: tuple[str, str]) -> Lease | None:
        """Remove an execution; return its lease, or None if it was not started here."""
        with self._lock:
            return self._leases.pop(key, (None, None))[0]

    def abandon(self, owner: object) -> None:
        """Release the executions that a job call has begun and not ended."""
        with self._lock:
            keys = [key for key, (_, other) in self._leases.items() if other is owner]
            leases = [self._leases.pop(key)[0] for key in keys]
        for lease in leases:
            lease._give_up()
