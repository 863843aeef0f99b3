"""How the jobs of a run ended."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, TypeAlias

import pluggy

from ojobchannels.errors import ChannelError, notes_of, summary
from ojobchannels.ojob.yaml.source import BUNDLED

NotRun: TypeAlias = Literal["skipped", "depsfail"]
Status: TypeAlias = Literal["completed", "failed", "skipped", "depsfail"]

_OJOB: Final = Path(__file__).parent.parent
_HOOKS: Final = str(Path(pluggy.__file__).parent)


@dataclass(frozen=True)
class Outcome:
    """How one call of a job ended.

    Attributes:
        job: The name of the job.
        status: ``completed``, ``failed``, ``skipped``, or ``depsfail`` if it did not run because a
            dependency failed.
        reason: Why it did not run or did not complete.
        error: The exception, if it failed.
        seconds: The duration.
        launched: Whether it was launched by another job, not called by the todo list.
        elsewhere: Whether it was skipped because another process runs it for the same fire time.
        run_names: The names of the managed runs that it started, which are those of their locks.
        run_ids: The identifiers of the same runs, as in their records.
        secrets: Values that are masked wherever the outcome is shown.
    """

    job: str
    status: Status
    reason: str | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    launched: bool = False
    elsewhere: bool = False
    run_names: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True)
class RunResult:
    """How the run of a job file ended.

    Attributes:
        exit_status: 0 for success, 1 if a job failed, 130 if the run was interrupted.
        outcomes: The outcomes of called and launched jobs, in the order of their ends.
        unfinished: Launched jobs that are still running, on threads that keep the process from
            ending; only after a second interrupt, or if their code did not react to its timeout.
    """

    exit_status: int
    outcomes: tuple[Outcome, ...]
    unfinished: tuple[str, ...] = ()


def describe(error: BaseException) -> str:
    """Return the type and the message of an error, followed by its notes."""
    return "\n".join([summary(error), *notes_of(error)])


def without_our_frames(error: BaseException) -> BaseException:
    """Remove from a traceback the frames that lead to the code of the job file.

    For an error of this package, or an interrupt, the frames inside the package are removed too.
    """
    is_ours = isinstance(error, ChannelError | KeyboardInterrupt)
    ours = (str(_OJOB.parent), _HOOKS) if is_ours else (str(_OJOB),)
    frames: TracebackType | None = None
    for at in reversed(list(_frames(error.__traceback__))):
        file = at.tb_frame.f_code.co_filename
        if not file.startswith((*ours, BUNDLED)):
            frames = TracebackType(frames, at.tb_frame, at.tb_lasti, at.tb_lineno)
    return BaseException.with_traceback(error, frames)


def _frames(at: TracebackType | None) -> Iterable[TracebackType]:
    while at is not None:
        yield at
        at = at.tb_next
