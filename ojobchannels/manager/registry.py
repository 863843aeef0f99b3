"""The jobs that a manager knows by their names, and their failure notices."""

import threading
from collections import ChainMap
from typing import Any

from ojobchannels.documents import check_name
from ojobchannels.errors import UnknownJob
from ojobchannels.manager.jobs import Job, Notice, check_notice, check_notices
from ojobchannels.suggestions import closest


class JobRegistry:
    """The managed jobs of a manager.

    Args:
        on_failure: The failure notice for all jobs that have none of their own.
    """

    def __init__(self, on_failure: Notice | None) -> None:
        check_notice(on_failure)
        self._on_failure = on_failure
        self._jobs: dict[str, Job[..., Any]] = {}
        self._lock = threading.Lock()

    def add(self, job: Job[..., Any]) -> None:
        """Add a job, or replace the one of its name.

        Raises:
            InvalidOption: Its failure notice leads back to it through the notices of other jobs.
        """
        with self._lock:
            check_notices(job.name, ChainMap({job.name: job}, self._jobs), self._on_failure)
            self._jobs[job.name] = job

    def names(self) -> tuple[str, ...]:
        """Return the names of all jobs."""
        return tuple(self._jobs)

    def all(self) -> tuple[Job[..., Any], ...]:
        """Return all jobs."""
        return tuple(self._jobs.values())

    def find(self, name: str) -> Job[..., Any] | None:
        """Return the job of a name, or None."""
        return self._jobs.get(name)

    def get(self, name: str) -> Job[..., Any]:
        """Return the job of a name.

        Raises:
            UnknownJob: No job has it.
            InvalidName: It is not a name.
        """
        job = self._jobs.get(check_name("job", name))
        if job is None:
            names = self.names()
            raise UnknownJob(name, tuple(sorted(names)), closest(name, names))
        return job

    def notice_for(self, name: str) -> Notice | None:
        """Return the failure notice for the runs of a job.

        A job is not notified of its own failure: it would probably fail again.
        """
        job = self._jobs.get(name)
        notice = (job and job.on_failure) or self._on_failure
        return None if notice == name else notice
