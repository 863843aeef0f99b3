"""Whether an operator has paused a schedule: read before each fire time is handled."""

from collections.abc import Callable
from typing import Final

from ojobchannels.errors import STORE_ERRORS
from ojobchannels.manager.schedules import pauses
from ojobchannels.manager.schedules.fire_times import Channels
from ojobchannels.manager.schedules.pauses import PauseInfo

PAUSED: Final = "missed: the schedule was paused"
"""The reason of a fire time that is not run because of a pause."""


class PauseCheck:
    """Reads the pause of one schedule.

    Args:
        name: The name of the schedule.
        manager: Returns the manager, if it is open.
        needs_store: Whether the schedule can do nothing without the store. Otherwise the last known
            state counts while the store cannot be reached.
    """

    __slots__ = ("_last", "_manager", "_name", "_needs_store")

    def __init__(
        self, name: str, manager: Callable[[], Channels | None], *, needs_store: bool
    ) -> None:
        self._name = name
        self._manager = manager
        self._needs_store = needs_store
        self._last: PauseInfo | None = None

    def read(self) -> PauseInfo | None:
        """Return the last pause, which may be over, or None if there was none.

        Raises:
            ChannelError: The store cannot be reached, and the schedule needs it.
        """
        manager = self._manager()
        if manager is not None:
            try:
                self._last = pauses.read(manager.state, self._name)
            except STORE_ERRORS:
                if self._needs_store:
                    raise
        return self._last

    def covers(self, moment: int) -> bool:
        """Return whether the pause that was read last covers a moment."""
        pause = self._last
        return pause is not None and pause.since <= moment and pause.is_active(moment)
