"""One job that runs at times: which of them are due, and what becomes of each.

Nothing is counted and nothing sleeps: how far a schedule has come is a time, so that a process that
was late, suspended or away knows what it has missed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from ojobchannels.errors import (
    ChannelError,
    ChannelTimeout,
    ChannelUnavailable,
    FireTimeTaken,
    InvalidJobArgs,
    OutcomeUnknown,
)
from ojobchannels.manager import JobManager, Launch, fire_times
from ojobchannels.manager.records import iso
from ojobchannels.ojob.load.job_file import Job
from ojobchannels.ojob.report.events import Level
from ojobchannels.ojob.report.outcomes import describe
from ojobchannels.ojob.run.job_call import Flow
from ojobchannels.ojob.run.manager_binding import ManagerConfig

if TYPE_CHECKING:
    from ojobchannels.ojob.args.layers import Layer
    from ojobchannels.ojob.load.schedule_spec import ScheduleSpec
    from ojobchannels.ojob.run.session import Session

_LATE: Final = 60_000
"""Milliseconds after which a fire time is missed, where missed ones are not run."""

_TOLD: Final = 60
"""So many of the fire times that were missed in a row get a record each."""

_PAUSES: Final = (1_000, 30_000)
_LOST: Final = (ChannelUnavailable, ChannelTimeout, OutcomeUnknown)


class Turns:
    """Counts the runs of a schedule that are on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on = 0

    def begin(self, *, alone: bool) -> bool:
        """Counts a run that begins, unless it is to be alone and is not."""
        with self._lock:
            begins = not (alone and self._on)
            self._on += begins
            return begins

    def end(self) -> None:
        """Counts a run that ends."""
        with self._lock:
            self._on -= 1


