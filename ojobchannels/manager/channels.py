"""The channels of a job manager: run records, locks, and the state beside them."""

import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.opening import open_channel, prepared
from ojobchannels.host.forks import forget_in_children
from ojobchannels.host.process_identity import this_process

ChannelConfig: TypeAlias = Mapping[str, Any] | str | Channel | None
"""``{"type": …, "args": {…}}``, a URL, or an open channel; ``simple`` for None."""

JOBS: Final = "oJobManager-jobs"
LOCKS: Final = "oJobManager-locks"
STATE: Final = "oJobManager-state"
_PREFIX: Final = "oJobManager-"
_LOCKS_ID: Final = "locksId"


class ManagerChannels:
    """Opens the channels of a manager, and closes those that it has opened."""

    def __init__(self, jobs: ChannelConfig, locks: ChannelConfig, state: ChannelConfig) -> None:
        self._opened: list[Channel] = []
        self._state: Channel | None = None
        self._beside: dict[str, Channel] = {}
        self._locks_id: str | None = None
        self._indexed: dict[tuple[str, tuple[str, ...]], bool] = {}
        self._open_state = self._opener(state)
        self.forget()
        forget_in_children(self)
        try:
            self.jobs = self._open(JOBS, jobs)
            self.locks = self._open(LOCKS, locks)
        except BaseException:
            self.close()
            raise

    def forget(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        self._lock = threading.Lock()

    @property
    def state(self) -> Channel:
        """The channel of everything else that must be remembered; opened at its first use."""
        with self._lock:
            if self._state is None:
                self._state = self._open_state()
            return self._state

    @property
    def output(self) -> Channel:
        """The channel of what runs log and print, in the storage of the state."""
        return self._beside_state("output")

    @property
    def launches(self) -> Channel:
        """The channel of durable launches that have not ended, in the storage of the state."""
        return self._beside_state("launches")

    @property
    def ended_launches(self) -> Channel:
        """The channel of durable launches that have ended, in the storage of the state."""
        return self._beside_state("ended-launches")

    def locks_id(self, *, create: bool = False) -> str | None:
        """Return the identifier of the locks, which records have; None if they have none yet.

        The locks channel stores it, so managers that reach the same locks have the same one. Locks
        in memory are gone when their process is, so they have its identity.
        """
        if "processes" not in self.locks.capabilities:
            return this_process()
        if self._locks_id is None:
            if create:
                self.locks.add(_LOCKS_ID, uuid.uuid4().hex)
            found = self.locks.get(_LOCKS_ID)
            self._locks_id = found if isinstance(found, str) else None
        return self._locks_id

    def is_indexed(self, channel: Channel, fields: tuple[str, ...] = ("name", "status")) -> bool:
        """Return whether run records are found by these fields; index them if possible."""
        known = channel.name, fields
        if known not in self._indexed:
            self._indexed[known] = channel.hook.index(fields=fields) is True
        return self._indexed[known]

    def close(self) -> None:
        """Close the channels, except those that were passed open."""
        while self._opened:
            self._opened.pop().close()

    def _beside_state(self, suffix: str) -> Channel:
        """Return a further channel in the storage of the state; opened at its first use."""
        state = self.state
        with self._lock:
            if suffix not in self._beside:
                prefix = _PREFIX if state.name == STATE else f"{state.name}-"
                self._beside[suffix] = self._closing(state.beside(f"{prefix}{suffix}"))
            return self._beside[suffix]

    def _opener(self, config: ChannelConfig) -> Callable[[], Channel]:
        """Return what opens the state at its first use; its configuration is checked now."""
        if isinstance(config, Channel):
            return lambda: config
        if config is not None:
            opening = prepared(config)
            return lambda: self._closing(opening(STATE))
        return self._open_beside_the_jobs

    def _open_beside_the_jobs(self) -> Channel:
        name = STATE if self.jobs.name == JOBS else f"{self.jobs.name}-state"
        return self._closing(self.jobs.beside(name))

    def _open(self, name: str, config: ChannelConfig) -> Channel:
        if isinstance(config, Channel):
            return config
        return self._closing(open_channel(name, config))

    def _closing(self, channel: Channel) -> Channel:
        self._opened.append(channel)
        return channel
