"""The run for which the calling code works."""

from __future__ import annotations

from ojobchannels.manager.run import CURRENT, JobRun


def current_run() -> JobRun | None:
    """Return the run for which the calling code works, or None.

    It is the run of the innermost ``with`` block or job function around the code; in a job of a
    job file, the run that the job started last and that has not ended.
    """
    return CURRENT.get()


def make_current(run: JobRun | None) -> None:
    """Make `current_run` return `run` from now on, for code without a ``with`` block."""
    CURRENT.set(run)
