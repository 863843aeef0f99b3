"""What the jobs of the pack oJobDirector.yaml stand on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ojobchannels.channels.lease import Lease

if TYPE_CHECKING:
    from ojobchannels.ojob.run.job_steps import Steps


class Directing:
    """The director of one run of a job file, and the executions that have begun there."""

    def __init__(self) -> None:
        self.stamp: Mapping[str, Any] = {"type": "director"}
        self._begun: dict[tuple[str, str], tuple[Lease, Steps]] = {}
        self._lock = threading.Lock()

    def begin(self, which: tuple[str, str], lease: Lease, by: Steps) -> None:
        """Takes note of an execution."""
        with self._lock:
            self._begun[which] = lease, by

    def end(self, which: tuple[str, str]) -> Lease | None:
        """Takes an execution out, and returns its lease."""
        with self._lock:
            return self._begun.pop(which, (None, None))[0]

    def give_up(self, by: Steps) -> None:
        """Lets others begin what a call has begun and not ended."""
        with self._lock:
            left = [which for which, (_, steps) in self._begun.items() if steps is by]
            leases = [self._begun.pop(which)[0] for which in left]
        for lease in leases:
            lease.give_up()
