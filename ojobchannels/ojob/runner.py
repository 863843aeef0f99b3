"""Runs a job file: loads it, runs its todo and what its jobs launch, and shuts down."""

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

from ojobchannels.errors import CodeFailed, JobMisuse
from ojobchannels.manager.jobs import IfRunning
from ojobchannels.manager.serving.timer import Clock
from ojobchannels.ojob.args.layers import CallArgs, Layer, merge
from ojobchannels.ojob.daemon.again import RunAgain, run_again
from ojobchannels.ojob.daemon.daemon import Control, Daemon
from ojobchannels.ojob.load.file_help import check_expected
from ojobchannels.ojob.load.job_file import INIT, JobFile
from ojobchannels.ojob.load.loader import load
from ojobchannels.ojob.packs.basics import BasicsBridge
from ojobchannels.ojob.packs.director import DirectorBridge
from ojobchannels.ojob.packs.manager import ManagerBridge
from ojobchannels.ojob.packs.queue import QueueBridge
from ojobchannels.ojob.process.interrupts import Interrupted, Interrupts
from ojobchannels.ojob.report.console import Output
from ojobchannels.ojob.report.outcomes import RunResult
from ojobchannels.ojob.run.job_call import bind_alerts, describe_calls, handle_dead_run
from ojobchannels.ojob.run.job_steps import parts
from ojobchannels.ojob.run.launches import LaunchedCall
from ojobchannels.ojob.run.manager_binding import Config, ManagerBinding, ManagerConfig
from ojobchannels.ojob.run.session import Bridges, Session
from ojobchannels.ojob.run.tick import Tick
from ojobchannels.ojob.run.todo import TodoRunner

INTERRUPTED: Final = 130
"""The exit status of a run that was interrupted."""

_BRIDGES: Final[Bridges] = {
    "basics": BasicsBridge,
    "manager": ManagerBridge,
    "queue": QueueBridge,
    "director": DirectorBridge,
}


def run_file(
    path: str | Path,
    args: Mapping[str, Any] | None = None,
    output: Output | None = None,
    jobs: Config = None,
    locks: Config = None,
    control: Control | None = None,
    clock: Clock | None = None,
    lang: str | None = None,
    fallback: Callable[[], tuple[Config, Config]] | None = None,
    if_running: IfRunning | None = None,
    again: RunAgain | None = None,
) -> RunResult:
    """Check a job file, and run its todo.

    Called in the main thread, it shuts down on SIGINT and SIGTERM, unless they have another
    handler: the job in the main thread is recorded as failed, launched jobs that have started are
    waited for, and no new jobs start. A second signal abandons the launched jobs. On SIGHUP a
    daemon reloads its file; another run shuts down.

    Args:
        path: The job file.
        args: Arguments for all jobs that the todo and other jobs call, as from a command line.
        output: Receives what happens; by default it is written to stdout and stderr.
        jobs: The channel of run records, in place of the one that the file names.
        locks: The channel of locks, in place of the one that the file names.
        control: Stops a daemon from another thread, or makes it reload its file.
        clock: The clock of its schedules; by default that of the host.
        lang: The default language of code blocks; by default Python.
        fallback: Returns the channels of a file that configures none.
        if_running: What a managed job does if another run holds its lock, ``fail``, ``skip`` or
            ``wait``, in place of what the file says.
        again: A job that runs instead of the todo, as it did in a past run.

    Raises:
        JobFileError: The file has errors; nothing was run.
        InvalidJobArgs: Arguments that the file expects are missing; nothing was run.
        LogFileUnavailable: Its log file cannot be written; nothing was run.
        RunsAlready: The file has `ojob.unique`, and another run of it is active; nothing was run.
        InvalidOption: There is no language `lang`.
    """
    # Code of the file may change the current folder.
    folder = Path() if Path(path).is_absolute() else Path.cwd()

    def load_file() -> JobFile:
        locations = jobs is None or locks is None
        file = load(path, locations=locations, lang=lang, secrets=True, folder=folder)
        check_expected(file.name, file.help, args or {})
        file.known_args.check("command line", args or {}, "no job reads the arg `{}`")
        return file

    file = load_file()
    channels = ManagerConfig(jobs, locks)
    if fallback is not None and not any(_config_of(file, args) or ()):
        channels = ManagerConfig(*fallback())
    control, output = control or Control(), output or Output()
    interrupts = Interrupts(control.reload if file.lasts and again is None else None)
    with _single_instance(file), _output_configured(file, output):
        binding = ManagerBinding(channels, if_running, file.settings.output.limits)
        session = Session(
            file, args or {}, output, binding, interrupts, _BRIDGES, _run_nested_file, clock
        )
        return _FileRun(session, load_file, control, again).run()


