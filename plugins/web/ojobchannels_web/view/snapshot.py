"""The state of all jobs, locks and daemons at one moment."""

from dataclasses import dataclass, field

from ojobchannels.hookspecs import LockInfo
from ojobchannels.manager.schedules.overview import ScheduleInfo
from ojobchannels.manager.schedules.published import DaemonInfo
from ojobchannels_web.view.rows import JobRow


@dataclass(frozen=True)
class Snapshot:
    """The state of everything; it never changes, a newer one replaces it.

    Attributes:
        version: Differs between two snapshots whose contents differ.
        rows: All jobs, those that need attention first.
        locks: The locks that are held, by name.
        schedules: The schedules that daemons have published.
        daemons: The daemons that have published themselves.
        complete: Whether the whole history has been read.
        records_read: How many records have been read.
        error: Why the channels cannot be read now.
        was_read: Whether the channels have been read at all.
    """

    version: int = 0
    rows: tuple[JobRow, ...] = ()
    locks: tuple[LockInfo, ...] = ()
    schedules: tuple[ScheduleInfo, ...] = ()
    daemons: tuple[DaemonInfo, ...] = ()
    complete: bool = False
    records_read: int = 0
    error: str | None = None
    by_name: dict[str, JobRow] = field(default_factory=dict, repr=False)
    was_read: bool = False
