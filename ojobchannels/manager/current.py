"""Which run the code at hand works for."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ojobchannels.manager.run import JobRun

CURRENT: Final[ContextVar[JobRun | None]] = ContextVar("current_run", default=None)


def current_run() -> JobRun | None:
    """Returns the run that this code works for, or None.

    It is the one whose ``with`` block or job function the code is in; in a job of a job file, the
    one that it started last and that has not ended.
    """
    return CURRENT.get()


def make_current(run: JobRun | None) -> None:
    """Has `current_run` answer `run` from now on, where no ``with`` stands around the code."""
    CURRENT.set(run)
