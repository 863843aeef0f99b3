"""Runs a job file: its todo, each entry after what it depends on, and what the jobs launch."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ojobchannels.errors import CodeFailed, JobMisuse
from ojobchannels.ojob.args.layers import CallArgs, Layer, merge
from ojobchannels.ojob.daemon.daemon import Daemon
from ojobchannels.ojob.load.file_help import check_expected
from ojobchannels.ojob.load.job_file import JobFile
from ojobchannels.ojob.load.loader import load
from ojobchannels.ojob.load.manager_jobs import INIT
from ojobchannels.ojob.process.control import Control
from ojobchannels.ojob.process.interrupts import Interrupted
from ojobchannels.ojob.report.console import Output
from ojobchannels.ojob.report.outcomes import RunResult
from ojobchannels.ojob.run.job_call import listed
from ojobchannels.ojob.run.job_steps import parts
from ojobchannels.ojob.run.manager_binding import Config, ManagerConfig, Managing
from ojobchannels.ojob.run.session import Session
from ojobchannels.ojob.run.todo import Agenda
from ojobchannels.ojob.triggers.timer import Clock

INTERRUPTED = 130


def run_file(
    path: str | Path,
    args: Mapping[str, Any] | None = None,
    output: Output | None = None,
    jobs: Config = None,
    locks: Config = None,
    control: Control | None = None,
    clock: Clock | None = None,
    lang: str | None = None,
) -> RunResult:
    """Checks a job file, and runs its todo.

    Called in the main thread, it takes SIGINT and SIGTERM, where nobody else handles them, as a
    wish to stop: what runs in the main thread is recorded as failed, launched jobs that have begun
    are waited for, and nothing new starts. A second signal leaves the launched jobs to themselves.
    A daemon takes SIGHUP as a wish to read its file again.

    Args:
        path: The job file.
        args: Arguments for all jobs that the todo and other jobs call, as from a command line.
        output: Told what happens; the default writes lines to stdout and stderr.
        jobs: Where the run records are, in place of what the file says.
        locks: Where the locks are, in place of what the file says.
        control: Stops a daemon from another thread, or has it read its file again.
        clock: What tells its schedules the time; the clock of the host by default.
        lang: The language of code for which no file says one; Python by default.

    Raises:
        JobFileError: The file is faulty; nothing was run.
        InvalidJobArgs: Arguments that the file expects are missing; nothing was run.
        LogFileUnavailable: Its log file cannot be written; nothing was run.
        RunsAlready: Another run of it goes on, and it is to be the only one; nothing was run.
        InvalidOption: There is no language `lang`.
    """

    def load_again() -> JobFile:
        file = load(path, locations=jobs is None or locks is None, lang=lang)
        check_expected(file.name, file.help, args or {})
        return file

    file = load_again()
    managing = Managing(ManagerConfig(jobs, locks))
    output = output or Output()
    with _alone(file), telling(file, output):
        session = Session(file, args or {}, output, managing, control, clock)
        return _run(session, load_again)


def _alone(file: JobFile) -> AbstractContextManager[None]:
    """Keeps other runs of the file out, if it wants that."""
    if file.unique is None:
        return nullcontext()
    from ojobchannels.ojob.process.pid_file import only_one

    return only_one(file.name, file.unique)


def run_other(session: Session, job: str, path: str, args: Mapping[str, Any]) -> None:
    """Runs another job file as a job: with the args of the job, on the manager's channels.

    What it says of logs, and its `id`, is for runs of its own: the output is that of all jobs here.

    Raises:
        KeyboardInterrupt: The run was interrupted before all of its todo was begun.
        CodeFailed: Jobs of it have failed.
        JobMisuse: It is a daemon.
        JobFileError: The file is faulty.
        InvalidJobArgs: Arguments that it expects are missing.
    """
    given = {name: value for name, value in args.items() if name != "init"}
    file = load(path)
    if file.daemon:
        raise JobMisuse(job, f"{path} is a daemon, which has no end", "start it by itself")
    check_expected(file.name, file.help, given)
    managing, clock = Managing(session.managing.given), session.scheduler.clock
    inner = Session(file, given, session.output, managing, clock=clock)
    inner.interrupts, inner.stopping = session.interrupts, session.stopping
    with _alone(file):
        try:
            _work_on(Daemon(inner, lambda: file))
            if inner.left_out:
                raise KeyboardInterrupt
            inner.launches.wait()
            _run_at_end(inner)
        except KeyboardInterrupt:
            _wind_up(inner)
            raise
        finally:
            inner.close()
    if inner.managing.failure is not None:
        raise inner.managing.failure
    if failed := [one.job for one in inner.outcomes if one.status == "failed"]:
        names = ", ".join(map(repr, dict.fromkeys(failed)))
        raise CodeFailed(path, f"jobs of it have failed: {names}")


@contextmanager
def telling(file: JobFile, output: Output) -> Iterator[None]:
    """Has a run told where its file says, besides or in place of the console.

    Raises:
        LogFileUnavailable: The log file cannot be written.
    """
    with ExitStack() as stack:
        stack.enter_context(output.with_run_id(file.id))
        if file.log_files is not None:
            from ojobchannels.ojob.report.log_file import LogFile, LogFiles

            files = LogFile(LogFiles.of(file.log_files))
            stack.enter_context(output.with_sink(files, replace=not file.log_to_console))
        elif not file.log_to_console:
            stack.enter_context(output.with_sinks())
        yield


def manager_config(path: str | Path, args: Mapping[str, Any] | None = None) -> ManagerConfig | None:
    """Returns where the manager of a job file keeps its channels, without running anything.

    What counts is the first call of `oJobManager Init`: in the todo, or else in any job.

    Returns:
        None if no job calls it.

    Raises:
        JobFileError: The file is faulty; its code is not looked at.
        InvalidJobArgs: The configuration needs arguments that were not given.
    """
    file = load(path, code=False)
    given = Layer(args or {}, False)
    in_todo = ((entry.job, call) for entry in file.todo for call in entry.calls)
    for name, call in [
        *in_todo,
        *((name, {}) for name, job in file.jobs.items() if not job.bundled),
    ]:
        if INIT not in file.parts_of(name):
            continue
        job = file.jobs[name]
        flow_args = CallArgs(
            merge([*file.base, Layer(job.args, True), given, Layer(call, True)], job.where)
        )
        for part in parts(file.jobs, job, flow_args):
            if part.bundled and part.name == INIT:
                return ManagerConfig(
                    flow_args.values.get("chJobs"), flow_args.values.get("chLocks")
                )
    return None


def _run(session: Session, load_again: Callable[[], JobFile]) -> RunResult:
    daemon = Daemon(session, load_again)
    interrupt: KeyboardInterrupt | None = None
    try:
        with session.interrupts:
            try:
                _work_on(daemon)
                session.launches.wait()
            except KeyboardInterrupt as stopped:
                interrupt = stopped
                _wind_up(session)
            daemon.end_watches()
            _run_at_end(daemon.session)
    except KeyboardInterrupt as stopped:
        interrupt = stopped
        session.stop_clocks()
        if unfinished := session.launches.unfinished():
            left = tuple(flow.job.name for flow in unfinished)
            return RunResult(INTERRUPTED, tuple(session.outcomes), left)
    except BaseException:
        session.close()
        raise
    session.close()
    return RunResult(_status(session, interrupt), tuple(session.outcomes))


def _status(session: Session, interrupt: KeyboardInterrupt | None) -> int:
    if interrupt is not None:
        told_to_end = isinstance(interrupt, Interrupted) and interrupt.signal is signal.SIGTERM
        return 0 if session.daemon and told_to_end else INTERRUPTED
    failed = session.launches.failed() or any(one.status == "failed" for one in session.outcomes)
    return int(failed or session.managing.failure is not None)


def _work_on(daemon: Daemon) -> None:
    """Runs the todo; a daemon goes on, unless it could not even open what it needs."""
    session = daemon.session
    if session.daemon:
        session.scheduler.start()
    if session.file.deps_timeout is not None:
        session.deadlines.start()
    if not session.file.todo:
        session.output.log("ojob", "warn", f"{session.file.name} has no todo: nothing to do")
    Agenda(daemon).run()
    if session.daemon and session.managing.failure is None:
        daemon.serve()
    session.scheduler.stop()


def _run_at_end(session: Session) -> None:
    """Runs what was put off to the end, in reverse."""
    session.at_end.sort(key=lambda flow: flow.number)
    while session.at_end:
        flow = session.at_end.pop()
        obstacle = session.obstacle()
        session.keep(flow.run() if obstacle is None else flow.call_off("depsfail", obstacle))
    session.launches.wait()


def _wind_up(session: Session) -> None:
    """Sees to what was launched after a first interrupt: what has not begun is called off."""
    session.stopping.set()
    session.scheduler.stop()
    if session.daemon:
        session.output.log("ojob", "info", "stops; nothing new starts")
    if session.left_out:
        said = f"interrupted: left out of the todo: {listed(session.left_out)}"
        session.output.log("ojob", "warn", said)
    session.launches.call_off()
    if unfinished := session.launches.unfinished():
        said = f"interrupted: waiting for {listed(unfinished)}; interrupt again to leave that"
        session.output.log("ojob", "warn", said)
    session.launches.wait()
