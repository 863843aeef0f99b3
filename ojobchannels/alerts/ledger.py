"""The memory of a rule in the state channel, which all processes share.

Each change of it is a compare-and-set, so of all processes that find the same change of a run, one
makes the notices. They are kept in it until they are delivered: the death of a process loses none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from ojobchannels.alerts.evaluation import Evaluation, new_memory
from ojobchannels.alerts.rules import Alert, Notice
from ojobchannels.following.run_changes import RunChanges, Runs
from ojobchannels.following.shared_memory import Memory, SharedMemory
from ojobchannels.host.clock import now_ms

LONGEST_RETRY_MS: Final = 600_000


class Evaluated(NamedTuple):
    """The result of an evaluation.

    Attributes:
        dropped: The number of notices that were dropped, because too many are pending.
        is_behind: Whether more changes may wait.
    """

    dropped: int
    is_behind: bool


class Ledger:
    """Reads and changes the memory of one rule."""

    def __init__(self, rule: Alert, runs: Runs) -> None:
        self._rule = rule
        self._changes = RunChanges(runs)
        self._memory = SharedMemory("alerts", rule.id, lambda: runs.state)

    def begin(self) -> Memory:
        """Return the memory; a new rule begins with what changes from now on."""
        return self._memory.get(self._new)

    def evaluate(
        self, overdue: Mapping[str, int] | None, gone: Mapping[str, Any] | None = None
    ) -> Evaluated:
        """Make the notices of what has changed.

        Args:
            overdue: The jobs that are overdue, each with the time since when; None if the rule is
                not about them.
            gone: The daemons that give no sign of life, likewise.
        """
        dropped = 0

        def apply(memory: Memory) -> None:
            nonlocal dropped
            evaluation = Evaluation(self._rule, memory, now_ms())
            evaluation.runs(self._changes.read(memory, skips="skipped" in self._rule.on))
            if overdue is not None:
                evaluation.overdue(overdue)
            if gone is not None:
                evaluation.gone(gone)
            dropped = evaluation.dropped

        self._memory.change(self._new, apply)
        return Evaluated(dropped, self._changes.is_behind)

    def pending(self) -> list[Notice]:
        """Return the notices to send, oldest first."""
        pending: list[Notice] = self.begin()["notices"]
        return pending

    def due(self, now: int) -> Notice | None:
        """Return the next notice to send at a time in milliseconds since 1970.

        Those of one job are sent in their order. None overtakes another for which the receiver did
        not respond.
        """
        refused = set()
        for notice in self.pending():
            if notice["job"] in refused:
                continue
            if not now < notice.get("notBefore", 0) <= now + LONGEST_RETRY_MS:
                return notice  # a time further away is that of a clock that was wrong
            if not notice.get("isRefused"):
                return None
            refused.add(notice["job"])
        return None

    def settle(self, notice: Notice) -> None:
        """Remove a notice, which was delivered or given up."""
        self._memory.change(self._new, partial(_replace, id=notice["id"], by=[]))

    def postpone(self, notice: Notice, until: int, *, is_refused: bool) -> None:
        """Have a notice sent again, not before a time in milliseconds since 1970.

        If it was refused for what it is, those of other jobs need not wait for it.
        """
        again = notice | {
            "attempts": notice.get("attempts", 0) + 1,
            "notBefore": until,
            "isRefused": is_refused,
        }
        self._memory.change(self._new, partial(_replace, id=notice["id"], by=[again]))

    def _new(self) -> Memory:
        return new_memory() | self._changes.begin(now_ms())


def _replace(memory: Memory, id: str, by: list[Notice]) -> None:
    pairs = ((each["id"], each) for each in memory["notices"])
    memory["notices"] = [one for key, each in pairs for one in (by if key == id else [each])]
