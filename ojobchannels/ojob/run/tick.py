"""One fire time of a schedule, as the jobs see it that its job calls or launches."""

import threading
from collections import Counter

from ojobchannels.manager import LaunchTime


class Tick:
    """A fire time of a job, for all jobs that are called or launched on its account.

    Several servers run the schedule of a job without a lock, so that all of them launch the same
    jobs. Each managed run of these is numbered by its name, and so takes place on one server only.

    Args:
        job: The job that has the schedule.
        time: The fire time, in milliseconds since 1970.
    """

    def __init__(self, job: str, time: int) -> None:
        self._job = job
        self._time = time
        self._runs: Counter[str] = Counter()
        self._lock = threading.Lock()

    def next_run(self, name: str) -> LaunchTime:
        """Return what the next managed run of a name claims."""
        with self._lock:
            self._runs[name] += 1
            return LaunchTime(self._time, self._job, self._runs[name])
