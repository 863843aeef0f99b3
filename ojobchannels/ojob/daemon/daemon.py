"""What a job file with ``daemon: true`` does after its todo: waits, and reads its file again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from ojobchannels.errors import ChannelError, InvalidJobArgs, JobFileError
from ojobchannels.ojob.daemon.channel_watch import Watch
from ojobchannels.ojob.daemon.schedule import Schedule
from ojobchannels.ojob.load.job_file import JobFile
from ojobchannels.ojob.load.schedule_spec import ScheduleSpec
from ojobchannels.ojob.process.control import Wish
from ojobchannels.ojob.process.interrupts import Interrupted
from ojobchannels.ojob.run.job_call import Flow
from ojobchannels.ojob.run.session import Session


class Daemon:
    """A run that goes on after its todo, until somebody tells it to stop.

    Attributes:
        session: The run, with its file as it was read last.
    """

    def __init__(self, session: Session, load: Callable[[], JobFile]) -> None:
        self.session = session
        self._load = load
        self._schedules: list[Schedule] = []
        self._before: list[Schedule] = []
        self._began: int | None = None
        self._watches: list[Watch] = []

    def take_up(self, flow: Flow) -> bool:
        """Puts off a call to the times of its job, or to the end; tells whether it has those."""
        if flow.job.at_end:
            self.session.at_end.append(flow)
        elif flow.job.is_for_now:
            return False
        elif not self.session.daemon:
            what = "times" if flow.job.schedule else "changes"
            said = f"its {what} come after the run has ended; write `daemon: true` below `ojob`"
            self.session.output.log(flow.job.name, "warn", said)
        elif flow.job.schedule is not None:
            self._schedule(flow, flow.job.schedule)
        elif flow.job.watched is not None:
            self._watch(flow, flow.job.watched)
        return True

    def end_watches(self) -> None:
        """Ends what is called for changes, and waits for the calls that are on."""
        for watch in self._watches:
            watch.end()
        for watch in self._watches:
            watch.join()

    def _schedule(self, flow: Flow, spec: ScheduleSpec) -> None:
        """Begins the schedule of a call, or goes on with that of an earlier state of the file."""
        schedule = Schedule(self.session, flow.job, spec, flow.layers[1:], self._began)
        before = next((one for one in self._before if one.name == flow.job.name), None)
        if before is not None:
            self._before.remove(before)
            schedule.follow(before)
        self._schedules.append(schedule)
        schedule.start()

    def _watch(self, flow: Flow, channel: str) -> None:
        ended = [one for one in self._watches if one.ended]
        watch = Watch(self.session, flow, channel, ended)
        try:
            watch.start()
        except ChannelError as error:
            flow.fail(error)
        else:
            self._watches.append(watch)

    def serve(self) -> NoReturn:
        """Waits until it is told to stop, and reads the file again when it is told so.

        Raises:
            Interrupted: It is to stop.
        """
        self.session.output.log("ojob", "info", f"goes on until it is stopped{self._tasks()}")
        while self.session.control.next() is Wish.RELOAD:
            self._reload()
        raise Interrupted(signal.SIGTERM)

    def _tasks(self) -> str:
        """Says what it has to do, behind a colon."""
        watches = [one for one in self._watches if not one.ended]
        kinds = ((self._schedules, "schedule"), (watches, "subscription"))
        told = [f"{len(all)} {kind}{'s' * (len(all) > 1)}" for all, kind in kinds if all]
        times = [(time, one.name) for one in self._schedules if (time := one.next_time())]
        if times:
            time, name = min(times)
            at = datetime.fromtimestamp(time / 1000)  # noqa: DTZ006  local, as all that is told
            told.append(f"next {name!r} at {at:%Y-%m-%d %H:%M:%S}")
        return f": {', '.join(told)}" if told else ""

    def _reload(self) -> None:
        """Goes over to the file as it is now, if it checks out; runs that are on go on."""
        output = self.session.output
        try:
            file = self._load()
        except (JobFileError, InvalidJobArgs) as error:
            faults = error.diagnostics if isinstance(error, JobFileError) else (error,)
            for fault in faults:
                output.log("ojob", "error", str(fault))
            output.log("ojob", "error", "the file was not read again: it goes on as it was before")
            return
        with self.session.interrupts.shield():
            self._go_over_to(file)
        output.log("ojob", "info", f"{file.name} was read again{self._tasks()}")

    def _go_over_to(self, file: JobFile) -> None:
        for watch in self._watches:
            watch.end()
        self._watches = [watch for watch in self._watches if watch.is_at_work]
        with self.session.scheduler.cleared() as moment:
            for schedule in self._schedules:
                schedule.end(moment)
            self._before, self._schedules, self._began = self._schedules, [], moment
            self.session = self.session.renewed(file)
            for flow in self.session.todo():
                obstacle = self.session.obstacle_in_todo(flow.job.name)
                if obstacle is None:
                    self.take_up(flow)
                elif not flow.job.is_for_now:
                    flow.call_off("depsfail", obstacle)
        self._before = []
