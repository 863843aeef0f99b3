"""The object ``director`` in the code of the pack oJobDirector.yaml."""

from collections.abc import Mapping
from typing import Any

from ojobchannels.errors import JobMisuse, JobTimeout, LockBusy, describe_holder
from ojobchannels.hookspecs import MISSING
from ojobchannels.ojob.args.pack_args import PackArgs
from ojobchannels.ojob.args.pack_jobs import DIRECTOR
from ojobchannels.ojob.run.job_context import JobContext, SkipJob
from ojobchannels.ojob.run.started_runs import DIRECTOR_CHANNEL as CHANNEL
from ojobchannels.recipes.director import Director


class DirectorBridge:
    """The object ``director`` in the code of a bundled pack."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._session = context.session

    def init(self, args: Mapping[str, Any]) -> None:
        """Configure the channel that holds the executions.

        A channel that is only named may be opened later, before the first execution.
        """
        executions = self._session.executions
        pack_args = PackArgs(self._context.caller, args, DIRECTOR)
        stamp, ch, config = map(pack_args.value, ("stamp", "ch", "chDirector"))
        if ch is not None and config is not None:
            reason = "`ch` and `chDirector` both name the channel"
            raise pack_args.invalid(reason, "remove one of them")
        if stamp is not None:
            executions.stamp = stamp
        if isinstance(ch, str) and "://" not in ch:
            executions.channel = ch
        elif (config := ch or config) is not None:
            executions.channel, executions.may_be_alone = CHANNEL, False
            self._director(config)

    def check(self, args: Mapping[str, Any]) -> Any:
        """Skip the job if it was executed; in other steps, return its entry, or `MISSING`."""
        name, uuid = self._key(args)
        entry = self._director().execution(name, uuid)
        if entry is not None and self._context.phase == "from":
            raise SkipJob(f"{name!r} {uuid!r} was already executed")
        return MISSING if entry is None else entry

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
        self._director().check_out(lease, name, uuid, args.get("result"))

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
        executions = self._session.executions
        channel = self._session.channel(self._context.caller, executions.channel, config)
        if executions.may_be_alone and channel.type == "simple":
            text = "executions are remembered in the memory of this process only: set `chDirector`"
            self._context.log("warn", text)
        executions.may_be_alone = False
        return Director(channel, executions.stamp)

    def _key(self, args: Mapping[str, Any]) -> tuple[str, str]:
        pack_args = PackArgs(self._context.caller, args, DIRECTOR)
        return pack_args.text("jobName"), pack_args.text("jobUUID")

    def _skip(self, reason: str) -> None:
        if self._context.phase == "from":
            raise SkipJob(reason)
        self._context.log("warn", reason)
