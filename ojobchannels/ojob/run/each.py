"""``each(args)``: the code of a job calls the jobs listed under its `each`, in parallel."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ojobchannels.errors import JobMisuse, add_note
from ojobchannels.manager.local_launches.launcher import SIGNAL_POLL_SECONDS, Launch, Launcher
from ojobchannels.ojob.load.job_file import Job
from ojobchannels.ojob.run.job_context import JobContext


class EachCalls:
    """The calls of ``each`` in one block of code, which ends when all of them have ended.

    Entered around the block. The first call starts the threads.
    """

    def __init__(self, context: JobContext, job: Job) -> None:
        self._context = context
        self._job = job
        self._launcher: Launcher | None = None
        self._launches: list[Launch] = []

    def __call__(self, args: Mapping[str, Any] | None = None, name: str | None = None) -> None:
        """Start the jobs under `each`, or only the job `name` of them, with these args.

        Raises:
            JobMisuse: The job has no `each`, or `name` is not listed there.
        """
        job = self._job
        if not job.each:
            reason = "each() was called, but the job has no `each`"
            raise JobMisuse(job.name, reason, "list the jobs to call, as in `each: [Work]`")
        if name is not None and name not in job.each:
            reason = f"each() was called for {name!r}, which is not listed under `each`"
            raise JobMisuse(job.name, reason, f"add it to {', '.join(job.each)}")
        if self._launcher is None:
            self._launcher = Launcher(job.each_threads or self._context.session.file.threads)
        for other in job.each if name is None else (name,):
            work = partial(self._call, other, dict(args or {}))
            self._launches.append(self._launcher.submit(other, work))

    def _call(self, name: str, args: Mapping[str, Any], _: Launch) -> None:
        self._context.call(name, args)

    def __enter__(self) -> "EachCalls":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._launcher is None:
            return
        if error is not None:
            self._cancel()
        try:
            while not self._launcher.wait(SIGNAL_POLL_SECONDS):
                pass
        except BaseException:
            self._cancel()
            raise
        finally:
            self._launcher.close()
        if error is not None:
            return
        errors = [raised for launch in self._launches if (raised := launch.error) is not None]
        if len(errors) > 1:
            add_note(
                errors[0], f"{len(errors)} of the {len(self._launches)} calls of each() failed"
            )
        if errors:
            raise errors[0]

    def _cancel(self) -> None:
        """End the calls that have not started."""
        for launch in self._launches:
            if launch.state == "waiting":
                launch._finish("skipped")
