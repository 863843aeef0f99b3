"""The managed runs that a job call has started, and what of its args goes into their records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ojobchannels.documents import json_or_repr
from ojobchannels.errors import (
    RunNotStarted,
)
from ojobchannels.manager import JobRun, current_run
from ojobchannels.manager.current import make_current

if TYPE_CHECKING:
    pass

_NOT_FOR_THE_RECORD: Final = frozenset({"name", "timeout", "chJobs", "chLocks"})


class Limit(NamedTuple):
    """How long code may run: so many seconds, which are over at `due` on the monotonic clock."""

    due: float
    seconds: float

    @classmethod
    def of(cls, seconds: float) -> Limit:
        """Returns a limit that counts from now."""
        return cls(time.monotonic() + seconds, seconds)


class Runs:
    """The managed runs that one flow has started.

    The latest that is open is the flow's `current_run`; while there is none, its caller's.

    Attributes:
        started: All of them.
        own: How long the flow itself may take, if that has a limit.
    """

    def __init__(self) -> None:
        self.started: list[JobRun] = []
        self.own: Limit | None = None
        self._limits: dict[str, Limit] = {}
        self._of_the_caller: JobRun | None = None

    def __enter__(self) -> Runs:
        self._of_the_caller = current_run()
        return self

    def __exit__(self, *_: object) -> None:
        make_current(self._of_the_caller)

    def add(self, run: JobRun) -> None:
        """Takes up a run that has just been started."""
        self.started.append(run)
        self._limits[run.run_id] = Limit.of(run.timeout)
        make_current(run)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Surrounds what ends some of them."""
        try:
            yield
        finally:
            make_current(next(self.open(), self._of_the_caller))

    def limit(self) -> Limit | None:
        """Returns the limit that is over first: its own, or that of an open run."""
        limits = [self._limits[run.run_id] for run in self.open()]
        return min([*limits, *([self.own] if self.own else [])], default=None)

    def open(self) -> Iterator[JobRun]:
        """Yields those that are open, the latest first."""
        yield from [run for run in reversed(self.started) if run.open]

    def find(self, what: str, name: object) -> JobRun:
        """Returns the latest open run, of a name or of any.

        Raises:
            RunNotStarted: There is none.
        """
        for run in self.open():
            if name in (None, run.name):
                return run
        raise RunNotStarted(what, None if name is None else str(name))


def for_the_record(args: Mapping[str, Any]) -> dict[str, Any]:
    """Returns args as a record keeps them: without the manager's own, objects by their repr."""
    return documents({key: args[key] for key in args if key not in _NOT_FOR_THE_RECORD})


def documents(args: Mapping[str, Any]) -> dict[str, Any]:
    """Returns args as JSON, with the `repr` of what is none."""
    return {str(key): json_or_repr(value) for key, value in args.items()}
