"""Pauses of schedules: one document that every process reads before it runs a fire time.

A pause that is over is kept for a while: it explains fire times for which nothing began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.manager.schedules import lists

_KEY: Final = {"schedules": "pauses"}
_KEPT_MS: Final = 30 * 86_400_000
_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class PauseInfo:
    """A pause of a schedule. Times are milliseconds since 1970.

    Attributes:
        author: Who paused it.
        reason: Why; may be empty.
        since: When it was paused.
        until: When it resumes by itself; None if it waits to be resumed. Of a pause that is over,
            when it ended.
    """

    author: str
    reason: str
    since: int
    until: int | None

    def is_active(self, now: int) -> bool:
        """Return whether the schedule is paused at a moment."""
        return self.until is None or now < self.until

    def covers(self, moment: int) -> bool:
        """Return whether it had begun by a moment, and was active then."""
        return self.since <= moment and self.is_active(moment)

    @classmethod
    def of(cls, document: object) -> PauseInfo | None:
        """Return the pause in a document, or None if there is none."""
        match document:
            case {
                "author": str(author),
                "reason": str(reason),
                "since": int(since),
                "until": int() | None as until,
            }:
                return cls(author, reason, since, until)
        return None


def read(state: Channel, name: str) -> PauseInfo | None:
    """Return the last pause of a schedule, which may be over, or None if there was none."""
    return read_all(state).get(name)


def read_all(state: lists.Documents) -> dict[str, PauseInfo]:
    """Return the last pause of each schedule, by name."""
    found = {}
    for entry in lists.read(state, _KEY):
        name, pause = _name(entry), PauseInfo.of(entry)
        if name is not None and pause is not None:
            found[name] = pause
    return found


def write(state: Channel, name: str, pause: PauseInfo) -> None:
    """Store a pause of a schedule in place of the last one."""
    entry = _entry(name, pause)

    def changed(present: list[Any]) -> list[Any]:
        others = [each for each in present if _name(each) not in (None, name)]
        active = [each for each in others if _is_active(each, pause.since)]
        over = [each for each in others if each not in active and _is_kept(each, pause.since)]
        return [*over[-_KEPT:], *active, entry]

    lists.change(state, _KEY, changed)


def end(state: Channel, name: str, now: int) -> PauseInfo | None:
    """End the pause of a schedule now; return it as it was, or None if none is active."""

    def changed(present: list[Any]) -> list[Any]:
        return [
            {**each, "until": now} if _name(each) == name and _is_active(each, now) else each
            for each in present
        ]

    before = lists.change(state, _KEY, changed)
    ended = [each for each in before if _name(each) == name and _is_active(each, now)]
    return PauseInfo.of(ended[0]) if ended else None


def _entry(name: str, pause: PauseInfo) -> dict[str, Any]:
    return {
        "name": name,
        "author": pause.author,
        "reason": pause.reason,
        "since": pause.since,
        "until": pause.until,
    }


def _name(entry: Any) -> str | None:
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else None


def _is_active(entry: Any, now: int) -> bool:
    pause = PauseInfo.of(entry)
    return pause is not None and pause.is_active(now)


def _is_kept(entry: Any, now: int) -> bool:
    pause = PauseInfo.of(entry)
    return pause is not None and (pause.until is None or pause.until > now - _KEPT_MS)
