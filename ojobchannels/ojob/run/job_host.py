"""The names that the code of a job can use, besides ``args``."""

import os
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidJobArgs, JobError, JobMisuse, JobTimeout, quoted, safe_str
from ojobchannels.json_values import as_json
from ojobchannels.manager import Launch
from ojobchannels.manager.output import OutputLevel
from ojobchannels.ojob.languages import Level
from ojobchannels.ojob.load.job_file import Job
from ojobchannels.ojob.run.each import EachCalls
from ojobchannels.ojob.run.job_context import JobContext, SkipJob
from ojobchannels.ojob.run.started_runs import Limit

CANCEL_GRACE_SECONDS: Final = 1.0
"""The time between the notice that a run was cancelled and the end of code in a child process."""


class JobHost:
    """What a block of code may do while it runs; an `ojobchannels.Host`.

    Attributes:
        bridges: What else the Python code of a bundled pack can use, by name.
        each: Calls the jobs under the `each` of the code's job.
        builtins: The builtins of Python, whose `import` finds the modules of the file.
    """

    def __init__(self, context: JobContext, part: Job, *, python: bool = False) -> None:
        self._context = context
        self._python = python
        self.job = context.job.name
        self.phase = context.phase
        self.args = context.args.values
        self.error = context.error
        bridges = context.session.bridges if part.bundled else {}
        self.bridges: Mapping[str, Any] = {name: make(context) for name, make in bridges.items()}
        self.each = EachCalls(context, part)
        self.builtins = context.session.modules.builtins
        self._began = time.monotonic()
        self._process = os.getpid()

    def helpers(self) -> dict[str, Any]:
        """Return the values of `ojobchannels.ojob.code.python.HELPERS`."""
        functions: dict[str, Callable[..., Any]] = {
            "channel": self.channel,
            "each": self.each,
            "job": self.run,
            "launch": self.launch,
            "log": partial(self._log_words, "info"),
            "log_err": partial(self._log_words, "error"),
            "log_warn": partial(self._log_words, "warn"),
            "skip": self.skip,
            "state": self.state,
        }
        checked = {name: partial(self._unless_cancelled, each) for name, each in functions.items()}
        return {"error": self.error, **checked}

    def _unless_cancelled(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Call a helper, unless the run was cancelled; code under `catch` may clean up.

        Raises:
            RunCancelled: The run was cancelled.
        """
        run = None if self.phase == "catch" else self._context.cancelled_run()
        if run is not None:
            run._check_cancelled()
        return function(*args, **named)

    def log(self, level: Level, text: str) -> None:
        """Report a line of the job."""
        self._context.log(level, text)

    def tell(self, level: Level, text: str) -> None:
        """Report a line of the job, under the name that `log` had in version 0.1."""
        message = "Host.tell was renamed to Host.log; the old name will be removed in version 0.3"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        self.log(level, text)

    def _log_words(self, level: Level, *words: object) -> None:
        self.log(level, " ".join(map(safe_str, words)))

    def print(self, text: str) -> None:
        """Write a line to standard output, as `print` does."""
        self._context.session.output.print(text)
        self.printed("out", f"{text}\n")

    def printed(self, stream: OutputLevel, text: str) -> None:
        """Keep what code in another process has printed to a standard stream, `out` or `err`."""
        self._context.printed(stream, text)

    def channel(self, name: str, config: Any = None) -> Channel:
        """Return a channel of the manager, or open one by its name and configuration."""
        return self._context.session.channel(self._context.job.name, name, config)

    def channels(self) -> list[str]:
        """Return the names of the open channels."""
        return self._context.session.channel_names()

    def run(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Run a job now; return its result, or its args, or None if it was skipped."""
        return self._context.call(name, self._checked(name, args))

    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch:
        """Run a job on the pool, and return a handle at once."""
        return self._context.launch_job(name, self._checked(name, args))

    def skip(self, reason: str = "no reason given") -> None:
        """Skip the body and the `to` of the job."""
        if self.phase == "from":
            raise SkipJob(str(reason))
        advice = "call it in a `from`; end a body with `return`"
        raise JobMisuse(self.job, "skip() was called outside a `from`", advice)

    def state(self, new: object = None) -> str:
        """Return the state of the run, by which `when` decides; change it to `new` first."""
        if new is None or (isinstance(new, str) and new):
            progress = self._context.session.progress
            progress.state = new or progress.state
            return progress.state
        reason = f"state() was called with {new!r}, which is not a name"
        raise JobMisuse(self.job, reason, "pass a non-empty string")

    def documents(self) -> dict[str, Any]:
        """Return the args as JSON, with the `repr` of a value that is not JSON."""
        documents: dict[str, Any] = as_json(self.args)
        return documents

    def remaining(self) -> float | None:
        """Return the seconds after which the code is ended; None for no limit.

        Code under `catch` gets the full time again.
        """
        times = [due for due in (self._due(), self._cancel_due()) if due is not None]
        return max(min(times) - time.monotonic(), 0) if times else None

    def overdue(self) -> JobError:
        """Return the error for code that was ended by its timeout, or because it was cancelled."""
        cancel_due, run = self._cancel_due(), self._context.cancelled_run()
        if run is not None and run.cancellation is not None and cancel_due is not None:
            due = self._due()
            if due is None or cancel_due <= due:
                return run.cancellation.error(run.name, run.run_id)
        limit = next(iter(self._limits()), None)
        return JobTimeout(self.job, limit.seconds if limit else 0)

    def _due(self) -> float | None:
        limit = next(iter(self._limits()), None)
        if limit is None:
            return None
        return self._began + limit.seconds if self.phase == "catch" else limit.due

    def _cancel_due(self) -> float | None:
        """Return when code is ended because its run was cancelled."""
        run = None if self.phase == "catch" else self._context.cancelled_run()
        if run is None or run.cancellation is None:
            return None
        return run.cancellation.noticed + CANCEL_GRACE_SECONDS

    def _limits(self) -> list[Limit]:
        return self._context.runs.limits(python=self._python)

    def descriptors(self) -> list[int]:
        """Return file descriptors that keep the job's locks while a child has them open."""
        leases = [*self._context.leases, *(run.lease for run in self._context.runs.open())]
        return [descriptor for lease in leases for descriptor in lease.share()]

    def _checked(self, name: str, args: object) -> Mapping[str, Any]:
        if os.getpid() != self._process:
            reason = f"{name!r} was called in a process that the job has forked"
            raise JobMisuse(self.job, reason, "call it in the process of the job")
        if args is None:
            return {}
        if isinstance(args, Mapping) and all(isinstance(key, str) for key in args):
            return args
        where = f"job {self.job!r}, calling {name!r}"
        raise InvalidJobArgs(
            where, f"{quoted(args)} is not a map of args", "pass a dict with string keys"
        )
