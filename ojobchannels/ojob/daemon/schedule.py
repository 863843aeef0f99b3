"""The schedule of a job of the file: what its calls are, and which processes share them."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ojobchannels import errors
from ojobchannels.errors import STORE_ERRORS
from ojobchannels.manager import JobManager, Launch
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.schedules import fire_times
from ojobchannels.manager.schedules.fire_times import FireTime, moment
from ojobchannels.manager.schedules.zones import zone_of
from ojobchannels.manager.serving.outage import Level
from ojobchannels.manager.serving.publication import ScheduleNames
from ojobchannels.manager.serving.requested_run import Ended
from ojobchannels.manager.serving.schedule import Schedule
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.daemon.active_runs import ActiveRuns
from ojobchannels.ojob.load.job_file import Job, ScheduleSpec
from ojobchannels.ojob.run.job_call import JobCall
from ojobchannels.ojob.run.manager_binding import ManagerConfig
from ojobchannels.ojob.run.session import Session
from ojobchannels.ojob.run.tick import Tick


class NameCounts:
    """Tells the schedules of a file apart that have one job, or start runs of one name."""

    def __init__(self) -> None:
        self._jobs: Counter[str] = Counter()
        self._titles: Counter[str] = Counter()
        self._runs: set[str] = set()

    def names_of(self, job: str, run: str | None, spec: ScheduleSpec) -> ScheduleNames:
        """Return the names of the next schedule.

        If an earlier one starts runs of the same name, its fire times are claimed separately.
        """
        shares_run = run in self._runs
        label = _numbered(job, self._jobs)
        if run is not None:
            self._runs.add(run)
        return ScheduleNames(
            job=job,
            title=_numbered(run or job, self._titles),
            label=label,
            run=run,
            claims=run or (f"job {label}" if spec.once else None),
            shares_run=shares_run,
        )


class FileSchedule(Schedule):
    """Calls a job of the file at its fire times.

    Args:
        session: The run of the job file.
        job: The job.
        spec: Its fire times and what happens when one is missed.
        layers: The args of each call.
        began: The moment from which its fire times count; None for now.
        counts: The names of the schedules of earlier entries of the todo.
    """

    def __init__(
        self,
        session: Session,
        job: Job,
        spec: ScheduleSpec,
        layers: list[Layer],
        began: int | None,
        counts: NameCounts,
    ) -> None:
        self.session = session
        self.job = job
        self.spec = spec
        self._layers = layers
        self.active = ActiveRuns()
        self._names = counts.names_of(job.name, self.run_name(self.new_call()), spec)
        zone = zone_of(session.file.settings.timezone)
        super().__init__(spec, zone, session.scheduler, began)

    @property
    def names(self) -> ScheduleNames:
        """Its names."""
        return self._names

    def follow(self, previous: Schedule) -> None:
        """Continue an earlier version of this schedule, before this one is started."""
        if isinstance(previous, FileSchedule):
            self.active = previous.active
        super().follow(previous)

    def _run_requested(
        self,
        launch: Launch,
        request: Action,
        args: Mapping[str, Any],
        done: Callable[[Ended | None], None],
    ) -> None:
        call = JobCall(self.session, self.job, [*self._layers, Layer(dict(args), False)])
        call.launch, call.if_running = launch, "skip"
        call.requested = request.origin
        self.note_begun()
        try:
            with self.session.launches.running(call):
                call.run()
        finally:
            done(call.outcome)

    def note_begun(self) -> None:
        """Note that a run of a job without records begins now."""
        self.last_begun = self._scheduler.clock.now()

    def stop(self) -> None:
        """End, because `stopWhen` says so."""
        self._end_now()
        self._log("info", "schedule ended by `stopWhen`")

    def run_name(self, call: JobCall) -> str | None:
        """Return the name of the managed run that a call starts, if any."""
        try:
            managed = call.managed_run()
        except errors.InvalidJobArgs:
            return None  # the call itself will report it
        return managed[0] if managed else None

    def claims_of(self, call: JobCall) -> str | None:
        """Return the name under which servers share the fire times of a call."""
        once = f"job {self.names.label}" if self.spec.once else None
        return self.run_name(call) or once

    def new_call(self) -> JobCall:
        """Return a call of the job."""
        return JobCall(self.session, self.job, self._layers)

    def manager(self) -> JobManager:
        """Return the manager, and open it if no job has."""
        binding = self.session.binding
        if self.spec.once:
            return binding.required(self.job.name, "`once`")
        binding.init(self.job.name, ManagerConfig(None, None))
        return binding.required(self.job.name, "a schedule")

    def _is_stopping(self) -> bool:
        return self.session.stopping.is_set()

    def _submit(self, work: Callable[[Launch], None]) -> None:
        self.session.launches.run_on_pool(self.job.name, work)

    def _manager_if_open(self) -> fire_times.Channels | None:
        return self.session.binding.manager

    def _channels(self) -> fire_times.Channels:
        return self.manager()

    def _claims(self) -> str | None:
        return self.claims_of(self.new_call())

    def _start(self, launch: Launch, time: int, fire_time: FireTime) -> "CallStart":
        call = self.new_call()
        call.launch, call.if_running = launch, "wait" if self._runs_all else "skip"
        call.fire_time, call.tick = fire_time, Tick(self.names.label, time)
        return CallStart(self, call, fire_time, launch.launch_id)

    def _record_skipped(self, fire_time: FireTime, reason: str) -> bool:
        call = self.new_call()
        call.fire_time = fire_time
        return call.record_not_run("skipped", reason, raising=STORE_ERRORS)

    def _log(self, level: Level, text: str) -> None:
        self.session.output.log(self.job.name, level, text)


class CallStart:
    """The call of a job of the file for one fire time.

    Attributes:
        claims: The name under which servers share the fire time; None if they do not.
    """

    def __init__(
        self, schedule: FileSchedule, call: JobCall, fire_time: FireTime, launch_id: str
    ) -> None:
        self._schedule = schedule
        self._call = call
        self._fire_time = fire_time
        self._launch_id = launch_id
        self.claims = schedule.claims_of(call)

    def ends_schedule(self) -> bool:
        """Return whether `stopWhen` ends the schedule now."""
        if (block := self._schedule.spec.stop_when) is None:
            return False
        self._call.render_args()
        if not self._call.execute(block, self._call.job):
            return False
        self._schedule.stop()
        return True

    def run(self) -> None:
        """Claim the fire time, if the job has no records, and call it."""
        schedule, call = self._schedule, self._call
        managed = schedule.run_name(call) is not None
        if not schedule.active.begin(alone=not managed and not schedule.spec.overlaps):
            schedule._skip([moment(self._fire_time)], "the previous run is still active")
            return
        try:
            if not managed:
                if self.claims is not None:
                    state = schedule.manager().state
                    fire_times.claim(state, self.claims, self._fire_time, self._launch_id)
                schedule.note_begun()
            with schedule.session.launches.running(call):
                outcome = call.run()
        finally:
            schedule.active.end()
        if managed and isinstance(outcome.error, STORE_ERRORS) and not outcome.run_ids:
            raise outcome.error


def _numbered(name: str, counts: Counter[str]) -> str:
    """Count a name, and return it with its number if it is not the first."""
    counts[name] += 1
    return name if counts[name] == 1 else f"{name} #{counts[name]}"
