"""The object ``queue`` in the code of the pack oJobQueue.yaml."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final, TypeVar

from ojobchannels.errors import (
    STORE_ERRORS,
    ChannelError,
    InvalidJobArgs,
    LockLost,
    UnknownJob,
    summary,
)
from ojobchannels.manager.local_launches.pool import release_slot
from ojobchannels.manager.serving.outage import Outage
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.args.pack_args import PackArgs
from ojobchannels.ojob.args.pack_jobs import QUEUE
from ojobchannels.ojob.report.outcomes import Outcome
from ojobchannels.ojob.run.job_call import JobCall
from ojobchannels.ojob.run.job_context import JobContext
from ojobchannels.recipes.queue import Message, Queue, RetryPolicy

CHANNEL: Final = "oJobQueue"
"""The name of the channel that holds the messages."""

_MAX_NAMED: Final = 5
_T = TypeVar("_T")


class QueueBridge:
    """The object ``queue`` in the code of a bundled pack."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._session = context.session

    def open(self, args: Mapping[str, Any]) -> "OpenQueue":
        """Return the queue; the first call opens its channel."""
        channel = self._session.channel(self._context.caller, CHANNEL, args.get("chQueue"))
        pack_args = PackArgs(self._context.caller, args, QUEUE)
        retries = RetryPolicy(
            pack_args.number("queueAttempts", 5),
            pack_args.seconds("queuePause", 1_000),
            pack_args.seconds("queueLongestPause", 300_000),
        )
        return OpenQueue(Queue(channel, retries), pack_args, self._session.daemon)

    def is_lasting(self, args: Mapping[str, Any]) -> bool:
        """Return whether a worker of the queue runs until the end of a daemon; open its channel."""
        with self._part():
            return self.open(args).lasting

    def work(self, args: Mapping[str, Any]) -> None:
        """Run the jobs of messages: in a daemon until it stops, else until no message is due."""
        pack_args = PackArgs(self._context.caller, args, QUEUE)
        with self._part():
            _Worker(self._context, self.open(args), pack_args).run()

    def _part(self) -> AbstractContextManager[None]:
        if not self._session.daemon:
            return nullcontext()
        return self._session.daemon_part(f"the worker of {self._context.caller!r}")


class _Worker:
    """Takes messages from a queue and runs their jobs, one at a time."""

    def __init__(self, context: JobContext, opened: "OpenQueue", args: PackArgs) -> None:
        self._context = context
        self._session = context.session
        self._queue = opened.queue
        self._lasting = opened.lasting
        self._period = args.seconds("queuePeriod", 5_000)
        self._ttl = args.seconds("queueTimeout", 60_000)
        self._keeps = not args.flag("queueDelete", default=True)
        self._outage = Outage("queue", context.log)
        self._set_aside: set[str] = set()

    def run(self) -> None:
        """Work until the run stops; without a daemon, until no message is due."""
        if self._queue.channel.type == "simple":
            text = "messages are kept in the memory of this process only: set chQueue"
            self._context.log("warn", text)
        while not self._session.stopping.is_set():
            try:
                message = self._queue.take(self._ttl)
                pause = 0.0 if message else self._rest()
                self._outage.end()
            except STORE_ERRORS as error:
                if not self._lasting:
                    raise
                message, pause = None, self._outage.pause(error) / 1000
            if message is not None:
                self._process(message)
            elif not self._lasting:
                return
            else:
                with release_slot():
                    self._session.stopping.wait(pause)

    def _rest(self) -> float:
        """Return for how long there is nothing to do; name the entries that cannot be read."""
        malformed = self._queue.malformed()
        new = [f"{id} ({why})" for id, why in malformed.items() if id not in self._set_aside]
        if new:
            self._set_aside |= malformed.keys()
            more = f" and {len(new) - _MAX_NAMED} more" if len(new) > _MAX_NAMED else ""
            text = f"set aside, since they cannot be read: {', '.join(new[:_MAX_NAMED])}{more}; "
            text += "`oJob Queue List` shows them, and `oJob Queue Delete` deletes one by its idx"
            self._context.log("error", f"{len(malformed)} entries of the queue are {text}")
        due = self._queue.next_due()
        return self._period if due is None else min(due, self._period)

    def _process(self, message: Message) -> None:
        """Run the job of a message, and settle the message by its outcome."""
        session = self._session
        data = {"job": message.job, "data": message.data}
        args = {"idx": message.id, "obj": data, "data": message.data, "attempts": message.attempts}
        layers = [session.command_line, Layer(args, False)]
        try:
            outcome = JobCall(session, session.find(message.job), layers).run()
        except UnknownJob as unknown:
            self._failed(message, unknown)
        except BaseException as interrupt:
            with session.interrupts.shield(), suppress(ChannelError):
                self._failed(message, interrupt)
            raise
        else:
            if outcome.status != "completed":
                self._failed(message, _cause(outcome))
            elif self._keeps:
                self._failed(message, "the job did not delete it")
            else:
                self._settle(message, message.done)

    def _failed(self, message: Message, cause: BaseException | str) -> None:
        if self._settle(message, lambda: message.failed(cause)) is False:
            reason = cause if isinstance(cause, str) else summary(cause)
            text = f"message {message.id} for {message.job!r} failed for good: {reason}"
            self._context.log("error", text)

    def _settle(self, message: Message, settle: Callable[[], _T]) -> _T | None:
        """Write the outcome of a message; in an outage, when the store is reachable again."""
        while True:
            try:
                return settle()
            except LockLost as lost:
                text = f"message {message.id} may be processed by another worker too: {lost}"
                self._context.log("warn", text)
                return None
            except STORE_ERRORS as error:
                pause = self._outage.pause(error) / 1000
                if not self._lasting or self._session.stopping.wait(pause):
                    raise


