"""Runs a job file: its todo, each entry after what it depends on, and what the jobs launch."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ojobchannels.ojob.arguments import FlowArgs, Layer, merge
from ojobchannels.ojob.control import Control
from ojobchannels.ojob.daemon import Daemon
from ojobchannels.ojob.flow import Flow, listed
from ojobchannels.ojob.interrupts import Interrupted
from ojobchannels.ojob.launches import waits_for
from ojobchannels.ojob.loading import JobFile, load
from ojobchannels.ojob.managing import INIT, Config, ManagerConfig, Managing
from ojobchannels.ojob.outcomes import RunResult
from ojobchannels.ojob.output import Output
from ojobchannels.ojob.scheduler import Clock
from ojobchannels.ojob.session import Session
from ojobchannels.ojob.steps import parts

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
        LogFileUnavailable: Its log file cannot be written; nothing was run.
        InvalidOption: There is no language `lang`.
    """
    load_again = partial(load, path, places=jobs is None or locks is None, lang=lang)
    file = load_again()
    managing = Managing(ManagerConfig(jobs, locks))
    output = output or Output()
    with telling(file, output):
        session = Session(file, args or {}, output, managing, control, clock)
        return _run(session, load_again)


@contextmanager
def telling(file: JobFile, output: Output) -> Iterator[None]:
    """Has a run told where its file says, besides or in place of the console.

    Raises:
        LogFileUnavailable: The log file cannot be written.
    """
    with ExitStack() as stack:
        if file.log_files is not None:
            from ojobchannels.ojob.logfile import LogFile, LogFiles

            files = LogFile(LogFiles.of(file.log_files))
            stack.enter_context(output.also(files, instead=not file.on_console))
        elif not file.on_console:
            stack.enter_context(output.only())
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
        flow_args = FlowArgs(merge([Layer(job.args, True), given, Layer(call, True)], job.where))
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
        session.scheduler.stop()
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
    _run_todo(daemon)
    if session.daemon and session.managing.failure is None:
        daemon.serve()
    session.scheduler.stop()


def _run_todo(daemon: Daemon) -> None:
    session = daemon.session
    if not session.file.todo:
        session.output.log("ojob", "warn", f"{session.file.name} has no todo: nothing to do")
    flows = session.todo()
    try:
        for flow in flows:
            _run_call(daemon, flow)
    except KeyboardInterrupt:
        session.left_out = [one for one in flows if one.outcome is None and one.job.is_for_now]
        raise


def _run_call(daemon: Daemon, flow: Flow) -> None:
    session = daemon.session
    deps = session.file.deps_of(flow.job.name)
    became = {dep: session.result_in_todo(dep) for dep in deps}
    failed = ((dep, one) for dep, one in became.items() if one and one != "completed")
    obstacle = session.obstacle() or next((waits_for(*one) for one in failed), None)
    try:
        if obstacle is None and daemon.take_up(flow):
            return
        flow.run() if obstacle is None else flow.call_off("depsfail", obstacle)
    finally:
        if flow.outcome is not None:
            session.outcomes.append(flow.outcome)


def _run_at_end(session: Session) -> None:
    """Runs what was put off to the end, in reverse."""
    while session.at_end:
        flow = session.at_end.pop()
        obstacle = session.obstacle()
        session.keep(flow.run() if obstacle is None else flow.call_off("depsfail", obstacle))
    session.launches.wait()


def _wind_up(session: Session) -> None:
    """Sees to what was launched after a first interrupt: what has not begun is called off."""
    session.stopping.set()
    session.scheduler.stop()
    if session.left_out:
        said = f"interrupted: left out of the todo: {listed(session.left_out)}"
        session.output.log("ojob", "warn", said)
    session.launches.call_off()
    if unfinished := session.launches.unfinished():
        said = f"interrupted: waiting for {listed(unfinished)}; interrupt again to leave that"
        session.output.log("ojob", "warn", said)
    session.launches.wait()
