"""The start of a run: the lock that it acquires, what it claims, and its first record."""

import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ojobchannels import errors
from ojobchannels.channels.lease import Lease
from ojobchannels.host.process_identity import this_process
from ojobchannels.manager import records, tracing
from ojobchannels.manager.limits import counted_starts
from ojobchannels.manager.limits.starts import LimitedStarts
from ojobchannels.manager.records import Record
from ojobchannels.manager.runs import dead_runs
from ojobchannels.manager.runs.run_options import RunManager, RunOptions
from ojobchannels.manager.schedules import fire_times

_CLAIM_SECONDS: Final = 0.25
"""Longest time in which a holder finds that its fire time is already claimed."""

_log = logging.getLogger("ojobchannels.jobs")


class RunStart:
    """Acquires the lock of a run, claims its fire time, and writes its first record.

    Args:
        manager: The manager of the run.
        name: The name of the job.
        run_id: The identifier of the run.
        options: The options of the run.
    """

    def __init__(self, manager: RunManager, name: str, run_id: str, options: RunOptions) -> None:
        self._manager = manager
        self._name = name
        self._run_id = run_id
        self._options = options
        self._fire_time = options.fire_time

    def check_unclaimed(self) -> None:
        """Raise FireTimeTaken if another run has claimed the fire time."""
        due = self._fire_time
        if due is not None and not fire_times.is_unclaimed(self._manager, self._name, due):
            raise errors.FireTimeTaken(self._name, fire_times.moment(due))

    def lock_options(self, on_lost: Callable[[Lease], None]) -> dict[str, Any]:
        """Return the arguments for the lock, beside its name and `wait`."""
        options = self._options
        return {
            "ttl": options.ttl,
            "keep_alive": options.keep_alive,
            "on_lost": on_lost,
            "holder": {
                "job": self._name,
                "run": self._run_id,
                records.PROCESS: this_process(),
                **options.holder(),
            },
            "slots": options.max_concurrent,
        }

    def acquire(
        self, on_lost: Callable[[Lease], None], acquired: Callable[[], Lease] | None = None
    ) -> Lease:
        """Acquire the lock, and return its lease.

        Args:
            on_lost: Called when the lease is lost.
            acquired: Returns the lease, or raises LockBusy, if the caller has waited for the lock.

        Raises:
            LockBusy: The job is running elsewhere.
            RateLimited: The job has started too often.
            FireTimeTaken: The job is running elsewhere for the same fire time.
        """
        options = self._options
        if acquired is not None:
            return acquired()
        named = self.lock_options(on_lost)
        if options.rate_limit is None and self._fire_time is None:  # as most runs
            return self._manager.locks.lock(self._name, wait=options.wait, **named)
        lock = functools.partial(self._manager.locks.lock, self._name, **named)
        close_previous = functools.partial(dead_runs.close_previous, self._manager, self._name)
        starts = LimitedStarts(self._manager, self._name, options.rate_limit, close_previous)
        try:
            try:
                return starts.acquire(lock, options.wait)
            except errors.LockBusy as busy:
                if self._fire_time is None:
                    raise
                self._raise_if_claimed(busy)
            return starts.acquire(lock, _CLAIM_SECONDS)
        except (errors.LockBusy, errors.RateLimited) as busy:
            self._raise_if_claimed(busy)
            raise

    def begun(self, status: str) -> Record:
        """Return a new record, without its start time."""
        return records.begun(self._name, self._run_id, status, self._options.args)

    def record_skipped(self, unrecorded: Record, reason: str) -> Record:
        """Record that the run is skipped; return `unrecorded` if that is not possible.

        Raises:
            FireTimeTaken: Another run has claimed the fire time.
            ChannelError: It is not recorded; another process can still claim the fire time.
        """
        skip = reason, self._options.args, self._run_id, self._fire_time
        try:
            return self._manager._record_not_run(self._name, "skipped", *skip)
        except errors.ChannelError as error:
            if self._fire_time is not None:
                raise
            _log.warning("cannot record that job %r was skipped: %s", self._name, error)
            return unrecorded

    def record_running(self, lease: Lease) -> Record:
        """Claim the fire time, and write the record of the running run.

        Raises:
            FireTimeTaken: Another run has claimed the fire time.
        """
        options = self._options
        running = self.begun("running")
        running.update(options.extra, **options.due)
        running["fence"] = lease.fence
        if lease.slots > 1:
            running["slot"] = lease.slot
        running["timeout"] = round(options.timeout * 1000)
        running.update(tracing.begin(running))
        if self._fire_time is not None:
            fire_times.claim(self._manager.state, self._name, self._fire_time, self._run_id)
        return self._manager._record_start(running)

    def withdraw(self, fence: int) -> None:
        """Give back, for a run without a record, what its start had claimed."""
        tracing.withdraw(self._run_id)
        state = self._manager.state
        if self._fire_time is not None:
            fire_times.release(state, self._name, self._fire_time, self._run_id)
        if self._options.rate_limit is not None:
            with suppress(errors.ChannelError):  # then the start counts until the period is over
                counted_starts.give_back(state, self._name, fence)

    def _raise_if_claimed(self, busy: errors.LockBusy | errors.RateLimited) -> None:
        """Raise FireTimeTaken if a holder runs for the same fire time: nothing is skipped."""
        due, locks = self._fire_time, self._manager.locks
        if (
            due is not None
            and isinstance(busy, errors.LockBusy)
            and fire_times.has_holder(locks, due, busy)
        ):
            raise errors.FireTimeTaken(self._name, fire_times.moment(due)) from busy
