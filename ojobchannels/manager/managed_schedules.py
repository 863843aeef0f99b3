"""The schedules of a manager's jobs, which it serves from `serve` or `start_schedules` on."""

import atexit
import heapq
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

from ojobchannels.errors import ChannelError
from ojobchannels.host.forks import reset_in_children
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager.channels import ManagerChannels
from ojobchannels.manager.jobs import Job
from ojobchannels.manager.managed_launches import ManagedLaunches
from ojobchannels.manager.registry import JobRegistry
from ojobchannels.manager.schedules import overview
from ojobchannels.manager.serving.service import ScheduleService
from ojobchannels.manager.serving.timer import Clock

_log = logging.getLogger("ojobchannels.schedules")
_NAMED: Final = 10


class ManagedSchedules(ManagedLaunches):
    """Runs its jobs at the fire times of their schedules."""

    _closing: Latch

    def __init__(
        self,
        channels: ManagerChannels,
        registry: JobRegistry,
        plugins: Sequence[object],
        threads: int,
    ) -> None:
        super().__init__(channels, registry, plugins, threads)
        self._was_served = False
        self._process = os.getpid()
        self._forget_schedules()
        reset_in_children(self, ManagedSchedules._forget_schedules)

    def _forget_schedules(self) -> None:
        """Leave the schedules to the parent, in a forked child."""
        self._service: ScheduleService | None = None
        self._service_lock = threading.Lock()

    def start_schedules(self, clock: Clock | None = None) -> None:
        """Run the jobs with a schedule at their fire times, until `stop_schedules` or `close`.

        This returns at once. Jobs that are added later are served, too. The process is a daemon for
        `schedules`, `daemons` and operators from then on. Of all processes that serve a job of the
        same name on the same channels, job files included, one runs each fire time. A process that
        forks starts the schedules in its children.

        Args:
            clock: The clock of the fire times, for tests; by default that of this host.

        Raises:
            NoThread: The system refuses a thread.
            ManagerClosed: The manager is closed.
        """
        self._check_open("serve schedules")
        with self._service_lock:
            if self._service is not None:
                return
            self._was_served = True
            service = ScheduleService(self, self._closing.is_set, clock)
            self._service = service
        service.add(*self._registry.all())
        service.publish()

    def stop_schedules(self) -> None:
        """Run no more fire times; runs that are active continue."""
        with self._service_lock:
            service, self._service = self._service, None
        if service is not None:
            service.stop()
            service.close()

    def _register(self, job: Job[..., Any]) -> None:
        """Add a job, and serve its schedule if schedules are served."""
        self._registry.add(job)
        if job.schedule is not None:
            _with_schedules.add(self)
        service = self._service
        if service is not None:
            service.add(job)

    def _warn_of_unserved(self) -> None:
        """Warn of schedules that no process has ever served: probably a call is missing."""
        if self._was_served or self._process != os.getpid():
            return
        names = {job.name for job in self._registry.all() if job.schedule is not None}
        if not names:
            return
        with suppress(ChannelError, RuntimeError):  # a thread cannot start any more at the exit
            names -= {schedule.run for schedule in overview.known(self.state)}
            if names:
                listed = ", ".join(map(repr, heapq.nsmallest(_NAMED, names)))
                if len(names) > _NAMED:
                    listed += f" and {len(names) - _NAMED} more"
                text = "no process has served the schedules of %s: call serve or start_schedules"
                _log.warning(text, listed)

    def _end_serving(self) -> None:
        """Start nothing new, wait for what runs, and publish that the process serves no more."""
        if self._service is not None:
            self._service.stop()
        self.stop_worker()
        self._launcher.wait()
        self.stop_schedules()


_with_schedules: Final[WeakSet[ManagedSchedules]] = WeakSet()


@atexit.register
def _warn_at_exit() -> None:
    for manager in tuple(_with_schedules):
        if not manager._closing.is_set():
            manager._warn_of_unserved()
