"""`SkipJob`, by which a job leaves out its own work."""

from __future__ import annotations


class SkipJob(BaseException):
    """Skip the rest of a job; not an `Exception`, so that the job's own handlers let it pass.

    Attributes:
        reason: Why the job is skipped.
        recorded: Whether a run record of the skip exists already.
    """

    def __init__(self, reason: str, *, recorded: bool = False) -> None:
        self.reason = reason
        self.recorded = recorded
        super().__init__(reason)
