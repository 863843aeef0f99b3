"""One call of a job from its start to its end: its outcome, its error handlers, its open runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from ojobchannels.errors import (
    ChannelError,
    FireTimeTaken,
    InvalidJobArgs,
    RunAbandoned,
    add_note,
    notes_of,
    safe_str,
)
from ojobchannels.hookspecs import MISSING
from ojobchannels.manager import Launch
from ojobchannels.masking import masked
from ojobchannels.ojob.args.known_args import KnownArgs
from ojobchannels.ojob.args.layers import CallArgs, Layer
from ojobchannels.ojob.args.templates import copied
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.load.job_file import END, INIT, START, Job
from ojobchannels.ojob.process.interrupts import Interrupted
from ojobchannels.ojob.report.outcomes import NotRun, Outcome, Status, describe, without_our_frames
from ojobchannels.ojob.run.job_context import SkipJob
from ojobchannels.ojob.run.job_locks import JobLocks
from ojobchannels.ojob.run.job_steps import JobSteps, parts
from ojobchannels.ojob.run.session import Session
from ojobchannels.ojob.run.started_runs import record_args


class CallableJob(JobSteps):
    """A job whose code can call and launch other jobs."""

    def call(self, name: str, args: Mapping[str, Any]) -> Any:
        """Run another job now, and return its result."""
        job = self.session.find(name)
        if job.bundled:
            self._check_args(job, args)
            helper = CallableJob(self.session, job, [Layer(args, False)], self.launch)
            helper.caller, helper.runs, helper.error = self.caller, self.runs, self.error
            helper.leases, helper.tick = self.leases, self.tick
            helper.if_running, helper.secrets = self.if_running, self.secrets
            helper.run_steps()
            return None if helper.result is MISSING else helper.result
        call = self._new_call(job, args)
        outcome = call.run()
        if outcome.error is not None:
            raise outcome.error
        return call.result if outcome.status == "completed" else None

    def _check_args(self, job: Job, args: Mapping[str, Any]) -> None:
        """Check the args of a bundled job; those that this job passes on may be any."""
        parts = self.session.file.parts_of(job.name)
        known = KnownArgs.joined(map(KnownArgs.of_pack_job, parts))
        own = [name for name in args if name not in self.args.values]
        known.check(f"job {self.caller!r}", own, f"{job.name!r} has no arg `{{}}`")

    def launch_job(self, name: str, args: Mapping[str, Any]) -> Launch:
        """Run another job on the pool, and return a handle at once."""
        session = self.session
        session.interrupts.check()
        call = self._new_call(session.find(name), args)
        with session.interrupts.shield():
            deps, warn = session.file.deps_of(name), partial(self.log, "warn")
            return session.launches.submit(call, deps, self.launches, warn)

    def _new_call(self, job: Job, args: Mapping[str, Any]) -> JobCall:
        call = JobCall(self.session, job, [self.session.command_line, Layer(args, False)])
        call.tick = self.tick
        if self.tick is not None:
            call.if_running = self.if_running
        return call


class JobCall(CallableJob):
    """One call of a job.

    A run that is still open at the end of the call ends with it, as the job did: if its lock were
    never released, no other run could start.

    Attributes:
        number: The number of the call in the todo.
        position: The same as text, where a long todo shows its progress.
    """

    outcome: Outcome | None = None
    number = 0
    position = ""
    _began: float | None = None

    def __str__(self) -> str:
        locks = ", ".join(run.name for run in self.runs.open() if run.name != self.job.name)
        return f"{self.job.name!r} ({locks})" if locks else repr(self.job.name)

    def run(self) -> Outcome:
        """Run the job, and report its outcome.

        Raises:
            Interrupted: It was interrupted; its runs are recorded as failed.
        """
        self.session.interrupts.check()
        skip: SkipJob | None = None
        try:
            with self.runs:
                skip = self._run_with_locks()
        finally:
            with self.session.interrupts.shield():
                self._close_runs(skip)
                status = _status(self.error, skip)
                reason = skip.reason if skip else None
                seconds = time.monotonic() - self._began if self._began else 0
                outcome = self._report(status, reason, seconds, bool(skip and skip.elsewhere))
        if isinstance(self.error, Interrupted):
            raise self.error
        return outcome

    def fail(self, error: Exception) -> Outcome:
        """Report that the job could not even start."""
        self.error = without_our_frames(error)
        return self._report("failed", None, 0)

    def cancel(self, status: NotRun, reason: str) -> Outcome:
        """Report that the job does not run, in a run record too if it is a managed job."""
        self.record_not_run(status, reason)
        return self._report(status, reason, 0)

    def leave(self, reason: str) -> Outcome:
        """Report that the job is left to another process, which keeps the record."""
        return self._report("skipped", reason, 0, elsewhere=True)

    def _run_with_locks(self) -> SkipJob | None:
        try:
            with JobLocks(self):
                return self._run_and_catch()
        except SkipJob as skip:
            return skip
        except BaseException as error:  # a lock could not be acquired, or was lost
            if self.error is None:
                self._failed(error)
            elif isinstance(error, Interrupted):
                raise
            else:
                self._note(describe(error))
        return None

    def _run_and_catch(self) -> SkipJob | None:
        self._began = time.monotonic()
        try:
            if self.attempt is None:
                self.report_started()
            self.run_steps()
        except SkipJob as skip:
            return skip
        except BaseException as error:  # noqa: BLE001  whatever the code raises fails its job
            self._failed(error)
        return None

    def report_started(self) -> None:
        """Report that the job has started."""
        if not self.job.quiet:
            self.session.output.started(self.job.name, self.position or self._run_name())

    def _run_name(self) -> str:
        """Return the name of a launched call's managed run, if it differs from the job's."""
        with suppress(InvalidJobArgs):
            managed = self.managed_run() if self.launch is not None else None
            return managed[0] if managed and managed[0] != self.job.name else ""
        return ""

    def _failed(self, error: BaseException) -> None:
        self.error = without_our_frames(error)
        if self.phase != "args" and not isinstance(error, Interrupted):
            self.run_handlers()

    def run_handlers(self) -> None:
        """Run what is under `catch`."""
        self.phase = "catch"
        for name in self.job.catch:
            self._handle(self.session.jobs[name])
        if self.job.handler is not None:
            self._handle(self.job.handler)

    def _handle(self, handler: Job | Block) -> None:
        try:
            if isinstance(handler, Block):
                self.execute(handler, self.job)
                return
            for part in parts(self.session.jobs, handler, self.args):
                self.run_step(part)
        except Interrupted:
            raise
        except BaseException as error:  # noqa: BLE001  the job's own error is the one that counts
            self._note(f"its `catch` failed too: {describe(without_our_frames(error))}")

    def _close_runs(self, skip: SkipJob | None) -> None:
        self.session.executions.abandon(self)
        for run in self.runs.open():
            try:
                if self.error is not None:
                    run.fail(self.error)
                elif skip is not None:
                    run.skip(skip.reason)
                else:
                    self.log(
                        "warn", f"its run {run.name!r} ends with the job; put {END!r} under `to`"
                    )
                    run.end()
            except Exception as error:  # noqa: BLE001  an extension may raise anything
                run._give_up(error)
                if skip is None and self.error is None:
                    self.error = without_our_frames(error)
                    continue
                why = "; ".join([safe_str(error), *notes_of(error)])
                self._note(f"run {run.name!r} could not be ended: {why}")
        if skip is not None and not skip.recorded and not self.runs.started:
            self.record_not_run("skipped", skip.reason)

    def _note(self, text: str) -> None:
        """Add a note to the job's error; without one, log it as an error."""
        if self.error is None:
            self.log("error", text)
        else:
            add_note(self.error, text)

    def managed_run(self) -> tuple[str, dict[str, Any]] | None:
        """Return the name and the args of the managed run that this call starts, if any.

        Raises:
            InvalidJobArgs: A template cannot be rendered.
        """
        if START not in self.session.file.parts_of(self.job.name):
            return None
        if self.phase == "args":
            self.render_args()
        args = CallArgs(copied(self.args.values))
        for part in parts(self.session.jobs, self.job, args):
            name = args.values.get("name")
            if part.bundled and part.name == START and isinstance(name, str):
                return name, args.values
        return None

    def record_not_run(
        self, status: NotRun, reason: str, raising: tuple[type[ChannelError], ...] = ()
    ) -> bool:
        """Write the record of a managed run that does not start.

        Args:
            status: Its status.
            reason: Why it does not start.
            raising: The errors of writing that are raised; others are logged as warnings.

        Returns:
            Whether this process should report it: not if another one has taken the fire time.
        """
        manager = self.session.binding.manager
        try:
            managed = self.managed_run() if manager else None
            if manager is not None and managed is not None:
                name, args = managed
                kept = masked(record_args(args), self.session.file.secrets)
                manager._record_not_run(name, status, reason, kept, fire_time=self.fire_time)
        except FireTimeTaken:
            return False
        except ChannelError as error:
            if isinstance(error, raising):
                raise
            self.log("warn", f"no record was written: {error}")
        return True

    def _report(
        self, status: Status, reason: str | None, seconds: float, elsewhere: bool = False
    ) -> Outcome:
        self.outcome = Outcome(
            job=self.job.name,
            status=status,
            reason=reason if self.error is None else describe(self.error),
            error=self.error,
            secrets=self.find_secrets() if self.error is not None or reason else frozenset(),
            seconds=seconds,
            launched=self.launch is not None,
            elsewhere=elsewhere,
            run_names=tuple(run.name for run in self.runs.started),
            run_ids=tuple(run.run_id for run in self.runs.started),
        )
        is_put_back = self.attempt is not None and self.attempt.busy is not None
        if not (is_put_back or (status == "completed" and self.job.quiet)):
            self.session.output.ended(self.outcome)
        return self.outcome


