"""What a torture is to do."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

FAULTS: Final = {
    "kill": "a process is killed with -9, and another takes its place",
    "stop": "a process is stopped for longer than a lease lasts",
    "cut": "a connection is cut before a request arrives, or before the reply does",
    "reset": "all connections end",
    "delay": "replies take long for a moment",
    "restart": "the server is shut down or killed, and started again",
    "stepdown": "the primary of the replica set steps down",
}
ON_SERVERS: Final = frozenset(FAULTS) - {"kill", "stop"}
PATIENT_TTL: Final = 60.0
SHORT_TTL: Final = 0.5
_LARGEST_SEED = 10**9


@dataclass(frozen=True)
class Plan:
    """What to do, and how much of it.

    Attributes:
        sections: How many critical sections.
        processes: How many processes at once.
        names: How many locks they fight for.
        seconds: After so many it ends, even with fewer sections.
        faults: Which of `FAULTS` happen.
        ttl: Seconds of a lease; by default long where only the death of a holder may end it.
        pause: Seconds from fault to fault, on average.
        seed: Where chance begins.
    """

    sections: int = 10_000
    processes: int = 8
    names: int = 4
    seconds: float | None = None
    faults: tuple[str, ...] = ("kill",)
    ttl: float | None = None
    pause: float = 0.25
    seed: int = field(default_factory=lambda: random.SystemRandom().randrange(_LARGEST_SEED))
