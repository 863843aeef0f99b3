"""The errors of the job manager and of job files."""

import os
import warnings
from datetime import UTC, datetime
from typing import NamedTuple

from ojobchannels.errors.channel import ChannelClosed, ChannelError, LockBusy
from ojobchannels.errors.text import quoted
from ojobchannels.printable import printable


class JobError(ChannelError):
    """Root of the errors of the job manager and of job files."""


class UnknownJob(JobError, LookupError):
    """No job with that name is known."""

    def __init__(self, name: str, known: tuple[str, ...], hint: str | None = None) -> None:
        self.name, self.known, self.hint = name, known, hint
        listed = ", ".join(map(repr, known)) or "none"
        meant = f"did you mean {hint!r}? " if hint else ""
        super().__init__(f"unknown job {name!r}; {meant}known jobs: {listed}")


class UnknownLaunch(JobError, LookupError):
    """No durable launch with that identifier is stored."""

    def __init__(self, launch_id: str) -> None:
        self.launch_id = launch_id
        super().__init__(
            f"unknown launch {launch_id!r}: it was never stored, or was removed by `prune`; "
            "`JobManager.launches` returns those that are known"
        )


class LaunchFailed(JobError, RuntimeError):
    """A durable launch ended without a result."""

    def __init__(self, launch_id: str, name: str, state: str, reason: str) -> None:
        self.launch_id, self.name, self.state, self.reason = launch_id, name, state, reason
        why = f": {reason}" if reason else ""
        super().__init__(
            f"launch {launch_id} of job {name!r} ended ({state}){why}; `ojob history {name}` shows "
            "its runs"
        )


class ResultNotKept(JobError, ValueError):
    """A durable launch has completed, but its result could not be stored."""

    def __init__(self, launch_id: str, name: str, reason: str) -> None:
        self.launch_id, self.name, self.reason = launch_id, name, reason
        super().__init__(
            f"the result of launch {launch_id} of job {name!r} is not kept: {reason}; have the job "
            "store it, and return where it is"
        )


class UnknownSchedule(JobError, LookupError):
    """No daemon has published a schedule of that name."""

    def __init__(self, name: str, known: tuple[str, ...], hint: str | None = None) -> None:
        self.name, self.known, self.hint = name, known, hint
        listed = ", ".join(map(repr, known)) or "none"
        meant = f"did you mean {hint!r}? " if hint else ""
        super().__init__(f"unknown schedule {name!r}; {meant}known schedules: {listed}")


class NoDaemon(JobError, RuntimeError):
    """No daemon that is alive has the schedule, or none has reacted."""

    def __init__(
        self, name: str, reason: str, advice: str = "`ojob daemons` shows the daemons"
    ) -> None:
        self.name, self.reason, self.advice = name, reason, advice
        super().__init__(f"{name!r} was not run: {reason}; {advice}")


class RunNotStarted(JobError, RuntimeError):
    """The run to end was not started in this context, or has already ended."""

    def __init__(
        self, what: str, name: str | None, advice: str = "start a run first, and end it only once"
    ) -> None:
        self.what, self.name, self.advice = what, name, advice
        of = f" of {name!r}" if name else ""
        super().__init__(f"{what}: there is no open run{of} here; {advice}")


class RunCancelled(JobError, RuntimeError):
    """A run was cancelled by an operator; its code ends by this error."""

    def __init__(self, name: str, run_id: str, author: str, reason: str) -> None:
        self.name, self.run_id, self.author, self.reason = name, run_id, author, reason
        why = f": {reason}" if reason else ""
        super().__init__(
            f"job {name!r} was cancelled by {author}{why}; `ojob rerun {run_id[:8]}` runs it again"
        )


class WrongRun(JobError, LookupError):
    """A run is not known, or cannot be cancelled or run again as it is now."""

    def __init__(self, run_id: str, reason: str, advice: str) -> None:
        self.run_id, self.reason, self.advice = run_id, reason, advice
        super().__init__(f"run {run_id!r}: {reason}; {advice}")