def _run_nested_file(
    outer: Session, job: str, path: str, args: Mapping[str, Any], tick: Tick | None
) -> None:
    """Run another job file as a job: with the args of the job, on the manager's channels.

    Its own log settings and its `ojob.id` do not apply: it reports to the output of the outer run.

    Raises:
        Interrupted: The run was interrupted before its whole todo was started.
        CodeFailed: Jobs of the file have failed.
        JobMisuse: The file is a daemon.
        JobFileError: The file has errors.
        InvalidJobArgs: Arguments that the file expects are missing.
    """
    args = {name: value for name, value in args.items() if name != "init"}
    file = load(path, secrets=True, folder=outer.file.folder)
    if file.lasts:
        reason = f"{path} runs until it is stopped, and so never ends"
        raise JobMisuse(job, reason, "start it on its own")
    check_expected(file.name, file.help, args)
    session = Session(
        file,
        args,
        outer.output,
        ManagerBinding(
            outer.binding.overrides, outer.binding.if_running, file.settings.output.limits
        ),
        outer.interrupts,
        _BRIDGES,
        _run_nested_file,
        outer.scheduler.clock,
        outer.stopping,
    )
    session.tick = tick
    run = _FileRun(session, lambda: file, Control())
    with _single_instance(file):
        try:
            run.run_todo()
            if run.todo.not_started:
                raise Interrupted
            session.launches.wait()
            run.run_shutdown_jobs()
        except KeyboardInterrupt:
            run.shut_down()
            raise
        finally:
            session.close()
    if session.binding.failure is not None:
        raise session.binding.failure
    outcomes = session.progress.outcomes
    if failed := [outcome.job for outcome in outcomes if outcome.status == "failed"]:
        names = ", ".join(map(repr, dict.fromkeys(failed)))
        raise CodeFailed(path, f"these jobs failed: {names}")


def _single_instance(file: JobFile) -> AbstractContextManager[None]:
    """Keep other runs of the file out, if it has `ojob.unique`."""
    if file.settings.unique is None:
        return nullcontext()
    from ojobchannels.ojob.process.pid_file import pid_file_held  # fcntl: not on Windows

    return pid_file_held(file.name, file.settings.unique.pid_file)


@contextmanager
def _output_configured(file: JobFile, output: Output) -> Iterator[None]:
    """Report to the log files of the job file too, or instead of the console.

    Raises:
        LogFileUnavailable: The log file cannot be written.
    """
    settings = file.settings
    with ExitStack() as stack:
        stack.enter_context(output.with_run_id(settings.id))
        if settings.log_to_file is not None:
            from ojobchannels.ojob.report.log_file import LogFile, LogFiles  # fcntl, likewise

            files = LogFile(LogFiles(settings.log_to_file))
            stack.enter_context(output.with_sink(files, replace=not settings.writes_to_console))
        elif not settings.writes_to_console:
            stack.enter_context(output.with_sinks())
        yield


def manager_config(path: str | Path, args: Mapping[str, Any] | None = None) -> ManagerConfig | None:
    """Return the channel configurations of a job file's manager, without running anything.

    They are those of the first call of `oJobManager Init`: in the todo, or else in any job.

    Returns:
        None if no job calls it.

    Raises:
        JobFileError: The file has errors; its code is not checked.
        InvalidJobArgs: The configuration needs arguments that are missing.
    """
    return _config_of(load(path, code=False), args)


def _config_of(file: JobFile, args: Mapping[str, Any] | None) -> ManagerConfig | None:
    command_line = Layer(args or {}, False)
    in_todo = [(entry.job, call) for entry in file.todo for call in entry.calls]
    others = [(name, dict[str, Any]()) for name, job in file.jobs.items() if not job.bundled]
    for name, call in [*in_todo, *others]:
        if INIT not in file.parts_of(name):
            continue
        job = file.jobs[name]
        layers = [*file.base, Layer(job.args, True), command_line, Layer(call, True)]
        call_args = CallArgs(merge(layers, job.where))
        for part in parts(file.jobs, job, call_args):
            if part.bundled and part.name == INIT:
                values = call_args.values
                return ManagerConfig(values.get("chJobs"), values.get("chLocks"))
    return None


