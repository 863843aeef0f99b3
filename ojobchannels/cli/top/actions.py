"""What the keys of ``ojob top`` do with the selected row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ojobchannels.cli.runs import process
from ojobchannels.cli.times import parse_future
from ojobchannels.cli.top.board import Line
from ojobchannels.manager import JobManager
from ojobchannels.manager.actions.action import this_author
from ojobchannels.manager.records import Record, slot_of

_REASON: Final = {"reason": "Reason (may be empty)"}


@dataclass(frozen=True, slots=True)
class Act:
    """One action.

    Attributes:
        name: Its name.
        key: The key.
        label: Its label beside the key.
        refusal: Returns why it cannot be done with a row, or None.
        question: Returns what to ask before.
        run: Does it, and returns a message; takes the texts of the fields.
        fields: The labels of the fields of the question, by their names.
    """

    name: str
    key: str
    label: str
    refusal: Callable[[Line], str | None]
    question: Callable[[Line], str]
    run: Callable[[JobManager, Line, Mapping[str, str]], str]
    fields: Mapping[str, str] = field(default_factory=lambda: _REASON)


def _without_schedule(line: Line) -> str | None:
    if line.schedule is None:
        return f"{line.name!r} has no schedule that a daemon has published"
    return None


def _not_paused(line: Line) -> str | None:
    paused = line.schedule is not None and line.schedule.paused is not None
    return None if paused else f"{line.name!r} is not paused"


def _not_running(line: Line) -> str | None:
    running = line.record is not None and line.record["status"] == "running"
    return None if running else f"{line.name!r} is not running"


def _never_ran(line: Line) -> str | None:
    return f"no run of {line.name!r} is recorded" if line.record is None else None


def _now(manager: JobManager, line: Line, reply: Mapping[str, str]) -> str:
    taken = manager.run_now(line.name, reason=reply["reason"])
    return f"a daemon has taken {line.name!r} (state: {taken.state})"


def _pause(manager: JobManager, line: Line, reply: Mapping[str, str]) -> str:
    until = reply.get("until")
    end = parse_future(until, datetime.now(UTC)) if until else None
    manager.pause(line.name, reason=reply["reason"], until=end)
    return f"paused {line.name!r}"


def _resume(manager: JobManager, line: Line, reply: Mapping[str, str]) -> str:
    manager.resume(line.name, reason=reply["reason"])
    return f"resumed {line.name!r}"


def _cancel(manager: JobManager, line: Line, reply: Mapping[str, str]) -> str:
    action = manager.cancel(_record(line)["runId"], reason=reply["reason"])
    return f"asked the run of {line.name!r} to end (state: {action.state})"


def _unlock(manager: JobManager, line: Line, reply: Mapping[str, str]) -> str:
    reason = reply["reason"]
    note = f"unlocked by {this_author()} with ojob top{reason and f': {reason}'}"
    record = _record(line)
    (name, slot), fence = slot_of(record), record.get("fence")
    released = manager.force_unlock(name, note, fence, slot, reason=reason)
    return f"released lock {name!r}" if released else f"lock {name!r} was free already"


def _record(line: Line) -> Record:
    return {} if line.record is None else line.record  # a refusal comes before


ACTIONS: Final = {
    act.name: act
    for act in (
        Act(
            "now",
            "n",
            "Run now",
            _without_schedule,
            lambda line: f"Have a daemon run {line.name!r} now?",
            _now,
        ),
        Act(
            "pause",
            "p",
            "Pause",
            _without_schedule,
            lambda line: f"Pause {line.name!r} on all hosts?",
            _pause,
            {**_REASON, "until": "Until (2h, 2026-03-31T18:00; empty: until resumed)"},
        ),
        Act(
            "resume",
            "r",
            "Resume",
            _not_paused,
            lambda line: f"Resume {line.name!r} on all hosts?",
            _resume,
        ),
        Act(
            "cancel",
            "c",
            "Cancel run",
            _not_running,
            lambda line: f"Cancel the run of {line.name!r} at {process(_record(line))}?",
            _cancel,
        ),
        Act(
            "unlock",
            "u",
            "Unlock",
            _not_running,
            lambda line: (
                f"Force-release lock {_record(line)['name']!r}, held by {process(_record(line))}? "
                "If that run is active, a second one can start."
            ),
            _unlock,
        ),
    )
}