class JobTimeout(JobError, TimeoutError):
    """A run took longer than its timeout."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds = name, seconds
        super().__init__(
            f"job {name!r} ran longer than its timeout of {seconds:g} s; raise the timeout, or "
            "split the work"
        )


class RunAbandoned(JobError, RuntimeError):
    """A run was found dead: its process did not record an end."""

    def __init__(self, name: str, run_id: str, reason: str) -> None:
        self.name, self.run_id, self.reason = name, run_id, reason
        super().__init__(
            f"run {run_id} of job {name!r} was abandoned: {reason}; see how far it came before the "
            "job runs again"
        )


class JobLocked(JobError, LockBusy):
    """A job of a job file cannot start, because another run of it holds its lock.

    Its attributes are those of `LockBusy`.
    """

    def _text(self) -> str:
        return (
            f"Can't lock to execute job {quoted(self.name)}: its lock is {self.summary()}; the "
            f"lease expires in {self.remaining:.3g} s unless renewed; let that run end, write "
            "`ifRunning: skip` or `ifRunning: wait`, or use `ojob unlock` if its holder is dead"
        )


class RateLimited(JobError, TimeoutError):
    """A run cannot start now, because its job has started as often as its rate limit allows.

    Attributes:
        name: The name of the job.
        limit: The rate limit, such as ``10/1m``.
        remaining: Seconds until the next start may be possible.
        waited: Seconds spent waiting.
    """

    def __init__(self, name: str, limit: str, remaining: float, waited: float) -> None:
        self.name, self.limit, self.remaining, self.waited = name, limit, remaining, waited
        after = f" after waiting {waited:.3g} s" if waited else ""
        super().__init__(
            f"job {quoted(name)} cannot start{after}: {self.summary()}; try again then, wait, or "
            "raise the limit"
        )

    def summary(self) -> str:
        """Return the limit, and when the next start may be possible, without advice."""
        return f"rate limit {self.limit} reached, next start possible in {self.remaining:.3g} s"


class ManagerClosed(JobError, ChannelClosed):
    """The job manager was closed, and takes no work any more.

    Attributes:
        channel: Its channel of run records, which may still be open.
        work: What it does not do, such as ``launch job 'report'``.
    """

    def __init__(self, channel: str, work: str) -> None:
        self.work = work
        super().__init__(channel)

    def _text(self) -> str:
        return (
            f"cannot {self.work}: the job manager on channel {self.channel!r} is closed; do it "
            "before its `close`, or create a new manager"
        )


class CodeFailed(JobError, RuntimeError):
    """Code of a job in another language failed, or raised what is not an `Exception` in Python.

    Attributes:
        where: The file, and the line if it is known.
        reason: The error text of the code, or of the program that runs it.
        advice: What to do; may be empty.
    """

    def __init__(self, where: str, reason: str, advice: str = "") -> None:
        self.where, self.reason, self.advice = where, reason, advice
        super().__init__(f"{where}: {reason}" + (f"; {advice}" if advice else ""))


class CodeFault(JobError, ValueError):
    """Code of a job cannot run; raised by a check before any job runs.

    Attributes:
        reason: What is wrong.
        line: The line, counted as in `ojobchannels.Code`.
        column: The column in that line of the code, counted from 1.
    """

    def __init__(self, reason: str, line: int, column: int = 1) -> None:
        self.reason, self.line, self.column = reason, line, column
        super().__init__(f"line {line}, column {column} of the code: {reason}; fix it there")


class FireTimeTaken(JobError, RuntimeError):
    """The fire time for which a run was to start is already claimed by another run.

    Attributes:
        fire_time: Milliseconds since 1970.
    """

    def __init__(self, name: str, fire_time: int) -> None:
        self.name, self.fire_time = name, fire_time
        when = datetime.fromtimestamp(fire_time / 1000, UTC).isoformat(timespec="milliseconds")
        super().__init__(
            f"the run of job {name!r} for {when.replace('+00:00', 'Z')} was already claimed by "
            "another process; there is nothing to do"
        )


class Diagnostic(NamedTuple):
    """One message about a job file: what is wrong, where, and what to do.

    Attributes:
        file: The path of the file, as it was passed.
        line: Counted from 1; 0 if it concerns the whole file.
        column: Counted from 1; 0 if it concerns the whole file.
        path: The path in the document, such as ``jobs[2].args.timeout``; may be empty.
        message: What is wrong.
        hint: What to do about it; may be empty.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str

    def __str__(self) -> str:
        position = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = "; ".join(part for part in (self.message, self.hint) if part)
        return printable(": ".join(part for part in (position, self.path, text) if part), keep="\t")


class JobFileError(JobError, ValueError):
    """A job file, or a file that it includes, is not valid; no job was run."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        super().__init__("\n".join(map(str, diagnostics)))

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """The diagnostics, under the name that they had in version 0.1; deprecated."""
        warnings.warn(
            "JobFileError.problems is now diagnostics; the old name will be removed in version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.diagnostics


class InvalidJobArgs(JobError, ValueError):
    """Arguments of a job are missing, cannot be read, or refer to an unknown name."""

    def __init__(self, where: str, reason: str, advice: str) -> None:
        self.where, self.reason, self.advice = where, reason, advice
        super().__init__(f"{where}: {reason}; {advice}")


class LogFileUnavailable(JobError, OSError):
    """A log file of a job file cannot be written."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"cannot write the log file {path!r} ({reason}); correct that, or set "
            "another folder in ojob.logToFile.logFolder"
        )


class NoThread(JobError, RuntimeError):
    """The system refuses another thread.

    Attributes:
        purpose: What it was for.
    """

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        advice = "end other programs, or raise the limit of threads (`ulimit -u`)"
        super().__init__(f"no thread can be started for {purpose}; {advice}")


class RunsAlready(JobError, RuntimeError):
    """A job file with ``ojob.unique`` is already running on this host; no job was run.

    Attributes:
        pid: The process that runs it, which may be this process; None if it is not known yet.
    """

    def __init__(self, file: str, pid_file: str, pid: int | None) -> None:
        self.file, self.pid_file, self.pid = file, pid_file, pid
        runner, advice = "another process", "wait for it to end, or stop it"
        if pid == os.getpid():
            runner = "this process"
            advice = "call it after that run has ended, or set another `ojob.unique.pidFile`"
        elif pid:
            runner, advice = f"process {pid}", f"{advice} with `kill {pid}`"
        super().__init__(f"{file} is already running: {runner} holds {pid_file!r}; {advice}")


class JobMisuse(JobError, RuntimeError):
    """A job called a function that is not allowed at that point of its work."""

    def __init__(self, job: str, reason: str, advice: str) -> None:
        self.job, self.reason, self.advice = job, reason, advice
        where = f"job {job!r}: " if job else ""
        super().__init__(f"{where}{reason}; {advice}")


class AlertNotSent(JobError, RuntimeError):
    """A notice of an alert was not accepted by its receiver; it is sent again later.

    Attributes:
        receiver: The receiver.
        reason: Why it was not accepted.
        is_refused: Whether the receiver got this notice and refused it, and may accept others.
    """

    def __init__(self, receiver: str, reason: str, *, is_refused: bool = False) -> None:
        self.receiver, self.reason, self.is_refused = receiver, reason, is_refused
        super().__init__(f"{receiver}: {reason}")
