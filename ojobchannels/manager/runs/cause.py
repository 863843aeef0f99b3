"""Why a run starts that no caller waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ojobchannels.errors import STORE_ERRORS, FireTimeTaken, LockBusy, RateLimited
from ojobchannels.manager.schedules.fire_times import FireTime, fields


class Cause(NamedTuple):
    """Why a run starts that no caller waits for: a fire time, or the request of an operator.

    Attributes:
        fire_time: The fire time, which the run claims.
        wait: The longest wait if the job is running elsewhere, in seconds.
        records_busy: Whether the run is recorded as skipped if the job is running elsewhere.
        requested: The action of the operator, for the record.
    """

    fire_time: FireTime | None = None
    wait: float = 0
    records_busy: bool = True
    requested: Mapping[str, Any] | None = None

    @property
    def extra(self) -> dict[str, Any]:
        """Fields for the record of each attempt."""
        return {} if self.requested is None else {"requested": self.requested}

    @property
    def due(self) -> dict[str, Any]:
        """The fields of a record that have the fire time, if there is one."""
        return fields(self.fire_time)


CALLED: Final = Cause()
"""A caller waits for the run, or a launch that has no fire time."""

NOT_BEGUN: Final = (LockBusy, RateLimited, FireTimeTaken, *STORE_ERRORS)
"""The errors of a start after which the process that waits for a fire time decides what follows."""
