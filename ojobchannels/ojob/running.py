"""Runs a job file: its todo, each entry after what it depends on, and what the jobs launch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojobchannels.ojob.arguments import FlowArgs, Layer, merge
from ojobchannels.ojob.flow import Flow, listed
from ojobchannels.ojob.graphs import in_order
from ojobchannels.ojob.launches import waits_for
from ojobchannels.ojob.loading import JobFile, Todo, load
from ojobchannels.ojob.managing import INIT, Config, ManagerConfig, Managing
from ojobchannels.ojob.outcomes import RunResult
from ojobchannels.ojob.output import Output
from ojobchannels.ojob.session import Session
from ojobchannels.ojob.steps import parts

INTERRUPTED = 130


def run_file(
    path: str | Path,
    args: Mapping[str, Any] | None = None,
    output: Output | None = None,
    jobs: Config = None,
    locks: Config = None,
) -> RunResult:
    """Checks a job file, and runs its todo.

    Called in the main thread, it takes SIGINT and SIGTERM, where nobody else handles them, as a
    wish to stop: what runs in the main thread is recorded as failed, launched jobs that have begun
    are waited for, and nothing new starts. A second signal leaves the launched jobs to themselves.

    Args:
        path: The job file.
        args: Arguments for all jobs that the todo and other jobs call, as from a command line.
        output: Told what happens; the default writes lines to stdout and stderr.
        jobs: Where the run records are, in place of what the file says.
        locks: Where the locks are, in place of what the file says.

    Raises:
        JobFileError: The file is faulty; nothing was run.
    """
    file = load(path, places=jobs is None or locks is None)
    managing = Managing(ManagerConfig(jobs, locks))
    return _run(Session(file, args or {}, output or Output(), managing))


def manager_config(path: str | Path, args: Mapping[str, Any] | None = None) -> ManagerConfig | None:
    """Returns where the manager of a job file keeps its channels, without running anything.

    What counts is the first call of `oJobManager Init`: in the todo, or else in any job.

    Returns:
        None if no job calls it.

    Raises:
        JobFileError: The file is faulty.
        InvalidJobArgs: The configuration needs arguments that were not given.
    """
    file = load(path)
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


def _run(session: Session) -> RunResult:
    interrupted = False
    try:
        with session.interrupts:
            try:
                _run_todo(session)
                session.launches.wait()
            except KeyboardInterrupt:
                interrupted = True
                _wind_up(session)
    except KeyboardInterrupt:
        interrupted = True
        if unfinished := session.launches.unfinished():
            left = tuple(flow.job.name for flow in unfinished)
            return RunResult(INTERRUPTED, tuple(session.outcomes), left)
    except BaseException:
        session.close()
        raise
    session.close()
    failed = session.launches.failed() or any(one.status == "failed" for one in session.outcomes)
    failed = failed or session.managing.failure is not None
    status = INTERRUPTED if interrupted else int(failed)
    return RunResult(status, tuple(session.outcomes))


def _run_todo(session: Session) -> None:
    if not session.file.todo:
        session.output.log("ojob", "warn", f"{session.file.name} has no todo: nothing to do")
    flows = [
        Flow(session, session.jobs[entry.job], [session.given, Layer(call, True)])
        for entry in ordered(session.file)
        for call in entry.calls
    ]
    try:
        for flow in flows:
            _run_call(session, flow)
    except KeyboardInterrupt:
        session.left_out = [flow for flow in flows if flow.outcome is None]
        raise


def _run_call(session: Session, flow: Flow) -> None:
    deps = session.file.deps_of(flow.job.name)
    became = {dep: session.result_in_todo(dep) for dep in deps}
    failed = ((dep, one) for dep, one in became.items() if one and one != "completed")
    obstacle = session.obstacle() or next((waits_for(*one) for one in failed), None)
    try:
        flow.run() if obstacle is None else flow.call_off("depsfail", obstacle)
    finally:
        if flow.outcome is not None:
            session.outcomes.append(flow.outcome)


def _wind_up(session: Session) -> None:
    """Sees to what was launched after a first interrupt: what has not begun is called off."""
    session.stopping.set()
    if session.left_out:
        said = f"interrupted: left out of the todo: {listed(session.left_out)}"
        session.output.log("ojob", "warn", said)
    session.launches.call_off()
    if unfinished := session.launches.unfinished():
        said = f"interrupted: waiting for {listed(unfinished)}; interrupt again to leave that"
        session.output.log("ojob", "warn", said)
    session.launches.wait()


def ordered(file: JobFile) -> list[Todo]:
    """Returns the todo in its order, but for entries that have to wait for others behind them."""
    deps = [set(file.deps_of(entry.job)) for entry in file.todo]
    waits = {
        at: [other for other, entry in enumerate(file.todo) if entry.job in deps[at]]
        for at in range(len(file.todo))
    }
    return [file.todo[at] for at in in_order(waits)]
