"""The result of a torture test: checks the history and summarizes it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

from ojobchannels.testing.kit.histories import HeldLease, violations
from ojobchannels.testing.torture.plan import Plan


@dataclass
class Result:
    """The result of a torture test.

    Attributes:
        target: The channel under test.
        plan: The plan.
        ttl: Duration of a lease in seconds.
        seconds: Duration of the test.
        sections: Number of critical sections.
        done: Number of injected faults by name.
        late: Number of expired holders whose release raised LockLost.
        refused: Number of writes of expired holders that were refused.
        errors: Number of errors caused by the faults, by class.
        longest_wait: Longest wait for a lock in seconds.
        violations: Descriptions of violations; empty if the channel is correct.
    """

    target: str
    plan: Plan
    ttl: float
    seconds: float
    sections: int
    done: dict[str, int]
    late: int
    refused: int
    errors: dict[str, int]
    longest_wait: float
    violations: list[str]

    def as_document(self) -> dict[str, Any]:
        """Return the result as a JSON document."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the summary as lines of text."""
        plan = self.plan
        rate = self.sections / self.seconds if self.seconds else 0
        faults = [f"{fault} {self.done.get(fault, 0):,}" for fault in plan.faults]
        lines = [
            f"{self.target}: {plan.processes} processes, {plan.names} locks, leases of "
            f"{self.ttl:g} s",
            f"{self.sections:,} sections in {self.seconds:.1f} s, {rate:,.0f} per second; "
            f"longest wait {self.longest_wait:.2f} s",
            f"faults: {', '.join(faults) or 'none'}",
        ]
        if self.late or "stop" in plan.faults:
            lines.append(
                f"expired holders: {self.late:,} got LockLost, {self.refused:,} writes were refused"
            )
        if self.errors:
            errors = (f"{kind} {count:,}" for kind, count in sorted(self.errors.items()))
            lines.append(f"errors caused by the faults: {', '.join(errors)}")
        if self.violations:
            shown = [f"VIOLATION: {violation}" for violation in self.violations[:10]]
            return [*lines, *shown, *self._more()]
        return [
            *lines,
            f"no violations: {self.sections:,} leases without overlap, fences increasing",
        ]

    def _more(self) -> list[str]:
        left_out = len(self.violations) - 10
        return [f"… and {left_out:,} more"] if left_out > 0 else []


def judge(
    history: Path,
    target: str,
    plan: Plan,
    ttl: float,
    seconds: float,
    done: Counter[str],
    violation: str,
) -> Result:
    """Read the history that the processes wrote, and check it."""
    kinds: dict[str, list[list[Any]]] = defaultdict(list)
    for line in history.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            kind, *values = json.loads(line)
            kinds[kind].append(values)
    leases = [HeldLease(*values[:8]) for values in kinds["section"]]
    counts = {(values[0], values[1]): values[8] for values in kinds["section"] if values[8]}
    reported = [values[0] for values in kinds["violation"]]
    found = [*map(str, violations(leases)), *_lost_counts(leases, counts, done["kill"])]
    return Result(
        target=target,
        plan=plan,
        ttl=ttl,
        seconds=seconds,
        sections=len(leases),
        done=dict(done),
        late=kinds["late"].count(["LockLost"]),
        refused=kinds["late"].count(["StaleFence"]),
        errors=dict(Counter(values[0] for values in kinds["error"])),
        longest_wait=max((lease.acquired - lease.requested for lease in leases), default=0) / 1e6,
        violations=list(dict.fromkeys([*([violation] if violation else []), *reported, *found])),
    )


def _lost_counts(
    leases: Iterable[HeldLease], counts: dict[tuple[str, int], int], kills: int
) -> list[str]:
    """Find lost updates of the counter; killed sections may have counted without a record."""
    by_name: dict[str, list[HeldLease]] = defaultdict(list)
    for lease in sorted(leases, key=attrgetter("fence")):
        if (lease.name, lease.fence) in counts:
            by_name[lease.name].append(lease)
    found = []
    for name, ordered in by_name.items():
        for lease, later in pairwise(ordered):
            if counts[name, lease.fence] >= counts[name, later.fence]:
                found.append(f"lost count on lock {name!r}: {later} did not see that of {lease}")
        last = counts[name, ordered[-1].fence]
        if last > len(ordered) + kills:
            found.append(f"lock {name!r} was counted {last} times in {len(ordered)} sections")
    return found
