"""What came of a torture: the history is judged, and summed up for people and for programs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

from ojobchannels.testing.kit.histories import Held, faults
from ojobchannels.testing.torture.plan import Plan


@dataclass
class Result:
    """What came of a torture.

    Attributes:
        arena: What was tortured.
        plan: What was to be done.
        ttl: Seconds of a lease.
        seconds: How long it took.
        sections: How many critical sections there were.
        done: How often each fault was done.
        told: How many holders were late, and were told so.
        refused: How many writes of late holders were refused.
        troubles: Errors that the faults led to, by kind.
        longest_wait: Seconds that the most patient process waited for a lock.
        faults: What must not have been; an empty list if all is well.
    """

    arena: str
    plan: Plan
    ttl: float
    seconds: float
    sections: int
    done: dict[str, int]
    told: int
    refused: int
    troubles: dict[str, int]
    longest_wait: float
    faults: list[str]

    def as_document(self) -> dict[str, Any]:
        """Returns all of it as JSON has it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Tells it to people."""
        plan = self.plan
        each = self.sections / self.seconds if self.seconds else 0
        harm = [f"{fault} {self.done.get(fault, 0):,} times" for fault in plan.faults]
        told = [
            f"{self.arena}: {plan.processes} processes, {plan.names} locks, leases of "
            f"{self.ttl:g} s",
            f"{self.sections:,} sections in {self.seconds:.1f} s, {each:,.0f} a second; "
            f"longest wait {self.longest_wait:.2f} s",
            f"done to them: {', '.join(harm) or 'nothing'}",
        ]
        if self.told or "stop" in plan.faults:
            told.append(
                f"{self.told:,} holders were late and were told; {self.refused:,} of their writes "
                "were refused"
            )
        if self.troubles:
            seen = ", ".join(
                f"{kind} {count:,} times" for kind, count in sorted(self.troubles.items())
            )
            told.append(f"errors on the way: {seen}")
        if self.faults:
            return [*told, *(f"WRONG: {fault}" for fault in self.faults[:10]), *self._more()]
        return [*told, f"{self.sections:,} leases, and no two overlapped; all fences grew"]

    def _more(self) -> list[str]:
        left_out = len(self.faults) - 10
        return [f"… and {left_out:,} more like these"] if left_out > 0 else []


def judge(
    history: Path,
    arena: str,
    plan: Plan,
    ttl: float,
    seconds: float,
    done: Counter[str],
    wrong: str,
) -> Result:
    """Reads what the processes wrote down, and judges it."""
    kinds: dict[str, list[list[Any]]] = defaultdict(list)
    for line in history.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            kind, *facts = json.loads(line)
            kinds[kind].append(facts)
    leases = [Held(*facts[:8]) for facts in kinds["section"]]
    counts = {(facts[0], facts[1]): facts[8] for facts in kinds["section"] if facts[8]}
    seen = [facts[0] for facts in kinds["wrong"]]
    found = [str(fault) for fault in faults(leases)] + _lost_counts(leases, counts, done["kill"])
    return Result(
        arena=arena,
        plan=plan,
        ttl=ttl,
        seconds=seconds,
        sections=len(leases),
        done=dict(done),
        told=kinds["late"].count(["told"]),
        refused=kinds["late"].count(["refused"]),
        troubles=dict(Counter(facts[0] for facts in kinds["trouble"])),
        longest_wait=max((one.acquired - one.asked for one in leases), default=0) / 1e6,
        faults=list(dict.fromkeys([*([wrong] if wrong else []), *seen, *found])),
    )


def _lost_counts(
    leases: Iterable[Held], counts: dict[tuple[str, int], int], kills: int
) -> list[str]:
    """Each section adds one to the counter, those too that were killed before they could tell."""
    by_name: dict[str, list[Held]] = defaultdict(list)
    for lease in sorted(leases, key=attrgetter("fence")):
        if (lease.name, lease.fence) in counts:
            by_name[lease.name].append(lease)
    found = []
    for name, ordered in by_name.items():
        for one, other in pairwise(ordered):
            if counts[name, one.fence] >= counts[name, other.fence]:
                found.append(f"lost count on lock {name!r}: {other} did not see that of {one}")
        last = counts[name, ordered[-1].fence]
        if last > len(ordered) + kills:
            found.append(f"lock {name!r} was counted {last} times in {len(ordered)} sections")
    return found
