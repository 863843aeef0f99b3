"""The object ``director`` in the code of the pack oJobDirector.yaml."""

from collections.abc import Mapping
from typing import Any, Final

from ojobchannels.errors import JobMisuse, JobTimeout, LockBusy, describe_holder
from ojobchannels.ojob.args.pack_args import PackArgs
from ojobchannels.ojob.args.pack_jobs import DIRECTOR
from ojobchannels.ojob.run.job_context import JobContext, SkipJob
from ojobchannels.recipes.director import Director

CHANNEL: Final = "oJobDirector"
"""The name of the channel that holds the executions."""


class DirectorBridge:
    """The object ``director`` in the code of a bundled pack."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._session = context.session

    def init(self, args: Mapping[str, Any]) -> None:
        """Configure the channel that holds the executions."""
        stamp = PackArgs(self._context.caller, args, DIRECTOR).value("stamp")
        if stamp is not None:
            self._session.executions.stamp = stamp
        self._director(args.get("chDirector"))

    def check(self, args: Mapping[str, Any]) -> None:
        """Skip the job if it was executed."""
        name, uuid = self._key(args)
        if self._director().executed(name, uuid):
            self._skip(f"{name!r} {uuid!r} was already executed")

    def check_in(self, args: Mapping[str, Any]) -> None:
        """Begin an execution."""
        name, uuid = self._key(args)
        ttl = PackArgs(self._context.caller, args, DIRECTOR).seconds("jobTimeout", 3_600_000)
        try:
            lease = self._director().check_in(name, uuid, ttl=ttl)
        except LockBusy as busy:
            holder = describe_holder(busy.holder)
            return self._skip(f"{name!r} {uuid!r} is already being executed ({holder})")
        if lease is None:
            return self._skip(f"{name!r} {uuid!r} was already executed")
        return self._session.executions.begin((name, uuid), lease, self._context)

    def check_out(self, args: Mapping[str, Any]) -> None:
        """End an execution: record that the job was executed."""
        name, uuid = self._key(args)
        lease = self._session.executions.end((name, uuid))
        if lease is None:
            reason = f"{name!r} {uuid!r} was not started here"
            advice = "put `oJob Director checkin` under `from`"
            raise JobMisuse(self._context.caller, reason, advice)
        self._director().check_out(lease, name, uuid)

    def wait(self, args: Mapping[str, Any]) -> None:
        """Wait until the job was executed.

        Raises:
            JobTimeout: It was not executed in time.
        """
        name, uuid = self._key(args)
        pack_args = PackArgs(self._context.caller, args, DIRECTOR)
        pause = pack_args.seconds("jobWaitTime", 1_500)
        timeout = pack_args.number("jobWaitRetry", 40) * pause
        if not self._director().wait(name, uuid, timeout, self._session.stopping.wait):
            raise JobTimeout(f"{name} {uuid}", timeout)

    def _director(self, config: Any = None) -> Director:
        channel = self._session.channel(self._context.caller, CHANNEL, config)
        return Director(channel, self._session.executions.stamp)

    def _key(self, args: Mapping[str, Any]) -> tuple[str, str]:
        pack_args = PackArgs(self._context.caller, args, DIRECTOR)
        return pack_args.text("jobName"), pack_args.text("jobUUID")

    def _skip(self, reason: str) -> None:
        if self._context.phase == "from":
            raise SkipJob(reason)
        self._context.log("warn", reason)