def handle_dead_run(session: Session, record: Mapping[str, Any]) -> None:
    """Run what is under `ojob.catch` for a run that was found dead, with the args of that run."""
    file = session.file
    job = replace(session.jobs[INIT], name=record["name"], bundled=False)
    job = replace(job, catch=file.catch, handler=file.handler)
    call = JobCall(session, job, [Layer(record["args"], False)])
    call.render_args()
    call.error = error = RunAbandoned(record["name"], record["runId"], record["error"])
    call.run_handlers()
    for note in notes_of(error):
        call.log("error", note)


def bind_alerts(session: Session) -> None:
    """Have the manager of a session report the events that its file names, from now on."""
    binding = session.binding
    binding.alerts = session.file.alerts
    binding.launch_alert = partial(_launch_alert, session)
    if binding.manager is not None:
        binding.manager.alerts.replace(binding.alerts)


def _launch_alert(session: Session, name: str, notice: Mapping[str, Any]) -> Launch:
    layers = [session.command_line, Layer({"notice": notice}, False)]
    call = JobCall(session, session.find(name), layers)
    deps = session.file.deps_of(name)
    return session.launches.submit(call, deps, {}, partial(call.log, "warn"))


def _status(error: BaseException | None, skip: SkipJob | None) -> Status:
    if error is not None:
        return "failed"
    return "completed" if skip is None else "skipped"


def describe_calls(calls: Iterable[object]) -> str:
    """Return the names of job calls, each with its locks; equal ones once, with their number."""
    counted = Counter(map(str, calls))
    return ", ".join(
        f"{name} ({count} times)" if count > 1 else name for name, count in counted.items()
    )
