"""One result of a check."""

from typing import Literal, NamedTuple, TypeAlias

from ojobchannels.hookspecs import Finding

Level: TypeAlias = Literal["ok", "note", "problem"]


class Check(NamedTuple):
    """The result of one check.

    Attributes:
        level: ``problem`` if an operator should act, ``note`` for information, else ``ok``.
        subject: What was checked.
        text: What was found.
        advice: What to do; empty if nothing.
    """

    level: Level
    subject: str
    text: str
    advice: str = ""

    @classmethod
    def of(cls, subject: str, finding: Finding) -> "Check":
        """Return the check for what a backend has found."""
        level: Level = "problem" if finding.is_problem else "note"
        return cls(level, subject, finding.text, finding.advice)


def problem(subject: str, text: str, advice: str) -> Check:
    """Return a check that has found something to act on."""
    return Check("problem", subject, text, advice)
