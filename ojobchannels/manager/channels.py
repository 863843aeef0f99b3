"""The channels of a job manager: run records, locks, and the state beside them."""

import threading
import uuid
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.opening import open_channel

ChannelConfig: TypeAlias = Mapping[str, Any] | str | Channel | None
"""``{"type": …, "args": {…}}``, a URL, or an open channel; ``simple`` for None."""

JOBS: Final = "oJobManager-jobs"
LOCKS: Final = "oJobManager-locks"
STATE: Final = "oJobManager-state"
_LOCKS_ID: Final = "locksId"


class ManagerChannels:
    """Opens the channels of a manager, and closes those that it has opened."""

    def __init__(self, jobs: ChannelConfig, locks: ChannelConfig, state: ChannelConfig) -> None:
        self._opened: list[Channel] = []
        self._state: Channel | None = None
        self._locks_id: str | None = None
        self._state_config = jobs if state is None else state
        self._lock = threading.Lock()
        try:
            self.jobs = self._open(JOBS, jobs)
            self.locks = self._open(LOCKS, locks)
        except BaseException:
            self.close()
            raise

    @property
    def state(self) -> Channel:
        """The channel of everything else that must be remembered; opened at its first use."""
        with self._lock:
            if self._state is None:
                if self._state_config is self.jobs:
                    name = STATE if self.jobs.name == JOBS else f"{self.jobs.name}-state"
                    self._state = self._closing(self.jobs.beside(name))
                else:
                    self._state = self._open(STATE, self._state_config)
            return self._state

    def locks_id(self, *, create: bool = False) -> str | None:
        """Return the identifier of the locks, which records have; None if they have none yet.

        The locks channel stores it, so managers that reach the same locks have the same one.
        """
        if self._locks_id is None:
            if create:
                self.locks.add(_LOCKS_ID, uuid.uuid4().hex)
            found = self.locks.get(_LOCKS_ID)
            self._locks_id = found if isinstance(found, str) else None
        return self._locks_id

    def close(self) -> None:
        """Close the channels, except those that were passed open."""
        while self._opened:
            self._opened.pop().close()

    def _open(self, name: str, config: ChannelConfig) -> Channel:
        if isinstance(config, Channel):
            return config
        return self._closing(open_channel(name, config))

    def _closing(self, channel: Channel) -> Channel:
        self._opened.append(channel)
        return channel
