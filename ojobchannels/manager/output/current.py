"""The run for which the calling code works, and the capture of what that code writes."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Final

from ojobchannels.manager.output.capture import Capture

if TYPE_CHECKING:
    from ojobchannels.manager.output.buffer import OutputBuffer
    from ojobchannels.manager.runs.run import JobRun

_CURRENT: Final[ContextVar[JobRun | None]] = ContextVar("current_run", default=None)


def current_run() -> JobRun | None:
    """Return the run for which the calling code works, or None.

    It is the run of the innermost ``with`` block or job function around the code; in a job of a
    job file, the run that the job started last and that has not ended.
    """
    return _CURRENT.get()


def make_current(run: JobRun | None) -> Token[JobRun | None]:
    """Make `current_run` return `run` from now on, for code without a ``with`` block."""
    return _CURRENT.set(run)


def restore_current(token: Token[JobRun | None]) -> None:
    """Undo a call of `make_current`; in another context there is nothing to undo."""
    try:
        _CURRENT.reset(token)
    except ValueError:
        return  # the end of a fixture may run in another context than its start


def _buffer() -> OutputBuffer | None:
    run = _CURRENT.get()
    return run.output if run is not None and run.open else None


CAPTURE: Final = Capture(_buffer)
"""The capture of this process."""
