"""``each(args)``: the code of a job calls the jobs listed under its `each`, in parallel."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from ojobchannels.errors import JobMisuse, add_note
from ojobchannels.manager.launcher import SIGNAL_POLL_SECONDS
from ojobchannels.ojob.load.job_file import Job
from ojobchannels.ojob.run.job_context import JobContext


class EachCalls:
    """The calls of ``each`` in one block of code, which ends when all of them have ended.

    Entered around the block. The first call starts the threads.
    """

    def __init__(self, context: JobContext, job: Job) -> None:
        self._context = context
        self._job = job
        self._pool: ThreadPoolExecutor | None = None
        self._calls: list[Future[Any]] = []

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
        if self._pool is None:
            threads = job.each_threads or self._context.session.file.threads
            self._pool = ThreadPoolExecutor(threads, "ojobchannels-each")
        for other in job.each if name is None else (name,):
            self._calls.append(self._pool.submit(self._context.call, other, dict(args or {})))

    def __enter__(self) -> "EachCalls":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
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
        if error is not None:
            return
        errors = [raised for call in self._calls if (raised := call.exception()) is not None]
        if len(errors) > 1:
            add_note(errors[0], f"{len(errors)} of the {len(self._calls)} calls of each() failed")
        if errors:
            raise errors[0]