class Schedule:
    """Has a job run at its times.

    The scheduler's thread only notes what is due. A task on the pool does the rest: it sees to all
    that is due by then, so there is never more than one of them waiting for a place.

    Args:
        session: The run that it is part of.
        job: The job.
        schedule: Its times.
        layers: The args of each call.
        began: Since when its times count; from now on by default.
    """

    def __init__(
        self,
        session: Session,
        job: Job,
        schedule: ScheduleSpec,
        layers: list[Layer],
        began: int | None = None,
    ) -> None:
        from ojobchannels.ojob.triggers.cron import zone_of

        self._session = session
        self._job = job
        self._timing = schedule
        self._layers = layers
        self._every = schedule.misfire == "all"
        self._trigger = schedule.trigger(zone_of(session.file.timezone))
        self._scheduler = session.scheduler
        self._lock = threading.Lock()
        self._seen_to: int | None = None
        self._began = self._scheduler.clock.now() if began is None else began
        self._due = 0
        self._queued = False
        self._turns = Turns()
        self._ended = False
        self._pause = 0
        self._retries = False
        self._is_ahead = False

    @property
    def name(self) -> str:
        """The name of the job."""
        return self._job.name

    def next_time(self) -> int | None:
        """Returns its next fire time, if it is not over."""
        return None if self._ended else self._trigger.after(self._scheduler.clock.now())

    def follow(self, before: Schedule) -> None:
        """Takes over from the one that was there before its file was read again."""
        self._turns = before._turns

    def start(self) -> None:
        """Begins: fire times from now on are seen to, and those missed before it."""
        self._see_to_times_until(self._began)
        self._await_next()

    def end(self, moment: int) -> None:
        """Ends; what is due until a moment is still seen to."""
        self._see_to_times_until(moment)
        self._ended = True

    def _await_next(self) -> None:
        following = self._trigger.after(self._scheduler.clock.now())
        if following is not None and not self._ended:
            self._scheduler.call_at(following, self._came_due)

    def _came_due(self) -> None:
        self._see_to_times_until(self._scheduler.clock.now())
        self._await_next()

    def _see_to_times_until(self, moment: int) -> None:
        latest = self._trigger.latest(moment)
        with self._lock:
            self._due = max(self._due, latest or 0)
        self._queue()

    def _queue(self) -> None:
        with self._lock:
            if self._queued or self._ended or self._session.stopping.is_set():
                return
            self._queued = True
        try:
            self._session.launches.beside(self._job.name, self._work)
        except BaseException:
            self._queued = False  # there was no thread to be had; the next time may have one
            raise

    def _work(self, launch: Launch) -> None:
        span: tuple[int, int] | None = None
        try:
            if self._seen_to is None:
                self._seen_to = self._begin()
                self._go_on()
            self._tell_if_ahead(self._seen_to)
            while (span := self._take()) is not None:
                self._see_to(launch, *span)
                self._go_on()
        except _LOST as error:
            self._stand_by(span, error)
        except Exception as error:  # noqa: BLE001  the next fire time comes all the same
            self._tell("error", f"its schedule has trouble: {describe(error)}")
            with self._lock:
                self._queued = False

    def _begin(self) -> int:
        """Returns until when all is seen to: where others, or an earlier life, have come to."""
        name = self._claimed(self._flow())
        if name is None:
            return self._began
        return fire_times.last_claimed(self._manager().state, name, self._began, back=self._every)

    def _take(self) -> tuple[int, int] | None:
        """Takes what is due: after which time, and until when; one by one if all are to be run."""
        with self._lock:
            after, until = self._seen_to or 0, self._due
            if self._every:
                following = self._trigger.after(after)
                until = following if following and following <= until else after
            nothing = until <= after or self._session.stopping.is_set()
            self._queued = self._every and not nothing
            if nothing:
                return None
            self._seen_to = until
            return after, until

    def _see_to(self, launch: Launch, after: int, until: int) -> None:
        flow = self._flow()
        flow.launch, flow.fire_time, flow.patient = launch, until, self._every
        name = self._claimed(flow)
        is_free = name is None or fire_times.is_unclaimed(self._manager(), name, until)
        self._pass_over(self._missed(after, until), "nobody was there to run it in time")
        if not is_free:
            return
        if self._timing.misfire == "none" and self._scheduler.clock.now() - until > _LATE:
            self._pass_over([until], "it was too late to run it")
        elif not self._is_to_stop(flow):
            self._run(flow, name, launch.launch_id)

    def _run(self, flow: Flow, name: str | None, launch_id: str) -> None:
        managed = self._managed_name(flow) is not None
        if not self._turns.begin(alone=not managed and not self._timing.overlaps):
            self._pass_over([flow.fire_time or 0], "its last run is not over")
            return
        try:
            if name is not None and not managed:
                fire_times.claim(self._manager().state, name, flow.fire_time or 0, launch_id)
            with self._session.launches.at_work(flow):
                outcome = flow.run()
        except FireTimeTaken:
            return
        finally:
            self._turns.end()
        if managed and isinstance(outcome.error, _LOST) and not outcome.run_ids:
            raise outcome.error

    def _missed(self, after: int, until: int) -> list[int]:
        """Returns the fire times between two, the latest of them if they are many."""
        missed: list[int] = []
        found = self._trigger.latest(until - 1)
        while found is not None and found > after and len(missed) < _TOLD:
            missed.append(found)
            found = self._trigger.latest(found - 1)
        return missed[::-1]

    def _pass_over(self, fire_times: list[int], reason: str) -> None:
        """Tells of fire times that are not run, in records if the job is managed."""
        told = []
        try:
            for fire_time in fire_times:
                flow = self._flow()
                flow.fire_time = fire_time
                if flow.record_not_run("skipped", reason, raising=_LOST):
                    told.append(iso(fire_time))
        finally:
            if told:
                more = f"{len(told)} times from {told[0]} to {told[-1]}"
                some = told[0] if len(told) == 1 else more
                self._tell("warn", f"not run for {some}: {reason}")

    def _is_to_stop(self, flow: Flow) -> bool:
        block = self._timing.stop_when
        if block is None:
            return False
        flow.render_args()
        if not flow.execute(block, flow.job):
            return False
        self._ended = True
        with self._lock:
            self._due = 0
        self._tell("info", "its schedule ends: `stopWhen` says so")
        return True

    def _stand_by(self, span: tuple[int, int] | None, error: ChannelError) -> None:
        if not self._pause:
            self._tell("error", f"its schedule stands by until this is over: {error}")
        self._pause = min(max(2 * self._pause, _PAUSES[0]), _PAUSES[1])
        with self._lock:
            self._queued = False
            if span is not None and self._seen_to is not None:
                self._seen_to = min(self._seen_to, span[0])
            retries, self._retries = self._retries, True
        if not retries:
            self._scheduler.call_at(self._scheduler.clock.now() + self._pause, self._try_again)

    def _try_again(self) -> None:
        self._retries = False
        self._queue()

    def _tell_if_ahead(self, seen_to: int) -> None:
        """Tells once that the clock is behind what is seen to, for nothing runs until then."""
        is_ahead = seen_to > self._scheduler.clock.now() + _LATE
        if is_ahead and not self._is_ahead:
            said = "a clock was ahead, here or on another server, or was set back"
            self._tell("warn", f"its times until {iso(seen_to)} count as over: {said}")
        self._is_ahead = is_ahead

    def _go_on(self) -> None:
        if self._pause:
            self._pause = 0
            self._tell("info", "its schedule goes on")

    def _claimed(self, flow: Flow) -> str | None:
        """Returns the name under which all servers agree on who runs what; None if they do not."""
        once = f"job {self._job.name}" if self._timing.once else None
        return self._managed_name(flow) or once

    def _managed_name(self, flow: Flow) -> str | None:
        try:
            managed = flow.managed()
        except InvalidJobArgs:
            return None  # the call will say so
        return managed[0] if managed else None

    def _flow(self) -> Flow:
        return Flow(self._session, self._job, self._layers)

    def _manager(self) -> JobManager:
        managing = self._session.managing
        if self._timing.once:
            return managing.required(self._job.name, "`once`")
        managing.init(self._job.name, ManagerConfig(None, None))
        return managing.required(self._job.name, "a schedule")

    def _tell(self, level: Level, text: str) -> None:
        self._session.output.log(self._job.name, level, text)
