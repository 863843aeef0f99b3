"""How a run acquires its lock within the rate limit of its job."""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import RateLimited
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager.limits import counted_starts
from ojobchannels.manager.limits.rate import RateLimit


class Manager(Protocol):
    """The manager of the run."""

    _closing: Latch

    @property
    def state(self) -> Channel:
        """The channel in which starts are counted."""


class LimitedStarts(NamedTuple):
    """The starts of a job.

    Attributes:
        manager: The manager of the run.
        name: The name of the job.
        limit: Its rate limit; None for none.
        before_release: Called with the lease of a run that may not start.
    """

    manager: Manager
    name: str
    limit: RateLimit | None
    before_release: Callable[[Lease], None]

    def acquire(self, lock: Callable[..., Lease], wait: float | None) -> Lease:
        """Acquire the lock and count the start; over the limit, wait without the lock.

        Args:
            lock: Acquires the lock, within its argument `wait`.
            wait: Seconds to wait for both; None for no limit.

        Raises:
            RateLimited: The job may not start within that time, or the manager closes.
        """
        if self.limit is None:
            return lock(wait=wait)
        began, left = time.monotonic(), wait
        while True:
            lease = lock(wait=left)
            pause = self._count(self.limit, lease)
            if not pause:
                return lease
            lease.release()
            closes = self.manager._closing.wait(pause if left is None else min(pause, left))
            waited = time.monotonic() - began if wait != 0 else 0
            left = None if wait is None else max(wait - waited, 0)
            if closes or left == 0:
                raise RateLimited(self.name, self.limit.text, pause, waited)

    def _count(self, limit: RateLimit, lease: Lease) -> float:
        """Count the start; return 0, or after how many seconds it may be possible."""
        try:
            pause = counted_starts.take(self.manager.state, self.name, limit, lease.fence)
            if pause:
                self.before_release(lease)
        except BaseException:
            lease._give_up()
            raise
        return pause