class _FileRun:
    """One run of a loaded job file: its todo, then its schedules, then its shutdown jobs."""

    def __init__(
        self,
        session: Session,
        load: Callable[[], JobFile],
        control: Control,
        again: RunAgain | None = None,
    ) -> None:
        self._session = session
        self._again = again
        if session.file.catch or session.file.handler:
            session.binding.on_dead_run = partial(handle_dead_run, session)
        bind_alerts(session)
        self._daemon = Daemon(session, load, control)
        self.todo = TodoRunner(session, self._daemon.defer)

    def run(self) -> RunResult:
        """Run the file, handling signals, and return the result."""
        try:
            return self._run()
        finally:
            self._daemon.close()

    def _run(self) -> RunResult:
        session = self._session
        interrupt: KeyboardInterrupt | None = None
        try:
            with session.interrupts:
                try:
                    self.run_todo()
                    session.launches.wait()
                except KeyboardInterrupt as error:
                    interrupt = error
                    session.interrupts.take()
                    self.shut_down()
                self._daemon.end_watches()
                self.run_shutdown_jobs()
                self._daemon.close()
        except KeyboardInterrupt as error:
            interrupt = error
            session.stop_timers()
            if unfinished := session.launches.unfinished():
                return self._left(INTERRUPTED, unfinished)
        except BaseException:
            session.close()
            raise
        if hanging := session.launches.hanging():
            session.stop_timers()
            return self._left(self._status(interrupt), hanging)
        session.close()
        return RunResult(self._status(interrupt), tuple(session.progress.outcomes))

    def _left(self, status: int, calls: Iterable[LaunchedCall]) -> RunResult:
        names = tuple(call.job.name for call in calls)
        return RunResult(status, tuple(self._session.progress.outcomes), names)

    def run_todo(self) -> None:
        """Run the todo; then serve, as a daemon or if calls wait, unless the manager is missing."""
        session = self._session
        if self._again is not None:
            run_again(session, self._again)
            return
        with session.interrupts.shield():  # an interrupt while a thread starts breaks it
            if session.daemon:
                session.scheduler.start()
            if session.file.settings.deps_timeout is not None:
                session.deadlines.start()
        if not session.file.todo:
            session.output.log("ojob", "warn", f"{session.file.name} has no todo: nothing to do")
        self.todo.run()
        is_daemon = session.file.settings.daemon or self._daemon.has_work
        if is_daemon and session.binding.failure is None:
            self._daemon.serve()
        session.scheduler.stop()

    def run_shutdown_jobs(self) -> None:
        """Run the jobs of type `shutdown`, in reverse order."""
        calls = self._daemon.shutdown_calls
        calls.sort(key=lambda call: call.number)
        progress = self._session.progress
        while calls:
            call = calls.pop()
            blocked = progress.blocked_reason()
            progress.record(call.run() if blocked is None else call.cancel("depsfail", blocked))
        self._session.launches.wait()

    def shut_down(self) -> None:
        """After an interrupt, cancel the launches that have not started, and wait for the rest."""
        session, log = self._session, self._session.output.log
        session.stopping.set()
        session.scheduler.stop()
        if session.daemon:
            log("ojob", "info", "shutting down; no new jobs will start")
        if not_started := describe_calls(self.todo.not_started):
            log("ojob", "warn", f"interrupted: not started: {not_started}")
        session.launches.cancel()
        if names := describe_calls(session.launches.unfinished()):
            text = f"interrupted: waiting for {names}; interrupt again to abandon them"
            log("ojob", "warn", text)
        session.launches.wait()

    def _status(self, interrupt: KeyboardInterrupt | None) -> int:
        session = self._session
        if session.dead_parts:
            return 1
        if interrupt is not None:
            by_sigterm = isinstance(interrupt, Interrupted) and interrupt.signal is signal.SIGTERM
            return 0 if session.daemon and by_sigterm else INTERRUPTED
        failed = any(outcome.status == "failed" for outcome in session.progress.outcomes)
        return int(failed or session.launches.failed() or session.binding.failure is not None)
