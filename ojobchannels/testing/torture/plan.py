"""The plan of a torture test: its size and its faults."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

FAULTS: Final = {
    "kill": "a process is killed with SIGKILL, and a new one is started",
    "stop": "a process is suspended for longer than its lease",
    "cut": "a connection is cut before a request arrives, or before the reply does",
    "reset": "all connections are reset",
    "delay": "replies are delayed for a moment",
    "restart": "the server is shut down or killed, and started again",
    "stepdown": "the primary of the replica set steps down",
    "failover": "a primary is killed, its replica is promoted, and it returns as a replica",
    "node": "a node of the cluster is killed, and started again",
}
ON_SERVERS: Final = frozenset(FAULTS) - {"kill", "stop"}
LONG_TTL: Final = 60.0
SHORT_TTL: Final = 0.5
_LARGEST_SEED = 10**9


@dataclass(frozen=True)
class Plan:
    """The size of a torture test and its faults.

    Attributes:
        sections: Number of critical sections.
        processes: Number of processes.
        names: Number of locks that they compete for.
        slots: Number of slots of each lock: how many may hold it at once.
        asynchronous: Whether every second process uses the asynchronous face of the channel.
        seconds: Time limit, even with fewer sections.
        faults: Which of `FAULTS` to inject: each once in this order, then at random.
        ttl: Duration of a lease in seconds; by default 60 if only the death of the holder can end
            it, else 0.5.
        pause: Average seconds between faults.
        seed: Seed of the random numbers.
    """

    sections: int = 10_000
    processes: int = 8
    names: int = 4
    slots: int = 1
    asynchronous: bool = False
    seconds: float | None = None
    faults: tuple[str, ...] = ("kill",)
    ttl: float | None = None
    pause: float = 0.25
    seed: int = field(default_factory=lambda: random.SystemRandom().randrange(_LARGEST_SEED))