class OpenQueue:
    """A queue, as the jobs of the pack use it; if `lasting`, workers wait for more messages."""

    def __init__(self, queue: Queue, pack_args: PackArgs, lasting: bool) -> None:
        self.queue = queue
        self.lasting = lasting
        self._args = pack_args

    def add(self, args: Mapping[str, Any]) -> str:
        """Add a message, and return its id."""
        return self.queue.add(
            self._args.text("job"),
            args.get("data"),
            priority=self._args.number("priority", 1),
            delay=self._args.seconds("delay", 0),
            ttl=self._args.milliseconds("timeout", None),
        )

    def delete(self, args: Mapping[str, Any]) -> bool:  # noqa: ARG002  every operation takes the args
        """Delete a message; return whether it existed."""
        return self.queue.delete(self._args.text("idx"))

    def retry(self, args: Mapping[str, Any]) -> bool:  # noqa: ARG002  every operation takes the args
        """Make a failed message due again; return whether it had failed."""
        return self.queue.retry(self._args.text("idx"))

    def messages(self) -> list[dict[str, Any]]:
        """Return all messages."""
        return self.queue.messages()

    def rules(self, args: Mapping[str, Any]) -> list[str]:
        """Add a message for each rule that is true; return their ids."""
        rules = args.get("rules")
        if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
            raise self._invalid(f"`rules` is {rules!r}", "pass a list of maps {rule, job}")
        return [
            self.queue.add(str(rule.get("job")), args.get("data"))
            for rule in rules
            if self._is_true(rule, args)
        ]

    def _is_true(self, rule: Mapping[str, Any], args: Mapping[str, Any]) -> bool:
        text = str(rule.get("rule"))
        names = {"args": dict(args), "data": args.get("data")}
        try:
            return bool(eval(text, names))  # noqa: S307  a job file is code
        except Exception as error:
            reason = f"the rule {text!r} failed: {summary(error)}"
            advice = "write an expression that uses `args` and `data`"
            raise self._invalid(reason, advice) from error

    def _invalid(self, reason: str, advice: str) -> InvalidJobArgs:
        return InvalidJobArgs("job 'oJob Queue Rules'", reason, advice)


def _cause(outcome: Outcome) -> BaseException | str:
    if outcome.error is not None:
        return outcome.error
    return outcome.reason or outcome.status
