"""The steps of a job: the code of its `from`, its own, that of its `to`, over one map of args."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ojobchannels.errors import CodeFailed, FireTimeTaken, summary
from ojobchannels.host.synchronous import check_result
from ojobchannels.ojob.args.layers import CallArgs
from ojobchannels.ojob.args.rules import apply_rules
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.load.job_file import Job
from ojobchannels.ojob.process.forks import leave
from ojobchannels.ojob.process.interrupts import Interrupted
from ojobchannels.ojob.run.job_context import JobContext, SkipJob
from ojobchannels.ojob.run.job_host import JobHost
from ojobchannels.ojob.run.managed_runs import Limit


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
            self.runs.own_limit = Limit.of(self.job.timeout)
        self.phase = "from"
        for part in parts(self.session.jobs, self.job, self.args):
            if part is not self.job:
                self.run_step(part)
                continue
            self.phase = "exec"
            self.result = self.run_step(part)
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
        host = JobHost(self, part)
        try:
            with host.each:
                result = _run(block, host, part)
        except FireTimeTaken as error:
            if part.bundled and self.phase == "from":
                reason = "another process runs it for this fire time"
                raise SkipJob(reason, recorded=True, elsewhere=True) from error
            raise
        self.args.values = host.args
        return check_result(part.name, result)


def _run(block: Block, host: JobHost, part: Job) -> Any:
    """Run code of a job; what it raises is an error of the job, and does not end more than that.

    A child that the code has forked ends here, as it must not run the rest of the todo too.
    """
    process = os.getpid()
    error: BaseException | None = None
    try:
        return block.run(host)
    except (Exception, SkipJob, Interrupted) as caught:
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
