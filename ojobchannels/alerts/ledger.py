"""The memory of a rule in the state channel, which all processes share.

Each change of it is a compare-and-set, so of all processes that find the same change of a run, one
makes the notices. They are kept in it until they are delivered: the death of a process loses none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from ojobchannels.alerts.evaluation import Evaluation, Memory, Record, copied, new_memory
from ojobchannels.alerts.rules import Alert, Notice
from ojobchannels.channels.channel import Channel
from ojobchannels.errors import OutcomeUnknown
from ojobchannels.host.clock import now_ms

_BATCH: Final = 500
_NO_RECORDS: Final = 0
_UNUSED_MS: Final = 90 * 86_400_000
_CHECK_AGAIN_SECONDS: Final = 10.0


class Runs(Protocol):
    """The records that a ledger reads; a job manager has them."""

    jobs: Channel

    @property
    def state(self) -> Channel:
        """The channel of everything else."""

    def is_readable(self, key: object, document: object) -> bool:
        """Return whether an entry of the jobs channel is a run record."""


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
        self.rule = rule
        self._runs = runs
        self._key: dict[str, Any] = {"alerts": rule.id}
        self._read_again_until = 0.0
        self._is_behind = False

    def begin(self) -> Memory:
        """Return the memory; a new rule begins with what changes from now on."""
        while True:
            memory: Memory | None = self._runs.state.get(self._key)
            if memory is not None:
                return memory
            jobs, skipped = _newest(self._runs.jobs), _newest(self._runs.state)
            cursors = {"after": jobs, "reached": jobs, "skipsAfter": skipped}
            begun = {"version": 0, "at": now_ms(), **cursors, **new_memory(), "latest": now_ms()}
            self._runs.state.add(self._key, begun)

    def evaluate(self, overdue: Mapping[str, int] | None) -> Evaluated:
        """Make the notices of what has changed.

        Args:
            overdue: The jobs that are overdue, each with the time since when; None if the rule is
                not about them.
        """
        dropped = 0

        def apply(memory: Memory) -> None:
            nonlocal dropped
            self._is_behind = False
            evaluation = Evaluation(self.rule, memory, now_ms())
            evaluation.runs([*self._changed_runs(memory), *self._skips(memory)])
            if overdue is not None:
                evaluation.overdue(overdue)
            dropped = evaluation.dropped

        self._change(apply)
        return Evaluated(dropped, self._is_behind)

    def pending(self) -> list[Notice]:
        """Return the notices to send, oldest first."""
        pending: list[Notice] = self.begin()["notices"]
        return pending

    def settle(self, notice: Notice) -> None:
        """Remove a notice, which was delivered or given up."""

        def remove(memory: Memory) -> None:
            memory["notices"] = [each for each in memory["notices"] if each["id"] != notice["id"]]

        self._change(remove)

    def postpone(self, notice: Notice, until: int) -> None:
        """Have a notice sent again, not before a time in milliseconds since 1970."""
        again = notice | {"attempts": notice.get("attempts", 0) + 1, "notBefore": until}

        def replace(memory: Memory) -> None:
            memory["notices"] = [
                again if each["id"] == notice["id"] else each for each in memory["notices"]
            ]

        self._change(replace)

    def _changed_runs(self, memory: Memory) -> list[Record]:
        """Return the records that have changed, and move the position in the jobs channel.

        The reading begins where the one before the last ended: storages may show changes that
        happen at the same time in another order.
        """
        jobs, reached = self._runs.jobs, memory["reached"]
        newest = _newest(jobs)
        earliest = 0
        if newest < reached:  # the newest record was removed, or all of them
            memory["after"] = reached = memory["reached"] = _NO_RECORDS
            earliest = memory["latest"]
        if newest > reached:
            self._read_again_until = time.monotonic() + _CHECK_AGAIN_SECONDS
        elif time.monotonic() > self._read_again_until:
            return []
        found = []
        number = 0
        for item in jobs.items(after=memory["after"] or None, limit=_BATCH):
            number += 1
            reached = max(reached, item.position)
            if self._runs.is_readable(*item) and item[1].get("endTime", earliest) >= earliest:
                found.append(item[1])
        self._is_behind |= number == _BATCH
        if reached > memory["reached"]:
            memory["after"], memory["reached"] = memory["reached"], reached
        elif number == _BATCH:  # all of them were seen before: do not read them once more
            memory["after"] = reached
        return found

    def _skips(self, memory: Memory) -> list[Record]:
        if "skipped" not in self.rule.on:
            return []
        found = []
        match = {"status": "skipped"}
        after = memory["skipsAfter"]
        for item in self._runs.state.items(match=match, after=after or None, limit=_BATCH):
            memory["skipsAfter"] = item.position
            found.append(item[1])
        return found

    def _change(self, change: Callable[[Memory], None]) -> None:
        """Change the memory, over all processes one change after the other."""
        while True:
            present = self.begin()
            changed = copied(present)
            change(changed)
            if changed == present:
                return
            changed |= {"version": present["version"] + 1, "at": now_ms()}
            match = {"version": present["version"]}
            try:
                if self._runs.state.get_set(match, self._key, changed) is not None:
                    return
            except OutcomeUnknown:
                continue  # reading again shows whether it was stored


def outdated(state: Channel) -> list[Any]:
    """Return the keys of rules that no process has used for long."""
    oldest = now_ms() - _UNUSED_MS
    return [
        key
        for key, document in state.items()
        if isinstance(key, dict) and "alerts" in key and _age_known(document) < oldest
    ]


def _age_known(document: Any) -> float:
    at = document.get("at") if isinstance(document, dict) else None
    return at if isinstance(at, int) else float("inf")


def _newest(channel: Channel) -> int:
    newest = next(iter(channel.items(limit=1, newest_first=True)), None)
    return newest.position if newest else _NO_RECORDS
