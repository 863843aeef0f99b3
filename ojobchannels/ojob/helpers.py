"""The names that the code of a job has at hand, besides ``args``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ojobchannels.channel import Channel
from ojobchannels.errors import InvalidJobArgs, JobMisuse
from ojobchannels.manager import Launch

if TYPE_CHECKING:
    from ojobchannels.ojob.steps import Steps


def helpers(steps: Steps) -> dict[str, Any]:
    """Returns the values of `ojobchannels.ojob.code.HELPERS` for the steps of one job."""
    at_hand = _Helpers(steps)
    return {
        "channel": at_hand.channel,
        "error": steps.error,
        "job": at_hand.job,
        "launch": at_hand.launch,
        "log": at_hand.log,
        "log_err": at_hand.log_err,
        "log_warn": at_hand.log_warn,
        "skip": at_hand.skip,
    }


class _Helpers:
    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def log(self, *words: object) -> None:
        """Tells something."""
        self._steps.log("info", " ".join(map(str, words)))

    def log_warn(self, *words: object) -> None:
        """Warns of something."""
        self._steps.log("warn", " ".join(map(str, words)))

    def log_err(self, *words: object) -> None:
        """Tells of an error."""
        self._steps.log("error", " ".join(map(str, words)))

    def channel(self, name: str, config: Any = None) -> Channel:
        """Returns a channel of the manager, or one that is opened by its name and configuration."""
        return self._steps.session.channel(self._steps.job.name, name, config)

    def job(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Runs a job, now; returns what it returns, or its args, or None if it was skipped."""
        return self._steps.session.call(self._steps, name, self._checked(name, args))

    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch:
        """Has a job run on the pool, and returns a handle at once."""
        return self._steps.session.launch(self._steps, name, self._checked(name, args))

    def skip(self, reason: str = "for no given reason") -> None:
        """Leaves out the body and the `to` of the job."""
        from ojobchannels.ojob.steps import SkipJob

        if self._steps.phase == "from":
            raise SkipJob(str(reason))
        advice = "call it in a `from`; a body ends with `return`"
        raise JobMisuse(self._steps.job.name, "it called skip() too late", advice)

    def _checked(self, name: str, args: object) -> Mapping[str, Any]:
        if args is None:
            return {}
        if isinstance(args, Mapping) and all(isinstance(key, str) for key in args):
            return args
        where = f"job {self._steps.job.name!r}, calling {name!r}"
        raise InvalidJobArgs(where, f"{args!r} is no map of args", "give a dict with text as keys")
