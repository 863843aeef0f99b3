"""Pauses of schedules: documents that every process reads before it runs a fire time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ojobchannels.channels.channel import Channel


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
    return PauseInfo.of(state.get(key_of(name)))


def write(state: Channel, name: str, pause: PauseInfo) -> None:
    """Store a pause of a schedule in place of the last one."""
    document: dict[str, Any] = {
        "paused": name,
        "author": pause.author,
        "reason": pause.reason,
        "since": pause.since,
        "until": pause.until,
    }
    state.set(key_of(name), document)


def end(state: Channel, name: str, now: int) -> PauseInfo | None:
    """End the pause of a schedule now; return it as it was, or None if none is active."""
    while (document := state.get(key_of(name))) is not None:
        pause = PauseInfo.of(document)
        if pause is None or not pause.is_active(now):
            return None
        if state.get_set(document, key_of(name), {**document, "until": now}) is not None:
            return pause
    return None


def key_of(name: str) -> dict[str, str]:
    """Return the key of the pause of a schedule."""
    return {"paused": name}
