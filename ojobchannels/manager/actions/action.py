"""One action of an operator, as it is recorded."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from ojobchannels.channels.acquire import this_host
from ojobchannels.errors import InvalidOption
from ojobchannels.masking import mask_text
from ojobchannels.printable import storable

ActionState: TypeAlias = Literal["requested", "taken", "done", "failed", "refused", "expired"]
"""What became of an action: ``requested`` until a process has ``taken`` it."""

_LONGEST: Final = {"author": 200, "reason": 1000, "target": 4096}


@dataclass(frozen=True, slots=True)
class Action:
    """One action of an operator.

    Attributes:
        number: Its number; later actions have higher ones.
        action: What was asked for, such as ``pause`` or ``now``.
        target: The schedule, job, run or lock that it is about.
        author: Who asked for it.
        time: When, in milliseconds since 1970.
        reason: Why; may be empty.
        state: What became of it: ``requested`` until a process has ``taken`` it, then ``done`` or
            ``refused``; ``failed`` if that process died; ``expired`` if no process took it in time.
        details: What else belongs to it, such as ``until`` or ``args``, and what came of it, such
            as ``run``.
        id: Its identifier; requests may be equal otherwise. Empty if an old version recorded it.
    """

    number: int
    action: str
    target: str
    author: str
    time: int
    reason: str = ""
    state: ActionState = "done"
    details: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""

    @property
    def is_open(self) -> bool:
        """Whether a process is still to do something about it."""
        return self.state in ("requested", "taken")

    @property
    def key(self) -> dict[str, int]:
        """The key under which it is stored."""
        return key_of(self.number)

    @property
    def origin(self) -> dict[str, Any]:
        """What the record of a run has of the action that asked for it."""
        return {"action": self.number, "author": self.author, "reason": self.reason}

    @property
    def document(self) -> dict[str, Any]:
        """The document that is stored."""
        return {
            "number": self.number,
            "action": self.action,
            "target": self.target,
            "author": self.author,
            "time": self.time,
            "reason": self.reason,
            "state": self.state,
            "details": dict(self.details),
            **({"id": self.id} if self.id else {}),
        }

    @classmethod
    def of(cls, document: object) -> Action | None:
        """Return the action in a document, or None if there is none."""
        match document:
            case {
                "number": int(number),
                "action": str(action),
                "target": str(target),
                "author": str(author),
                "time": int(time),
                "reason": str(reason),
                "state": "requested" | "taken" | "done" | "failed" | "refused" | "expired" as state,
                "details": dict(details),
                **others,
            }:
                unique = str(others.get("id", ""))
                return cls(number, action, target, author, time, reason, state, details, unique)
        return None


def key_of(number: int) -> dict[str, int]:
    """Return the key of the action with a number."""
    return {"action": number}


def this_author() -> str:
    """Return the user of this process and its host, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a user without a name, as in containers
        user = f"uid {os.getuid()}"
    return f"{user}@{this_host()}"


def check_texts(target: str, author: str | None, reason: str | None) -> None:
    """Check the texts of an action that is recorded after it has taken effect.

    Raises:
        InvalidOption: One is not a text, or too long.
    """
    checked_text("target", target)
    checked_text("author", author or "")
    checked_text("reason", reason or "")


def checked_text(option: str, text: str) -> str:
    """Return a text of an operator in a form that is safe to store; secrets in it are masked.

    Raises:
        InvalidOption: It is not a text, or too long.
    """
    longest = _LONGEST[option]
    if not isinstance(text, str):
        raise InvalidOption(option, f"{type(text).__name__} is not a text", "pass a string")
    if len(text) > longest:
        reason = f"{len(text)} characters are too many"
        raise InvalidOption(option, reason, f"pass at most {longest}")
    return storable(text if option == "target" else mask_text(text))
