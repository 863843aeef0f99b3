"""What a rule remembers of the jobs, and which notices follow from what has changed since.

Nothing here reads or writes a channel: the same changes make the same notices in every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from ojobchannels.alerts import notices
from ojobchannels.alerts.rules import Alert, Notice, Ping
from ojobchannels.following.run_changes import Record, moment_of

Memory: TypeAlias = dict[str, Any]
"""Of a rule: ``jobs``, those with failures; ``overdue`` and since when; ``gone``,
the daemons that give no sign of life; ``started``, the runs whose
start was pinged; ``held``, failures that a retry may mend; ``notices``, those to send, oldest
first."""

MOST_PENDING: Final = 200
PINGS_GO_STALE_MS: Final = 600_000
"""A dead man's switch takes a ping for the present, so one of long ago would deceive it."""

_MOST_JOBS: Final = 500
_RETRY_GRACE_MS: Final = 60_000
_BAD: Final = ("failed", "abandoned", "lost")


def new_memory() -> Memory:
    """Return the memory of a rule that has seen nothing."""
    return {"jobs": {}, "overdue": {}, "gone": {}, "started": [], "held": {}, "notices": []}


class Evaluation:
    """Applies changes to the memory of a rule.

    Args:
        rule: The rule.
        memory: Its memory, which is changed.
        now: The time, in milliseconds since 1970.

    Attributes:
        dropped: The number of notices that were dropped because too many are pending.
    """

    def __init__(self, rule: Alert, memory: Memory, now: int) -> None:
        self._rule = rule
        self._memory = memory
        self._now = now
        self._pings = isinstance(rule.target, Ping)
        self.dropped = 0

    def runs(self, records: Iterable[Record]) -> None:
        """Apply new versions of run records, in the order of their ends."""
        for record in records:
            if self._rule.concerns(record["name"]):
                (self._ping if self._pings else self._run)(record)
        self._release_held()

    def overdue(self, since: Mapping[str, int]) -> None:
        """Apply which jobs are overdue now, each with the time since when it is."""
        known: dict[str, int] = self._memory["overdue"]
        for job, time in since.items():
            if job not in known and self._rule.concerns(job):
                known[job] = time
                if "overdue" in self._rule.on:
                    self._add(notices.of_schedule("overdue", job, time, self._now))
        for job in [job for job in known if job not in since]:
            time = known.pop(job)
            if {"overdue", "recovered"} <= set(self._rule.on):
                more = {"after": "overdue"}
                self._add(notices.of_schedule("recovered", job, time, self._now, **more))

    def gone(self, daemons: Mapping[str, Mapping[str, Any]]) -> None:
        """Apply which daemons give no sign of life now, by their identifiers."""
        known: dict[str, Any] = self._memory.setdefault("gone", {})
        for id, daemon in daemons.items():
            if id not in known and self._rule.concerns_daemon(daemon["jobs"]):
                known[id] = {name: value for name, value in daemon.items() if name != "jobs"}
                if "daemon-gone" in self._rule.on:
                    self._add(notices.of_daemon("daemon-gone", id, known[id], self._now))
        for id in [id for id in known if id not in daemons]:
            daemon = known.pop(id)
            if {"daemon-gone", "recovered"} <= set(self._rule.on):
                more = {"after": "daemon-gone"}
                self._add(notices.of_daemon("recovered", id, daemon, self._now, **more))

    def _ping(self, record: Record) -> None:
        status, run = record["status"], record.get("runId")
        started: list[Any] = self._memory["started"]
        if status != "running" and self._now - moment_of(record)[0] > PINGS_GO_STALE_MS:
            return
        if status == "running" or run not in started:
            if status in ("skipped", "depsfail") or run in started:
                return
            self._add(notices.of_run("started", record, self._now))
            started.append(run)
            del started[:-_MOST_JOBS]
        if status == "completed" or status in _BAD:
            started.remove(run)
            self._add(notices.of_run(status, record, self._now))

    def _run(self, record: Record) -> None:
        job, status = record["name"], record["status"]
        if job in self._memory["held"] and record.get("runId") != self._held_run(job):
            del self._memory["held"][job]  # the next attempt has begun
        if status == "failed" and "retryIn" in record:
            self._memory["held"][job] = dict(record)
        elif status == "failed":
            self._failed(record)
        elif status in _BAD:
            self._remember(job, {"reported": status if status in self._rule.on else None})
            self._report(status, record)
        elif status == "completed":
            self._completed(record)
        elif status == "skipped":
            self._skipped(record)

    def _held_run(self, job: str) -> Any:
        return self._memory["held"][job].get("runId")

    def _release_held(self) -> None:
        """Report the failures after which the next attempt did not come."""
        held: dict[str, Record] = self._memory["held"]
        for job, record in list(held.items()):
            if record["endTime"] + record["retryIn"] + _RETRY_GRACE_MS < self._now:
                del held[job]
                self._failed(record)

    def _failed(self, record: Record) -> None:
        count = self._known(record["name"]).get("failed", 0) + 1
        self._remember(record["name"], {"failed": count, "skipped": 0})
        if count == 1 or (self._rule.every and count % self._rule.every == 0):
            if "failed" in self._rule.on:
                self._remember(record["name"], {"reported": "failed"})
            self._report("failed", record, count=count)

    def _skipped(self, record: Record) -> None:
        count = self._known(record["name"]).get("skipped", 0) + 1
        self._remember(record["name"], {"skipped": count})
        if count % self._rule.skipped_in_a_row == 0 and "skipped" in self._rule.on:
            self._remember(record["name"], {"reported": "skipped"})
            self._report("skipped", record, count=count)

    def _completed(self, record: Record) -> None:
        known = self._memory["jobs"].pop(record["name"], {})
        if known.get("reported"):
            self._report("recovered", record, after=known["reported"])

    def _report(self, event: str, record: Record, **more: Any) -> None:
        if event in self._rule.on:
            self._add(notices.of_run(event, record, self._now, **more))

    def _add(self, notice: Notice) -> None:
        named = {"alert": self._rule.name} if self._rule.name else {}
        pending: list[Notice] = self._memory["notices"]
        pending.append(notice | named)
        excess = max(len(pending) - MOST_PENDING, 0)
        del pending[:excess]
        self.dropped += excess

    def _known(self, job: str) -> dict[str, Any]:
        known: dict[str, Any] = self._memory["jobs"].get(job, {})
        return known

    def _remember(self, job: str, changes: dict[str, Any]) -> None:
        kept = {key: value for key, value in changes.items() if value is not None}
        jobs = self._memory["jobs"]
        jobs[job] = {**jobs.pop(job, {}), **kept}
        for oldest in list(jobs)[:-_MOST_JOBS]:
            del jobs[oldest]
