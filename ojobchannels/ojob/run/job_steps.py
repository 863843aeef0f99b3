"""The steps of a job: the code of its `from`, its own, that of its `to`, over one map of args."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from ojobchannels.errors import (
    ChannelError,
    CodeFailed,
    FireTimeTaken,
    JobError,
    summary,
)
from ojobchannels.host.synchronous import check_result
from ojobchannels.manager.local_launches.pool import start, this_slot
from ojobchannels.ojob.args.layers import CallArgs
from ojobchannels.ojob.args.rules import apply_rules
from ojobchannels.ojob.code.python import Block, Isolated, Python
from ojobchannels.ojob.load.job_file import START, Job
from ojobchannels.ojob.process.forks import leave
from ojobchannels.ojob.process.interrupts import Interrupted
from ojobchannels.ojob.process.time_limit import TimeLimit, TimeUp
from ojobchannels.ojob.run.job_context import JobContext, SkipJob
from ojobchannels.ojob.run.job_host import JobHost
from ojobchannels.ojob.run.started_runs import Limit


def parts(jobs: Mapping[str, Job], job: Job, args: CallArgs) -> Iterator[Job]:
    """Yield the jobs whose code makes up a job, each after its own args were added to `args`."""
    waiting: list[tuple[Job, frozenset[str] | None]] = [(job, frozenset())]
    while waiting:
        step, above = waiting.pop()
        if above is None:
            yield step
            continue
        above = args.add_defaults(step.args, above, step.where)
        ahead = [*((jobs[name], above) for name in step.before), (step, None)]
        waiting += reversed([*ahead, *((jobs[name], above) for name in step.after)])


class JobSteps(JobContext):
    """Runs the code that makes up one job."""

    def run_steps(self) -> None:
        """Render the args, then run `from`, `exec` and `to`.

        Raises:
            SkipJob: The state of the run, or a step under `from`, skips the rest.
            BaseException: Whatever the code raises.
        """
        self._check_state()
        self.render_args()
        if self.job.timeout is not None:
            self.runs.own_limit = Limit.of(self.job.timeout, self.job.on_timeout or "fail")
        if START not in self.session.file.parts_of(self.job.name):
            self.begin()
        self.phase = "from"
        for part in parts(self.session.jobs, self.job, self.args):
            if part is not self.job:
                self.run_step(part)
                continue
            self.begin()
            self.phase = "exec"
            self.result = self.returned = self.run_step(part)
            self.phase = "to"
        if self.result is None:
            self.result = self.args.values

    def _check_state(self) -> None:
        state = self.session.progress.state
        if self.job.when and state not in self.job.when:
            states = " or ".join(map(repr, self.job.when))
            raise SkipJob(f"the state of the run is {state!r}, not {states}")

    def run_step(self, part: Job) -> Any:
        """Run the code of a part, or its job file, between its rules for args."""
        apply_rules(part.rules_in, self.args.values, part.where)
        result = self.execute(part.body, part)
        if part.file is not None:
            self.session.run_file(self.session, part.name, part.file, self.args.values, self.tick)
        apply_rules(part.rules_out, self.args.values, part.where)
        return result

    def execute(self, block: Block | None, part: Job) -> Any:
        """Run a block of code of a part, if there is one, and return what it returns."""
        if block is None:
            return None
        if self.phase in ("from", "exec"):
            self.session.interrupts.check()
        self.secrets = self.find_secrets()  # once, because a job may log very many lines
        is_python = isinstance(block.program, Python)
        host = JobHost(self, part, python=is_python)
        try:
            with host.each:
                limited = is_python and not part.bundled
                result = self._limited(block, host, part) if limited else _run(block, host, part)
        except FireTimeTaken as error:
            if part.bundled and self.phase == "from":
                reason = "another process runs it for this fire time"
                raise SkipJob(reason, recorded=True, elsewhere=True) from error
            raise
        self.args.values = host.args
        return check_result(part.name, result)

    def _limited(self, block: Block, host: JobHost, part: Job) -> Any:
        """Run Python code that is to end when a time limit is over, if there is one."""
        limits = self.runs.limits(python=True)
        if not limits:
            return self._warned(block, host, part)
        if any(limit.action == "kill" for limit in limits):
            return _run(block.isolated(self.session.file.modules, part.where), host, part)
        error = host.overdue()
        slot = this_slot()
        limit = TimeLimit(host.remaining() or 0, lambda: self._release(error, slot))
        try:
            try:
                with self.session.interrupts.shield():  # one while a thread starts breaks it
                    limit.start()
                result = _run(block, host, part)
            finally:
                limit.close()
        except TimeUp:
            if not limit.fired:  # it is that of the calling job
                raise
        finally:
            if limit.hangs:
                slot.__exit__(None, None, None)
                self.session.launches.return_from_hang(self)
        if limit.fired:
            raise error
        return result

    def _warned(self, block: Block, host: JobHost, part: Job) -> Any:
        """Run code, and warn when the job's own time limit is over, if it is to do only that."""
        own = self.runs.own_limit
        if own is None or own.action != "warn":
            return _run(block, host, part)
        text = f"it runs longer than its timeout of {own.seconds:g} s"
        timer = threading.Timer(
            min(own.remaining(), threading.TIMEOUT_MAX), self.log, ("warn", text)
        )
        timer.daemon = True  # an interrupt may come before its cancellation
        with self.session.interrupts.shield():
            start(timer, "a time limit")
        try:
            return _run(block, host, part)
        finally:
            timer.cancel()
            timer.join()

    def _release(self, error: JobError, slot: AbstractContextManager[None]) -> None:
        """End the runs and locks of code that does not react to its time limit.

        Other jobs use the slot of its thread meanwhile.
        """
        slot.__enter__()
        for run in self.runs.open():
            with suppress(ChannelError):
                run.fail(error)
        for lease in self.leases:
            lease._give_up()
        self.session.launches.hang(self, self.launch, error)
        text = f"{error}. Its code does not react: its locks are released, but it may still be at "
        self.log("error", f"{text}work; `onTimeout: kill` ends such code")


def _run(block: Block | Isolated, host: JobHost, part: Job) -> Any:
    """Run code of a job; what it raises is an error of the job, and does not end more than that.

    A child that the code has forked ends here, as it must not run the rest of the todo too.
    """
    process = os.getpid()
    error: BaseException | None = None
    try:
        return block.run(host)
    except (Exception, SkipJob, Interrupted, TimeUp) as caught:
        error = caught
        raise
    except BaseException as caught:
        error = caught
        reason = f"it raised {summary(caught)}"
        advice = "raise an Exception to fail a job, and end its code with `return`"
        failed = CodeFailed(part.where, reason, advice)
        raise failed.with_traceback(caught.__traceback__) from caught
    finally:
        if os.getpid() != process:
            leave(error)
