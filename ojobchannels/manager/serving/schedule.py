"""One schedule: which of its fire times are due, and what happens at each.

A schedule remembers the last fire time that it handled, not a count, so that a process that was
late, suspended or down can work out what it has missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from threading import Lock
from typing import Final

from ojobchannels import errors
from ojobchannels.errors import STORE_ERRORS
from ojobchannels.host.terminal import local_time
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.local_launches.launcher import Launch
from ojobchannels.manager.schedules import fire_times, pauses
from ojobchannels.manager.schedules.fire_times import FireTime
from ojobchannels.manager.schedules.launch_claims import LaunchTime
from ojobchannels.manager.schedules.pauses import PauseInfo
from ojobchannels.manager.schedules.published import Published
from ojobchannels.manager.schedules.rules import ScheduleRules
from ojobchannels.manager.serving.outage import Outage
from ojobchannels.manager.serving.publication import described, published
from ojobchannels.manager.serving.requested_run import Ended
from ojobchannels.manager.serving.scheduled_job import ScheduledJob
from ojobchannels.manager.serving.timer import Scheduler

MAX_DELAY_MS: Final = 60_000
"""Milliseconds after which `misfire: none` skips a fire time instead of running it late."""

_CLOCK_SET: Final = "a clock was ahead, here or on another server, or was set back"
NO_PROCESS: Final = "missed: no process was running"
PAUSED: Final = "missed: the schedule was paused"
MAX_MISSED_RECORDED: Final = 60
"""At most this many of the fire times that were missed in a row get a record each."""


class Schedule(ScheduledJob):
    """Starts a job at its fire times; how is up to the derived class.

    The scheduler's thread only notes which time is due. A task on the pool does the rest: it
    handles all times that are due by then, so at most one such task waits for a thread.

    Args:
        rules: Its fire times and what happens when one is missed.
        zone: The time zone of its cron expression.
        scheduler: Waits for fire times.
        began: The moment from which its fire times count; by default now.

    Attributes:
        last_begun: When a run without a record began last.
        ended: Whether it has ended.
    """

    __slots__ = (
        "_began",
        "_due",
        "_handled_until",
        "_outage",
        "_pause",
        "_queued",
        "_rechecks",
        "_retry_is_set",
        "_rules",
        "_scheduler",
        "_successor",
        "_times",
        "_wakes_at",
        "_warned_of_clock",
        "_zone",
        "ended",
        "last_begun",
    )

    def __init__(
        self,
        rules: ScheduleRules,
        zone: tzinfo,
        scheduler: Scheduler,
        began: int | None = None,
    ) -> None:
        self.last_begun: int | None = None
        self.ended = False
        self._rules = rules
        self._zone = zone
        self._times = rules.timetable(zone, self.title)
        self._scheduler = scheduler
        self._pause: PauseInfo | None = None
        self._handled_until: int | None = None
        self._began = scheduler.clock.now() if began is None else began
        self._due = 0
        self._queued = False
        self._outage: Outage | None = None
        self._retry_is_set = False
        self._warned_of_clock = False
        self._successor: Schedule | None = None
        self._rechecks = 0
        self._wakes_at = 0

    def run_now(
        self, take: Callable[[], Action | None], done: Callable[[Ended | None], None]
    ) -> None:
        """Run the job for the request of an operator, on the pool, and report its outcome.

        Args:
            take: Takes the request, once there is a thread for it; returns None if another daemon
                has taken it. So a daemon whose pool is full leaves it to others.
            done: Called with the outcome, or None if there is none.
        """

        def work(launch: Launch) -> None:
            request = None if self._is_stopping() else take()
            if request is not None:
                args = request.details.get("args")
                self._run_requested(
                    launch, request, args if isinstance(args, Mapping) else {}, done
                )

        self._submit(work)

    @property
    def name(self) -> str:
        """The name of the job."""
        return self.names.job

    @property
    def title(self) -> str:
        """The name by which operators know it."""
        return self.names.title

    def next_time(self) -> int | None:
        """Return its next fire time, or None if it has ended."""
        return None if self.ended else self._times.next_due(self._scheduler.clock.now())

    def follow(self, previous: Schedule) -> None:
        """Continue an earlier version of this schedule, before this one is started."""
        if previous._fires_at() == self._fires_at():
            with previous._lock:
                previous._successor, is_at_work = self, previous._queued
            if not is_at_work:
                previous._hand_over()

    def _fires_at(self) -> tuple[object, ...]:
        return self._rules.cron, self._rules.interval, self._zone

    @property
    def _lock(self) -> Lock:
        return self._scheduler.states_lock

    @property
    def _runs_all(self) -> bool:
        return self._rules.misfire == "all"

    def _hand_over(self) -> None:
        """Leave the fire times that a pause has held back to the schedule that replaces this."""
        handled, successor = self._handled_until, self._successor
        if successor is None or handled is None or handled >= self._due:
            return
        with successor._lock:
            if successor._handled_until in (None, successor._began):
                successor._began = min(successor._began, handled)
                if successor._handled_until is not None:
                    successor._handled_until = successor._began
            successor._due = max(successor._due, self._due)
        successor._queue()

    def start(self) -> None:
        """Start: handle later fire times, and those that the processes that share it missed."""
        if self.names.claims is None:
            with self._lock:
                self._handled_until = self._began
        else:
            self._handle_until(self._began)
        self._await_next(self._began)

    def end(self, moment: int) -> None:
        """End; fire times up to a moment are still handled."""
        self._handle_until(moment)
        self.ended = True

    def _end_now(self) -> None:
        """End; no fire time is handled any more."""
        self.ended = True
        with self._lock:
            self._due = 0

    def _await_next(self, handled: int) -> None:
        following = self._times.next_due(handled)
        if following is not None and not self.ended:
            self._scheduler.call_at(following, self)

    def __call__(self) -> None:
        """Handle what is due now; the scheduler calls this at the next fire time."""
        if self.ended:
            return  # what is due from now on is that of the schedule that replaces this
        now = self._scheduler.clock.now()
        self._handle_until(now)
        self._await_next(now)  # a fire time may have passed meanwhile

    def _handle_until(self, moment: int) -> None:
        latest = self._times.latest(moment)
        with self._lock:
            self._due = max(self._due, latest or 0)
        self._queue()

    def _queue(self) -> None:
        with self._lock:
            if self._queued or self.ended or self._is_stopping():
                return
            self._queued = True
        try:
            self._submit_itself()
        except BaseException:
            self._queued = False  # no thread could be started; the next fire time tries again
            raise

    def _submit_itself(self) -> None:
        """Handle what is due, on a thread of the pool.

        Raises:
            NoThread: No thread can be had.
        """
        self._submit(self.work)

    def recheck(self) -> None:
        """Look again whether it is paused: an operator has changed that."""
        with self._lock:
            self._rechecks += 1
        self._queue()

    def _waits_for_resume(self) -> bool:
        """Return whether it is paused; then `recheck` or the end of the pause continues it."""
        while True:
            rechecks, pause = self._rechecks, self._read_pause()
            if pause is None or not pause.is_active(self._scheduler.clock.now()):
                return False
            with self._lock:
                if self._rechecks == rechecks:
                    self._queued = False
                    break
        self._hand_over()
        if pause.until is not None and pause.until != self._wakes_at:
            self._wakes_at = pause.until
            self._scheduler.call_at(pause.until, self._queue)
        return True

    def _read_pause(self) -> PauseInfo | None:
        """Return the last pause, which may be over.

        While the store cannot be reached, the last known one counts, if the job can run then.
        """
        manager = self._manager_if_open()
        if manager is not None:
            try:
                self._pause = pauses.read(manager.state, self.title)
            except STORE_ERRORS:
                if self.names.claims is not None:
                    raise
        return self._pause

    def work(self, launch: Launch) -> None:
        """Handle what is due, on the thread of `launch`."""
        span: tuple[int, int] | None = None
        try:
            if self._handled_until is None:
                self._handled_until = self._begin()
                self._end_outage()
            self._warn_of_clock(self._handled_until)
            while not self._waits_for_resume() and (span := self._next_span()) is not None:
                self._handle(launch, *span)
                self._end_outage()
                span = None
        except STORE_ERRORS as error:
            self._suspend(span, error)
        except Exception as error:  # noqa: BLE001  the next fire time must not depend on it
            text = "\n".join([errors.summary(error), *errors.notes_of(error)])
            self._log("error", f"schedule failed, retrying at the next fire time: {text}")
            with self._lock:
                self._queued = False

    def _begin(self) -> int:
        """Return the time up to which other processes, or an earlier one, have handled the job."""
        name = self._claims()
        if name is None:
            return self._began
        state = self._channels().state
        return fire_times.last_claimed(state, name, self._began, back=self._runs_all)

    def _next_span(self) -> tuple[int, int] | None:
        """Take what is due, as (after, until): one time at a time if all are to be run."""
        with self._lock:
            after, until = self._handled_until or 0, self._due
            if self._runs_all:
                following = self._times.trigger.after(after)
                until = following if following and following <= until else after
            nothing = until <= after or self._is_stopping()
            self._queued = self._runs_all and not nothing
            if nothing:
                return None
            self._handled_until = until
            return after, until

    def _handle(self, launch: Launch, after: int, until: int) -> None:
        fire_time = self._fire_time(until)
        start = self._start(launch, until, fire_time)
        name = start.claims
        is_free = name is None or fire_times.is_unclaimed(self._channels(), name, fire_time)
        missed = self._times.between(after, until, MAX_MISSED_RECORDED)
        self._skip([time for time in missed if self._was_paused(time)], PAUSED)
        self._skip([time for time in missed if not self._was_paused(time)], NO_PROCESS)
        if not is_free:
            return
        if self._rules.misfire == "none" and self._was_paused(until):
            self._skip([until], PAUSED)
            return
        late = self._scheduler.clock.now() - self._times.due(until)
        if self._rules.misfire == "none" and late > MAX_DELAY_MS:
            self._skip([until], f"missed: more than {MAX_DELAY_MS // 1000} s late")
        elif not self._is_stopping() and not start.ends_schedule():
            try:
                start.run()
            except errors.FireTimeTaken:
                return

    def _was_paused(self, time: int) -> bool:
        return self._pause is not None and self._pause.covers(time)

    def _fire_time(self, time: int) -> FireTime:
        return LaunchTime(time, self.names.label) if self.names.shares_run else time

    def published(self) -> Published:
        """Return what other processes know of it."""
        return published(self.names, self._rules, self._zone, self._began, ended=self.ended)

    def _skip(self, times: list[int], reason: str) -> None:
        """Report fire times that are not run, in records too if the job has them."""
        skipped: list[int] = []
        try:
            skipped.extend(
                time for time in times if self._record_skipped(self._fire_time(time), reason)
            )
        finally:
            if skipped:
                self._log("warn", f"not run for {described(skipped)}: {reason}")

    def _suspend(self, span: tuple[int, int] | None, error: errors.ChannelError) -> None:
        self._outage = self._outage or Outage("schedule", self._log)
        pause = self._outage.pause(error)
        with self._lock:
            self._queued = False
            if span is not None and self._handled_until is not None:
                self._handled_until = min(self._handled_until, span[0])
            retry_is_set, self._retry_is_set = self._retry_is_set, True
        if not retry_is_set:
            self._scheduler.call_at(self._scheduler.clock.now() + pause, self._retry)

    def _end_outage(self) -> None:
        if self._outage is not None:
            self._outage.end()
            self._outage = None

    def _retry(self) -> None:
        self._retry_is_set = False
        self._queue()

    def _warn_of_clock(self, handled_until: int) -> None:
        """Warn once if the clock is behind the handled times: nothing runs until it catches up."""
        is_behind = handled_until > self._scheduler.clock.now() + MAX_DELAY_MS
        if is_behind and not self._warned_of_clock:
            until = local_time(handled_until)
            self._log("warn", f"its fire times until {until} count as handled: {_CLOCK_SET}")
        self._warned_of_clock = is_behind
