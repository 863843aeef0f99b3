"""What a schedule needs of its job; each kind of job has a class for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.local_launches.launcher import Launch
from ojobchannels.manager.schedules import fire_times
from ojobchannels.manager.schedules.fire_times import FireTime
from ojobchannels.manager.serving.outage import Level
from ojobchannels.manager.serving.publication import ScheduleNames
from ojobchannels.manager.serving.requested_run import Ended
from ojobchannels.manager.serving.start import Start


class ScheduledJob(ABC):
    """Starts a job, and reports what happens to it."""

    __slots__ = ()

    @property
    @abstractmethod
    def names(self) -> ScheduleNames:
        """Its names."""

    @abstractmethod
    def _is_stopping(self) -> bool:
        """Return whether nothing new may start."""

    @abstractmethod
    def _submit(self, work: Callable[[Launch], None]) -> None:
        """Do work on a thread of the pool.

        Raises:
            NoThread: No thread can be had.
        """

    @abstractmethod
    def _manager_if_open(self) -> fire_times.Channels | None:
        """Return its manager; None if it is not open yet."""

    @abstractmethod
    def _channels(self) -> fire_times.Channels:
        """Return the channels of claims and records."""

    @abstractmethod
    def _claims(self) -> str | None:
        """Return the name under which processes share its fire times; None if they do not."""

    @abstractmethod
    def _start(self, launch: Launch, time: int, fire_time: FireTime) -> Start:
        """Return what starts the job for a fire time, on the thread of `launch`."""

    @abstractmethod
    def _record_skipped(self, fire_time: FireTime, reason: str) -> bool:
        """Record that a fire time is not run; return False if another process has claimed it.

        Raises:
            ChannelError: The store cannot be reached.
        """

    @abstractmethod
    def _run_requested(
        self,
        launch: Launch,
        request: Action,
        args: Mapping[str, Any],
        done: Callable[[Ended | None], None],
    ) -> None:
        """Run the job for the request of an operator, on the thread of `launch`.

        Its arguments are as in `Schedule.run_now`.
        """

    @abstractmethod
    def _log(self, level: Level, text: str) -> None:
        """Report what happens to it."""
