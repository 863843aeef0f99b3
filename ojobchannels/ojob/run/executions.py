"""The executions that jobs of one run have begun with the pack oJobDirector.yaml."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from ojobchannels.channels.lease import Lease


class Executions:
    """The executions that have begun in one run of a job file and have not ended.

    Attributes:
        stamp: The fields that mark the director's entries in its channel.
    """

    def __init__(self) -> None:
        self.stamp: Mapping[str, Any] = {"type": "director"}
        self._leases: dict[tuple[str, str], tuple[Lease, object]] = {}
        self._lock = threading.Lock()

    def begin(self, key: tuple[str, str], lease: Lease, owner: object) -> None:
        """Register the execution of a (job name, job UUID) by the job call `owner`."""
        with self._lock:
            self._leases[key] = lease, owner

    def end(self, key: tuple[str, str]) -> Lease | None:
        """Remove an execution; return its lease, or None if it was not started here."""
        with self._lock:
            return self._leases.pop(key, (None, None))[0]

    def abandon(self, owner: object) -> None:
        """Release the executions that a job call has begun and not ended."""
        with self._lock:
            keys = [key for key, (_, other) in self._leases.items() if other is owner]
            leases = [self._leases.pop(key)[0] for key in keys]
        for lease in leases:
            lease.give_up()
