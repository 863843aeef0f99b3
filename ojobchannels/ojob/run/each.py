"""``each(args)``: has the body of a job call the jobs under its `each` side by side."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ojobchannels.errors import JobMisuse
from ojobchannels.manager.launcher import SIGNAL_POLL_SECONDS

if TYPE_CHECKING:
    from ojobchannels.ojob.load.job_file import Job
    from ojobchannels.ojob.run.job_steps import Steps


class Each:
    """The calls of ``each`` of one block of code, which is over when all of them are.

    Entered around the block. Threads are begun by the first call.
    """

    def __init__(self, steps: Steps, job: Job) -> None:
        self._steps = steps
        self._job = job
        self._pool: ThreadPoolExecutor | None = None
        self._calls: list[Future[Any]] = []

    def __call__(self, args: Mapping[str, Any] | None = None, name: str | None = None) -> None:
        """Has the jobs under `each`, or the one named, run with these args.

        Raises:
            JobMisuse: The job has no `each`, or `name` does not stand there.
        """
        job = self._job
        if not job.each:
            advice = "name the jobs below it, as in `each: [Work]`"
            raise JobMisuse(job.name, "it calls each(), but has no `each`", advice)
        if name is not None and name not in job.each:
            reason = f"it calls each() for {name!r}, which does not stand under its `each`"
            raise JobMisuse(job.name, reason, f"add it to {', '.join(job.each)}")
        if self._pool is None:
            threads = job.each_threads or self._steps.session.file.threads
            self._pool = ThreadPoolExecutor(threads, "ojobchannels-each")
        for one in job.each if name is None else (name,):
            call = self._steps.session.call
            self._calls.append(self._pool.submit(call, self._steps, one, dict(args or {})))

    def __enter__(self) -> Each:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._pool is None:
            return
        if error is not None:
            for call in self._calls:
                call.cancel()
        try:
            while wait(self._calls, SIGNAL_POLL_SECONDS).not_done:
                pass
        finally:
            self._pool.shutdown(cancel_futures=True)
        if error is None:
            self._raise_the_first()

    def _raise_the_first(self) -> None:
        errors = [found for call in self._calls if (found := call.exception()) is not None]
        if len(errors) > 1:
            errors[0].add_note(f"{len(errors)} of the {len(self._calls)} calls of each() failed")
        if errors:
            raise errors[0]
