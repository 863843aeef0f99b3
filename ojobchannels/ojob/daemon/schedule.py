"""One job that runs at fire times: which of them are due, and what happens at each.

A schedule remembers the last fire time that it handled, not a count, so that a process that was
late, suspended or down can work out what it has missed.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ojobchannels import errors
from ojobchannels.host.terminal import local_time
from ojobchannels.manager import JobManager, Launch, LaunchTime
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.schedules import fire_times
from ojobchannels.manager.schedules.fire_times import FireTime, moment
from ojobchannels.manager.schedules.published import Published
from ojobchannels.manager.schedules.timetable import Timetable
from ojobchannels.manager.schedules.zones import zone_of
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.daemon.active_runs import ActiveRuns
from ojobchannels.ojob.daemon.pause_check import PAUSED, PauseCheck
from ojobchannels.ojob.daemon.publication import described, published
from ojobchannels.ojob.languages import Level
from ojobchannels.ojob.load.job_file import Job, ScheduleSpec
from ojobchannels.ojob.report.outcomes import Outcome, describe
from ojobchannels.ojob.run.job_call import JobCall
from ojobchannels.ojob.run.manager_binding import ManagerConfig
from ojobchannels.ojob.run.outage import STORE_ERRORS, Outage
from ojobchannels.ojob.run.session import Session
from ojobchannels.ojob.triggers.tick import Tick

MAX_DELAY_MS: Final = 60_000
"""Milliseconds after which `misfire: none` skips a fire time instead of running it late."""

_CLOCK_SET: Final = "a clock was ahead, here or on another server, or was set back"
NO_PROCESS: Final = "missed: no process was running"
MAX_MISSED_RECORDED: Final = 60
"""At most this many of the fire times that were missed in a row get a record each."""


class Schedule:
    """Runs a job at its fire times.

    The scheduler's thread only notes which time is due. A task on the pool does the rest: it
    handles all times that are due by then, so at most one such task waits for a thread.

    Args:
        session: The run of the job file.
        job: The job.
        spec: Its fire times and what happens when one is missed.
        layers: The args of each call.
        began: The moment from which its fire times count; by default now.
        before: The schedules of earlier entries of the todo. They may have the same job, or start
            runs of the same name; fire times of this one are then claimed separately.
    """

    def __init__(
        self,
        session: Session,
        job: Job,
        spec: ScheduleSpec,
        layers: list[Layer],
        began: int | None = None,
        before: Sequence["Schedule"] = (),
    ) -> None:
        self._session = session
        self._job = job
        self._spec = spec
        self._layers = layers
        self._runs_all = spec.misfire == "all"
        self._zone = zone_of(session.file.settings.timezone)
        self._trigger = spec.trigger(self._zone)
        self._fires_at = spec.cron, spec.interval, self._zone
        self._scheduler = session.scheduler
        self._lock = threading.Lock()
        self._handled_until: int | None = None
        self._began = self._scheduler.clock.now() if began is None else began
        self._due = 0
        self._queued = False
        self._active = ActiveRuns()
        self._ended = False
        self._outage = Outage("schedule", self._log)
        self._retry_is_set = False
        self._warned_of_clock = False
        number = 1 + sum(other.name == job.name for other in before)
        self._label = job.name if number == 1 else f"{job.name} #{number}"
        self.run_name = self._run_name(self._call())
        self._shares_name = any(
            self.run_name is not None and other.run_name == self.run_name for other in before
        )
        self.title = self._title(before)
        self._times = Timetable(self._trigger, self.title, spec.jitter)
        self.last_begun: int | None = None
        self._successor: Schedule | None = None
        self._published: Published | None = None
        self._rechecks = 0
        self._wakes_at = 0
        needs_store = self.run_name is not None or spec.once
        binding = session.binding
        self._pause = PauseCheck(self.title, lambda: binding.manager, needs_store=needs_store)

    @property
    def name(self) -> str:
        """The name of the job."""
        return self._job.name

    def _title(self, before: Sequence["Schedule"]) -> str:
        """Return the name by which operators know it: that of its runs, or of its job."""
        name = self.run_name or self._job.name
        number = 1 + sum((other.run_name or other.name) == name for other in before)
        return name if number == 1 else f"{name} #{number}"

    def next_time(self) -> int | None:
        """Return its next fire time, or None if it has ended."""
        return None if self._ended else self._times.next_due(self._scheduler.clock.now())

    def follow(self, previous: "Schedule") -> None:
        """Continue the schedule of an earlier version of the file, before this one is started."""
        self._active = previous._active
        if previous._fires_at == self._fires_at:
            with previous._lock:
                previous._successor, is_at_work = self, previous._queued
            if not is_at_work:
                previous._hand_over()

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
        successor._queue()

    def start(self) -> None:
        """Start: handle later fire times, and those missed before."""
        self._handle_until(self._began)
        self._await_next(self._began)

    def end(self, moment: int) -> None:
        """End; fire times up to a moment are still handled."""
        self._handle_until(moment)
        self._ended = True

    def _await_next(self, handled: int) -> None:
        following = self._times.next_due(handled)
        if following is not None and not self._ended:
            self._scheduler.call_at(following, self._on_due)

    def _on_due(self) -> None:
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
            if self._queued or self._ended or self._session.stopping.is_set():
                return
            self._queued = True
        try:
            self._session.launches.run_on_pool(self._job.name, self._work)
        except BaseException:
            self._queued = False  # no thread could be started; the next fire time tries again
            raise

    def recheck(self) -> None:
        """Look again whether it is paused: an operator has changed that."""
        with self._lock:
            self._rechecks += 1
        self._queue()

    def _waits_for_resume(self) -> bool:
        """Return whether it is paused; then `recheck` or the end of the pause continues it."""
        while True:
            rechecks, pause = self._rechecks, self._pause.read()
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

    def _work(self, launch: Launch) -> None:
        span: tuple[int, int] | None = None
        try:
            if self._handled_until is None:
                self._handled_until = self._begin()
                self._outage.end()
            self._warn_of_clock(self._handled_until)
            while not self._waits_for_resume() and (span := self._next_span()) is not None:
                self._handle(launch, *span)
                self._outage.end()
                span = None
        except STORE_ERRORS as error:
            self._suspend(span, error)
        except Exception as error:  # noqa: BLE001  the next fire time must not depend on it
            text = f"schedule failed, retrying at the next fire time: {describe(error)}"
            self._log("error", text)
            with self._lock:
                self._queued = False

    def _begin(self) -> int:
        """Return the time up to which other processes, or an earlier one, have handled the job."""
        name = self._claim_name(self._call())
        if name is None:
            return self._began
        return fire_times.last_claimed(
            self._manager().state, name, self._began, back=self._runs_all
        )

    def _next_span(self) -> tuple[int, int] | None:
        """Take what is due, as (after, until): one time at a time if all are to be run."""
        with self._lock:
            after, until = self._handled_until or 0, self._due
            if self._runs_all:
                following = self._trigger.after(after)
                until = following if following and following <= until else after
            nothing = until <= after or self._session.stopping.is_set()
            self._queued = self._runs_all and not nothing
            if nothing:
                return None
            self._handled_until = until
            return after, until

    def _handle(self, launch: Launch, after: int, until: int) -> None:
        call = self._call()
        call.launch, call.if_running = launch, "wait" if self._runs_all else "skip"
        call.fire_time = fire_time = self._fire_time(until)
        call.tick = Tick(self._label, until)
        name = self._claim_name(call)
        is_free = name is None or fire_times.is_unclaimed(self._manager(), name, fire_time)
        missed = self._times.between(after, until, MAX_MISSED_RECORDED)
        self._skip([time for time in missed if self._pause.covers(time)], PAUSED)
        self._skip([time for time in missed if not self._pause.covers(time)], NO_PROCESS)
        if not is_free:
            return
        if self._spec.misfire == "none" and self._pause.covers(until):
            self._skip([until], PAUSED)
            return
        late = self._scheduler.clock.now() - self._times.due(until)
        if self._spec.misfire == "none" and late > MAX_DELAY_MS:
            self._skip([until], f"missed: more than {MAX_DELAY_MS // 1000} s late")
        elif not self._session.stopping.is_set() and not self._stops(call):
            self._run(call, name, fire_time, launch.launch_id)

    def _fire_time(self, time: int) -> FireTime:
        return LaunchTime(time, self._label) if self._shares_name else time

    def published(self) -> Published:
        """Return what other processes know of it."""
        if self._published is not None and self._published.ended == self._ended:
            return self._published
        self._published = published(
            self._spec,
            name=self.title,
            job=self._job.name,
            run=self.run_name,
            label=self._label,
            shares_run=self._shares_name,
            zone=self._zone,
            since=self._began,
            ended=self._ended,
        )
        return self._published

    def run_now(
        self, take: Callable[[], Action | None], done: Callable[[Outcome | None], None]
    ) -> None:
        """Run the job for the request of an operator, on the pool, and report its outcome.

        Args:
            take: Takes the request, once there is a thread for it; returns None if another daemon
                has taken it. So a daemon whose pool is full leaves it to others.
            done: Called with the outcome, or None if there is none.
        """

        def work(launch: Launch) -> None:
            request = None if self._session.stopping.is_set() else take()
            if request is None:
                return
            details = request.details.get("args")
            args = dict(details) if isinstance(details, Mapping) else {}
            call = JobCall(self._session, self._job, [*self._layers, Layer(args, False)])
            call.launch, call.if_running = launch, "skip"
            call.requested = request.origin
            self.last_begun = self._scheduler.clock.now()
            try:
                with self._session.launches.running(call):
                    call.run()
            finally:
                done(call.outcome)

        self._session.launches.run_on_pool(self._job.name, work)

    def _run(self, call: JobCall, name: str | None, fire_time: FireTime, launch_id: str) -> None:
        managed = self._run_name(call) is not None
        if not self._active.begin(alone=not managed and not self._spec.overlaps):
            self._skip([moment(fire_time)], "the previous run is still active")
            return
        try:
            if name is not None and not managed:
                fire_times.claim(self._manager().state, name, fire_time, launch_id)
            if not managed:
                self.last_begun = self._scheduler.clock.now()
            with self._session.launches.running(call):
                outcome = call.run()
        except errors.FireTimeTaken:
            return
        finally:
            self._active.end()
        if managed and isinstance(outcome.error, STORE_ERRORS) and not outcome.run_ids:
            raise outcome.error

    def _skip(self, fire_times: list[int], reason: str) -> None:
        """Report fire times that are not run, in records too if the job is managed."""
        skipped = []
        try:
            for fire_time in fire_times:
                call = self._call()
                call.fire_time = self._fire_time(fire_time)
                if call.record_not_run("skipped", reason, raising=STORE_ERRORS):
                    skipped.append(fire_time)
        finally:
            if skipped:
                self._log("warn", f"not run for {described(skipped)}: {reason}")

    def _stops(self, call: JobCall) -> bool:
        if (block := self._spec.stop_when) is None:
            return False
        call.render_args()
        if not call.execute(block, call.job):
            return False
        self._ended = True
        with self._lock:
            self._due = 0
        self._log("info", "schedule ended by `stopWhen`")
        return True

    def _suspend(self, span: tuple[int, int] | None, error: errors.ChannelError) -> None:
        pause = self._outage.pause(error)
        with self._lock:
            self._queued = False
            if span is not None and self._handled_until is not None:
                self._handled_until = min(self._handled_until, span[0])
            retry_is_set, self._retry_is_set = self._retry_is_set, True
        if not retry_is_set:
            self._scheduler.call_at(self._scheduler.clock.now() + pause, self._retry)

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

    def _claim_name(self, call: JobCall) -> str | None:
        """Return the name under which servers share the fire times; None if they do not."""
        once = f"job {self._label}" if self._spec.once else None
        return self._run_name(call) or once

    def _run_name(self, call: JobCall) -> str | None:
        try:
            managed = call.managed_run()
        except errors.InvalidJobArgs:
            return None  # the call itself will report it
        return managed[0] if managed else None

    def _call(self) -> JobCall:
        return JobCall(self._session, self._job, self._layers)

    def _manager(self) -> JobManager:
        binding = self._session.binding
        if self._spec.once:
            return binding.required(self._job.name, "`once`")
        binding.init(self._job.name, ManagerConfig(None, None))
        return binding.required(self._job.name, "a schedule")

    def _log(self, level: Level, text: str) -> None:
        self._session.output.log(self._job.name, level, text)
