"""What a job file does after its todo: it runs schedules and watches, and reloads its file."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from queue import Empty, SimpleQueue
from typing import Final, NoReturn

from ojobchannels.errors import ChannelError, InvalidJobArgs, JobFileError
from ojobchannels.host.terminal import local_time
from ojobchannels.host.wakeup import Wakeup
from ojobchannels.manager.local_launches.launcher import SIGNAL_POLL_SECONDS
from ojobchannels.manager.serving.operations import DaemonOperations, Source
from ojobchannels.ojob.daemon.channel_watch import ChannelWatch
from ojobchannels.ojob.daemon.launched_jobs import LaunchTaker
from ojobchannels.ojob.daemon.schedule import FileSchedule, NameCounts
from ojobchannels.ojob.load.job_file import JobFile, ScheduleSpec
from ojobchannels.ojob.process.interrupts import Interrupted
from ojobchannels.ojob.run.job_call import JobCall, bind_alerts
from ojobchannels.ojob.run.session import Session
from ojobchannels.ojob.run.todo import todo_calls

_CLOSE_DEAD_RUNS_SECONDS: Final = 30.0


class Request(Enum):
    """What a daemon is asked to do."""

    STOP = auto()
    RELOAD = auto()


class Control:
    """Stops a daemon from another thread, or makes it reload its file.

    Pass it to `run_file`. A process of its own needs none: it has SIGTERM and SIGHUP for that.

    Example:
        >>> from ojobchannels.ojob import Control
        >>> control = Control()
        >>> control.stop()
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[Request] = SimpleQueue()  # its `put` may interrupt its `get`
        self._wakeup = Wakeup()

    def stop(self) -> None:
        """End the daemon in order, with status 0, after its todo."""
        self._request(Request.STOP)

    def reload(self) -> None:
        """Make the daemon reload its file."""
        self._request(Request.RELOAD)

    def next(self, seconds: float, check: Callable[[], None] = lambda: None) -> Request | None:
        """Wait for the next request, or return None after some seconds; call `check` meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            check()
            with suppress(Empty):  # its `get` with a timeout may never return before Python 3.13
                return self._requests.get_nowait()
            self._wakeup.wait(SIGNAL_POLL_SECONDS)
        return None

    def _request(self, request: Request) -> None:
        self._requests.put(request)
        self._wakeup.set()


class Daemon:
    """The calls of a run that are made after its todo: at fire times, for changes, at its end.

    Args:
        session: The run.
        load: Loads its file again.
        control: Stops it, or makes it reload its file.

    Attributes:
        session: The run, with the latest version of its file.
    """

    def __init__(self, session: Session, load: Callable[[], JobFile], control: Control) -> None:
        self.session = session
        self.shutdown_calls: list[JobCall] = []
        session.stop_daemon = control.stop
        self._load = load
        self._control = control
        self._schedules: list[FileSchedule] = []
        self._names = NameCounts()
        self._previous: list[FileSchedule] = []
        self._began: int | None = None
        self._watches: list[ChannelWatch] = []
        self._taker = LaunchTaker(lambda: self.session)
        self._operations = DaemonOperations(
            lambda: self.session.binding.manager,
            self._source,
            lambda: self._schedules,
            {"take durable launches": lambda _: self._taker.start()},
        )

    def defer(self, call: JobCall) -> bool:
        """Keep a call for its fire times, for changes or for the end; return whether it has any."""
        if call.job.at_end:
            self.shutdown_calls.append(call)
        elif call.job.is_for_now:
            return False
        elif call.job.schedule is not None:
            self._schedule(call, call.job.schedule)
        elif call.job.watched is not None:
            self._watch(call, call.job.watched)
        return True

    @property
    def has_work(self) -> bool:
        """Whether it has schedules, or watches that could be started."""
        return bool(self._schedules or self._watches)

    def close(self) -> None:
        """Publish that it has stopped, once its jobs have ended: until then it is alive."""
        self._taker.close()
        self._operations.close()

    def end_watches(self) -> None:
        """End the watches, and wait for their running calls."""
        for watch in self._watches:
            watch.end()
        for watch in self._watches:
            watch.join()

    def _source(self) -> Source:
        file = self.session.file
        return Source(str((file.folder / file.name).absolute()), file.digest, file.secrets)

    def _schedule(self, call: JobCall, spec: ScheduleSpec) -> None:
        """Start the schedule of a call, or continue that of an earlier version of the file."""
        layers = call.layers[1:]
        schedule = FileSchedule(self.session, call.job, spec, layers, self._began, self._names)
        previous = next((each for each in self._previous if each.name == call.job.name), None)
        if previous is not None:
            self._previous.remove(previous)
            schedule.follow(previous)
        self._schedules.append(schedule)
        schedule.start()

    def _watch(self, call: JobCall, channel: str) -> None:
        ended = [watch for watch in self._watches if watch.ended]
        watch = ChannelWatch(self.session, call, channel, ended)
        try:
            with self.session.daemon_part(f"the subscription of {call.job.name!r}"):
                watch.start()
        except ChannelError as error:
            call.fail(error)
        else:
            self._watches.append(watch)

    def serve(self) -> NoReturn:
        """Run until stopped, and reload the file on request.

        Raises:
            Interrupted: It was stopped.
        """
        self.session.output.log("ojob", "info", f"running until stopped{self._summary()}")
        with self.session.interrupts.shield():
            self._operations.start()
        try:
            self._serve_requests()
        finally:
            self._taker.stop()
        raise Interrupted(signal.SIGTERM)

    def _serve_requests(self) -> None:
        """Handle requests until the one to stop."""
        check = self.session.interrupts.check
        while (request := self._control.next(_CLOSE_DEAD_RUNS_SECONDS, check)) is not Request.STOP:
            if request is Request.RELOAD:
                self._reload()
            elif (manager := self.session.binding.manager) is not None:
                manager._before_reading()

    def _summary(self) -> str:
        """Return what the daemon is running, after a colon."""
        watches = [watch for watch in self._watches if not watch.ended]
        kinds = ((self._schedules, "schedule"), (watches, "subscription"))
        parts = [f"{len(all)} {kind}{'s' * (len(all) > 1)}" for all, kind in kinds if all]
        times = [(time, each.name) for each in self._schedules if (time := each.next_time())]
        if times:
            time, name = min(times)
            parts.append(f"next {name!r} at {local_time(time)}")
        return f": {', '.join(parts)}" if parts else ""

    def _reload(self) -> None:
        """Switch to the present file if it has no errors; active runs continue."""
        output = self.session.output
        try:
            file = self._load()
        except (JobFileError, InvalidJobArgs) as error:
            for each in error.diagnostics if isinstance(error, JobFileError) else (error,):
                output.log("ojob", "error", str(each))
            output.log("ojob", "error", "reload failed; still running the previous version")
            return
        with self.session.interrupts.shield():
            self._switch_to(file)
        output.log("ojob", "info", f"{file.name} reloaded{self._summary()}")

    def _switch_to(self, file: JobFile) -> None:
        for watch in self._watches:
            watch.end()
        self._watches = [watch for watch in self._watches if watch.is_active]
        with self.session.scheduler.cleared() as moment:
            for schedule in self._schedules:
                schedule.end(moment)
            self._previous, self._schedules, self._began = self._schedules, [], moment
            self._names = NameCounts()
            self.session, self.shutdown_calls = self.session.with_file(file), []
            bind_alerts(self.session)
            for call in todo_calls(self.session):
                deps = self.session.file.deps_of(call.job.name)
                blocked = self.session.progress.blocked_reason(deps)
                if blocked is None:
                    self.defer(call)
                elif not call.job.is_for_now:
                    call.cancel("depsfail", blocked)
        self._previous = []
