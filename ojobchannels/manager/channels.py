"""The channels of a job manager: run records, locks, and the state beside them."""

import threading
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.opening import open_channel

ChannelConfig: TypeAlias = Mapping[str, Any] | str | Channel | None
"""``{"type": …, "args": {…}}``, a URL, or an open channel; ``simple`` for None."""

JOBS: Final = "oJobManager-jobs"
LOCKS: Final = "oJobManager-locks"
STATE: Final = "oJobManager-state"


class ManagerChannels:
    """Opens the channels of a manager, and closes those that it has opened."""

    def __init__(self, jobs: ChannelConfig, locks: ChannelConfig, state: ChannelConfig) -> None:
        self._opened: list[Channel] = []
        self._state: Channel | None = None
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
