"""What ``director`` means in the code of the pack oJobDirector.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ojobchannels.errors import JobMisuse, JobTimeout, LockBusy, describe_holder
from ojobchannels.ojob.packs.args import Asked
from ojobchannels.recipes.director import Director

if TYPE_CHECKING:
    from ojobchannels.ojob.run.job_steps import Steps

CHANNEL: Final = "oJobDirector"
"""The name of the channel in which executions are noted."""


class DirectorBridge:
    """What ``director`` means in the code of a bundled pack."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._session = steps.session

    def init(self, args: Mapping[str, Any]) -> None:
        """Says where executions are noted."""
        stamp = args.get("stamp")
        if stamp is not None:
            self._session.directing.stamp = stamp
        self._director(args.get("chDirector"))

    def check(self, args: Mapping[str, Any]) -> None:
        """Leaves out the job if it was executed."""
        name, uuid = self._which(args)
        if self._director().executed(name, uuid):
            self._leave_out(f"{name!r} {uuid!r} was executed already")

    def check_in(self, args: Mapping[str, Any]) -> None:
        """Begins an execution."""
        name, uuid = self._which(args)
        ttl = Asked(self._steps.caller, args).seconds("jobTimeout", 3_600_000, 1_000)
        try:
            lease = self._director().check_in(name, uuid, ttl=ttl)
        except LockBusy as busy:
            told = describe_holder(busy.holder)
            return self._leave_out(f"{name!r} {uuid!r} is executed already, by {told}")
        if lease is None:
            return self._leave_out(f"{name!r} {uuid!r} was executed already")
        return self._session.directing.begin((name, uuid), lease, self._steps)

    def check_out(self, args: Mapping[str, Any]) -> None:
        """Notes that it was executed."""
        name, uuid = self._which(args)
        lease = self._session.directing.end((name, uuid))
        if lease is None:
            reason = f"{name!r} {uuid!r} has not begun here"
            advice = "put `oJob Director checkin` under `from`"
            raise JobMisuse(self._steps.caller, reason, advice)
        self._director().check_out(lease, name, uuid)

    def wait(self, args: Mapping[str, Any]) -> None:
        """Waits until it was executed.

        Raises:
            JobTimeout: It was not, in time.
        """
        name, uuid = self._which(args)
        asked = Asked(self._steps.caller, args)
        pause = asked.seconds("jobWaitTime", 1_500, 1)
        patience = asked.number("jobWaitRetry", 40, 1) * pause
        stopping = self._session.stopping
        if not self._director().wait(name, uuid, patience, stopping.wait):
            raise JobTimeout(f"{name} {uuid}", patience)

    def _director(self, config: Any = None) -> Director:
        channel = self._session.channel(self._steps.caller, CHANNEL, config)
        return Director(channel, self._session.directing.stamp)

    def _which(self, args: Mapping[str, Any]) -> tuple[str, str]:
        asked = Asked(self._steps.caller, args)
        return asked.text("jobName"), asked.text("jobUUID")

    def _leave_out(self, reason: str) -> None:
        from ojobchannels.ojob.process.interrupts import SkipJob

        if self._steps.phase == "from":
            raise SkipJob(reason)
        self._steps.log("warn", reason)
