"""One call of a job from its start to its end: what it does when it fails, and what it leaves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal

from ojobchannels.errors import ChannelError, FireTimeTaken, InvalidJobArgs, JobMisuse
from ojobchannels.ojob.args.layers import CallArgs
from ojobchannels.ojob.args.templates import copied
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.load.job_file import Job
from ojobchannels.ojob.load.manager_jobs import END, START
from ojobchannels.ojob.process.interrupts import SkipJob
from ojobchannels.ojob.report.outcomes import Outcome, Status, describe, without_our_frames
from ojobchannels.ojob.run.job_locks import Alone
from ojobchannels.ojob.run.job_steps import Steps, parts
from ojobchannels.ojob.run.managed_runs import for_the_record


class Flow(Steps):
    """One call of a job.

    A run that is still open at the end of the call is closed there, because a lock that nobody is
    going to release would keep everybody else out: as failed, or as skipped if the rest of the job
    was.

    Attributes:
        outcome: What became of it, once it is over.
        number: Which call of the todo it is.
        place: The same in words, where somebody wants to see how far a long todo is.
    """

    outcome: Outcome | None = None
    number = 0
    place = ""
    _began: float | None = None

    def __str__(self) -> str:
        locks = ", ".join(run.name for run in self.runs.open() if run.name != self.job.name)
        return f"{self.job.name!r} ({locks})" if locks else repr(self.job.name)

    def run(self) -> Outcome:
        """Runs the job, and tells what became of it.

        Raises:
            KeyboardInterrupt: It was interrupted; its runs are recorded as failed.
        """
        skip: SkipJob | None = None
        try:
            with self.runs:
                skip = self._work()
        finally:
            with self.session.interrupts.shield():
                self._settle(skip)
                status: Status = "failed" if self.error else "skipped" if skip else "completed"
                reason = skip.reason if skip else None
                seconds = time.monotonic() - self._began if self._began else 0
                outcome = self._tell(status, reason, seconds)
        if isinstance(self.error, KeyboardInterrupt):
            raise self.error
        return outcome

    def fail(self, error: Exception) -> Outcome:
        """Tells that the job cannot even be begun."""
        self.error = without_our_frames(error)
        return self._tell("failed", None, 0)

    def call_off(self, status: Literal["skipped", "depsfail"], reason: str) -> Outcome:
        """Tells that the job does not run, in the records too if it is a managed one."""
        self.record_not_run(status, reason)
        return self._tell(status, reason, 0)

    def _work(self) -> SkipJob | None:
        try:
            with Alone(self):
                return self._steps()
        except SkipJob as skip:
            return skip
        except BaseException as error:  # its lock cannot be had, or was lost
            if self.error is None:
                self._failed(error)
            elif isinstance(error, KeyboardInterrupt):
                raise
            else:
                self._note(describe(error))
        return None

    def _steps(self) -> SkipJob | None:
        self._began = time.monotonic()
        try:
            if not self.job.quiet:
                self.session.output.started(self.job.name, self.place or self._which())
            self.perform()
        except SkipJob as skip:
            return skip
        except BaseException as error:  # noqa: BLE001  whatever the code raises fails its job
            self._failed(error)
        return None

    def _which(self) -> str:
        """Returns what tells a launched call from others of its job, if it is a managed one."""
        with suppress(InvalidJobArgs):
            managed = self.managed() if self.launch is not None else None
            return managed[0] if managed and managed[0] != self.job.name else ""
        return ""

    def _failed(self, error: BaseException) -> None:
        self.error = without_our_frames(error)
        if self.phase != "args" and not isinstance(error, KeyboardInterrupt):
            self._catch()

    def _catch(self) -> None:
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
                self.take(part)
        except KeyboardInterrupt:
            raise
        except BaseException as trouble:  # noqa: BLE001  the job's own error is the one that counts
            self._note(f"its catch failed too: {describe(without_our_frames(trouble))}")

    def _settle(self, skip: SkipJob | None) -> None:
        self.session.directing.give_up(self)
        for run in self.runs.open():
            if skip is None and self.error is None:
                reason = f"it is over, but nobody ended its run {run.name!r}"
                advice = f"put {END!r} under `to`, or call it when the work is done"
                self.error = JobMisuse(self.job.name, reason, advice)
            try:
                if self.error is not None:
                    run.fail(self.error)
                elif skip is not None:
                    run.skip(skip.reason)
            except Exception as trouble:  # noqa: BLE001  an extension may raise anything
                run.give_up(trouble)
                notes = "".join(f"; {note}" for note in getattr(trouble, "__notes__", ()))
                self._note(f"its run {run.name!r} could not be ended: {trouble}{notes}")
        if skip is not None and not skip.recorded and not self.runs.started:
            self.record_not_run("skipped", skip.reason)

    def _note(self, trouble: str) -> None:
        """Tells of trouble beside the error, with it if there is one."""
        if self.error is None:
            self.log("error", trouble)
        else:
            self.error.add_note(trouble)

    def managed(self) -> tuple[str, dict[str, Any]] | None:
        """Returns the name and the args of the managed run that this call would start, if any.

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
        self,
        status: Literal["skipped", "depsfail"],
        reason: str,
        raising: tuple[type[ChannelError], ...] = (),
    ) -> bool:
        """Writes the record of a managed run that does not come about.

        Args:
            status: What became of it.
            reason: Why.
            raising: The trouble with writing it that is raised; other trouble is told.

        Returns:
            Whether this is for us to tell: not if another process has taken the fire time.
        """
        manager = self.session.managing.manager
        try:
            managed = self.managed() if manager else None
            if manager is not None and managed is not None:
                name, args = managed
                manager.record_not_run(
                    name, status, reason, for_the_record(args), fire_time=self.fire_time
                )
        except FireTimeTaken:
            return False
        except ChannelError as trouble:
            if isinstance(trouble, raising):
                raise
            self.log("warn", f"no record is written: {trouble}")
        return True

    def _tell(self, status: Status, reason: str | None, seconds: float) -> Outcome:
        self.outcome = Outcome(
            job=self.job.name,
            status=status,
            reason=describe(self.error) if self.error else reason,
            error=self.error,
            seconds=seconds,
            launched=self.launch is not None,
            run_names=tuple(run.name for run in self.runs.started),
            run_ids=tuple(run.run_id for run in self.runs.started),
        )
        if status != "completed" or not self.job.quiet:
            self.session.output.ended(self.outcome)
        return self.outcome


def listed(flows: Iterable[Flow]) -> str:
    """Names calls of jobs, each with the locks that it holds; like ones once, and how many."""
    counted = Counter(map(str, flows))
    return ", ".join(
        f"{one} ({times} times)" if times > 1 else one for one, times in counted.items()
    )
