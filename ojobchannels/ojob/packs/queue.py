"""The object ``queue`` in the code of the pack oJobQueue.yaml."""

from collections.abc import Mapping
from typing import Any, Final

from ojobchannels.errors import InvalidJobArgs, UnknownJob, summary
from ojobchannels.manager.pool import release_slot
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.args.pack_args import PackArgs
from ojobchannels.ojob.args.pack_jobs import QUEUE
from ojobchannels.ojob.run.job_call import JobCall
from ojobchannels.ojob.run.job_context import JobContext
from ojobchannels.recipes.queue import Message, Queue, RetryPolicy

CHANNEL: Final = "oJobQueue"
"""The name of the channel that holds the messages."""


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

    def work(self, args: Mapping[str, Any]) -> None:
        """Run the jobs of messages: in a daemon until it stops, else until no message is due."""
        opened, pack_args = self.open(args), PackArgs(self._context.caller, args, QUEUE)
        queue, stopping = opened.queue, self._session.stopping
        period = pack_args.seconds("queuePeriod", 5_000)
        ttl = pack_args.seconds("queueTimeout", 60_000)
        keeps = not pack_args.flag("queueDelete", default=True)
        if queue.channel.type == "simple":
            text = "messages are kept in the memory of this process only: set chQueue"
            self._context.log("warn", text)
        while not stopping.is_set():
            message = queue.take(ttl)
            if message is not None:
                self._process(message, keeps)
            elif opened.lasting:
                due = queue.next_due()
                with release_slot():
                    stopping.wait(period if due is None else min(due, period))
            else:
                return

    def _process(self, message: Message, keeps: bool) -> None:
        """Run the job of a message, and settle the message by its outcome."""
        session = self._session
        data = {"job": message.job, "data": message.data}
        args = {"idx": message.id, "obj": data, "data": message.data, "attempts": message.attempts}
        layers = [session.command_line, Layer(args, False)]
        try:
            outcome = JobCall(session, session.find(message.job), layers).run()
        except UnknownJob as unknown:
            self._failed(message, unknown)
        except BaseException:  # it was interrupted
            message.give_back()
            raise
        else:
            if outcome.status != "completed":
                self._failed(message, outcome.error or outcome.reason or outcome.status)
            elif keeps:
                self._failed(message, "the job did not delete it")
            else:
                message.done()

    def _failed(self, message: Message, cause: BaseException | str) -> None:
        if not message.failed(cause):
            text = f"message {message.id} for {message.job!r} failed for good: {cause}"
            self._context.log("error", text)


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

    def listed(self) -> list[dict[str, Any]]:
        """Return all messages."""
        return self.queue.listed()

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
