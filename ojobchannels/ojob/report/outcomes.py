"""What became of the jobs of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, TypeAlias

import pluggy

from ojobchannels.errors import ChannelError
from ojobchannels.ojob.yaml.source import BUNDLED

Status: TypeAlias = Literal["completed", "failed", "skipped", "depsfail"]

_HERE: Final = Path(__file__).parent.parent
_HOOKS: Final = str(Path(pluggy.__file__).parent)


@dataclass(frozen=True)
class Outcome:
    """What became of one call of a job.

    Attributes:
        job: The job.
        status: ``completed``, ``failed``, ``skipped``, or ``depsfail`` for one that did not run
            because of what it waits for.
        reason: Why it did not run or did not complete.
        error: What was raised, for a failed one.
        seconds: How long it took.
        launched: Whether it was launched by another job, rather than called by the todo.
        run_names: The managed runs that it started, by the names of their locks.
        run_ids: The same, by what identifies their records.
    """

    job: str
    status: Status
    reason: str | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    launched: bool = False
    run_names: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """What became of a job file.

    Attributes:
        exit_status: 0 if all went well, 1 if a job failed, 130 if the run was interrupted.
        outcomes: What became of the todo and of launched jobs, in the order of their ends.
        unfinished: Launched jobs that still work, on threads that keep the process from ending;
            only after a second interrupt.
    """

    exit_status: int
    outcomes: tuple[Outcome, ...]
    unfinished: tuple[str, ...] = ()


def describe(error: BaseException) -> str:
    """Returns an error in a line, and its notes."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return "\n".join([text, *getattr(error, "__notes__", ())])


def without_our_frames(error: BaseException) -> BaseException:
    """Takes out of an error's traceback how this package came to call the code of a job file.

    Of an error that this package raised on purpose, where in it that was is taken out too.
    """
    ours = (str(_HERE.parent), _HOOKS) if isinstance(error, ChannelError) else (str(_HERE),)
    frames: TracebackType | None = None
    for at in reversed(list(_frames(error.__traceback__))):
        file = at.tb_frame.f_code.co_filename
        if not file.startswith((*ours, BUNDLED)):
            frames = TracebackType(frames, at.tb_frame, at.tb_lasti, at.tb_lineno)
    return error.with_traceback(frames)


def _frames(at: TracebackType | None) -> Iterable[TracebackType]:
    while at is not None:
        yield at
        at = at.tb_next
