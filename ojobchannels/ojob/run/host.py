"""The names that the code of a job has at hand, besides ``args``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidJobArgs, JobMisuse, JobTimeout
from ojobchannels.manager import Launch
from ojobchannels.ojob.languages import Level
from ojobchannels.ojob.run.each import Each
from ojobchannels.ojob.run.managed_runs import documents

if TYPE_CHECKING:
    from ojobchannels.ojob.load.job_file import Job
    from ojobchannels.ojob.run.job_steps import Steps


class JobHost:
    """What a block of code may ask of its job, while it runs; a `ojobchannels.Host`.

    Attributes:
        job: The name of the job.
        phase: The step that it is at.
        args: The args, which the code may replace.
        error: Why the job failed, for code under `catch`.
        bridges: What else the Python of a bundled pack has at hand.
        each: Calls the jobs under the `each` of the code's job side by side.
        builtins: The builtins of Python, whose `import` finds the modules of the file.
    """

    def __init__(self, steps: Steps, part: Job, bridges: Mapping[str, Any]) -> None:
        self._steps = steps
        self.job = steps.job.name
        self.phase = steps.phase
        self.args = steps.args.values
        self.error = steps.error
        self.bridges = bridges
        self.each = Each(steps, part)
        self.builtins = steps.session.modules.builtins
        self._began = time.monotonic()

    def helpers(self) -> dict[str, Any]:
        """Returns the values of `ojobchannels.ojob.code.python.HELPERS`."""
        return {
            "channel": self.channel,
            "each": self.each,
            "error": self.error,
            "job": self.run,
            "launch": self.launch,
            "log": self.log,
            "log_err": self.log_err,
            "log_warn": self.log_warn,
            "skip": self.skip,
            "state": self.state,
        }

    def tell(self, level: Level, text: str) -> None:
        """Has the run tell something."""
        self._steps.log(level, text)

    def print(self, text: str) -> None:
        """Writes a line to standard output, as `print` does."""
        print(text)  # noqa: T201  the code of a job asks for it

    def log(self, *words: object) -> None:
        """Tells something."""
        self.tell("info", " ".join(map(str, words)))

    def log_warn(self, *words: object) -> None:
        """Warns of something."""
        self.tell("warn", " ".join(map(str, words)))

    def log_err(self, *words: object) -> None:
        """Tells of an error."""
        self.tell("error", " ".join(map(str, words)))

    def channel(self, name: str, config: Any = None) -> Channel:
        """Returns a channel of the manager, or one that is opened by its name and configuration."""
        return self._steps.session.channel(self._steps.job.name, name, config)

    def run(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Runs a job, now; returns what it returns, or its args, or None if it was skipped."""
        return self._steps.session.call(self._steps, name, self._checked(name, args))

    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch:
        """Has a job run on the pool, and returns a handle at once."""
        return self._steps.session.launch(self._steps, name, self._checked(name, args))

    def skip(self, reason: str = "for no given reason") -> None:
        """Leaves out the body and the `to` of the job."""
        from ojobchannels.ojob.process.interrupts import SkipJob

        if self.phase == "from":
            raise SkipJob(str(reason))
        advice = "call it in a `from`; a body ends with `return`"
        raise JobMisuse(self._steps.job.name, "it called skip() too late", advice)

    def state(self, new: object = None) -> str:
        """Returns the state of the run, by which `when` decides; with a name, that is the next."""
        if new is None or (isinstance(new, str) and new):
            return self._steps.session.state.now(new)
        reason = f"it called state() with {new!r}, which is no name"
        raise JobMisuse(self._steps.job.name, reason, "name a state by a text")

    def documents(self) -> dict[str, Any]:
        """Returns the args as JSON, with the `repr` of what is none."""
        return documents(self.args)

    def remaining(self) -> float | None:
        """Returns the seconds after which code of another language is ended; None for no limit.

        Code under `catch` gets the same time anew.
        """
        limit = self._steps.runs.limit()
        if limit is None:
            return None
        due = self._began + limit.seconds if self.phase == "catch" else limit.due
        return max(due - time.monotonic(), 0)

    def overdue(self) -> JobTimeout:
        """Returns the error for code that was ended."""
        limit = self._steps.runs.limit()
        return JobTimeout(self.job, limit.seconds if limit else 0)

    def descriptors(self) -> list[int]:
        """Returns file descriptors that keep the job's locks while a child has them open."""
        leases = [*self._steps.leases, *(run.lease for run in self._steps.runs.open())]
        return [one for lease in leases for one in lease.share()]

    def _checked(self, name: str, args: object) -> Mapping[str, Any]:
        if args is None:
            return {}
        if isinstance(args, Mapping) and all(isinstance(key, str) for key in args):
            return args
        where = f"job {self._steps.job.name!r}, calling {name!r}"
        raise InvalidJobArgs(where, f"{args!r} is no map of args", "give a dict with text as keys")
