"""What the jobs of the pack oJobQueue.yaml stand on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ojobchannels.errors import InvalidJobArgs, UnknownJob
from ojobchannels.manager.pool import release_slot
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.packs.args import Asked
from ojobchannels.recipes.queue import Message, Queue, RetryPolicy

if TYPE_CHECKING:
    from ojobchannels.ojob.run.job_steps import Steps

CHANNEL: Final = "oJobQueue"
"""The name of the channel that the messages are in."""


class QueueBridge:
    """What ``queue`` means in the code of a bundled pack."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._session = steps.session

    def open(self, args: Mapping[str, Any]) -> OpenQueue:
        """Returns the queue; the first call opens its channel."""
        channel = self._session.channel(self._steps.caller, CHANNEL, args.get("chQueue"))
        asked = Asked(self._steps.caller, args)
        retries = RetryPolicy(
            asked.number("queueAttempts", 5, 1),
            asked.seconds("queuePause", 1_000),
            asked.seconds("queueLongestPause", 300_000),
        )
        return OpenQueue(Queue(channel, retries), asked, self._session.daemon)

    def work(self, args: Mapping[str, Any]) -> None:
        """Has messages worked on: in a daemon until it stops, else until none is due."""
        opened, asked = self.open(args), Asked(self._steps.caller, args)
        queue, stopping = opened.queue, self._session.stopping
        period = asked.seconds("queuePeriod", 5_000, 1)
        ttl = asked.seconds("queueTimeout", 60_000, 1_000)
        keeps = not asked.flag("queueDelete", True)
        if queue.channel.type == "simple":
            said = "messages are kept in the memory of this process only: give chQueue"
            self._steps.log("warn", said)
        while not stopping.is_set():
            message = queue.take(ttl)
            if message is not None:
                self._see_to(message, keeps)
            elif opened.lasting:
                due = queue.next_due()
                with release_slot():
                    stopping.wait(period if due is None else min(due, period))
            else:
                return

    def _see_to(self, message: Message, keeps: bool) -> None:
        """Runs the job of a message, and settles the message by what becomes of it."""
        from ojobchannels.ojob.run.job_call import Flow

        session = self._session
        data = {"job": message.job, "data": message.data}
        args = {"idx": message.id, "obj": data, "data": message.data, "attempts": message.attempts}
        try:
            flow = Flow(session, session.find(message.job), [session.given, Layer(args, False)])
            outcome = flow.run()
        except UnknownJob as unknown:
            self._failed(message, unknown)
        except BaseException:  # it was interrupted
            message.give_back()
            raise
        else:
            if outcome.status != "completed":
                self._failed(message, outcome.error or outcome.reason or outcome.status)
            elif keeps:
                self._failed(message, "nobody deleted it")
            else:
                message.done()

    def _failed(self, message: Message, why: BaseException | str) -> None:
        if not message.failed(why):
            said = f"message {message.id} for {message.job!r} is given up: {why}"
            self._steps.log("error", said)


class OpenQueue:
    """A queue, as the jobs of the pack use it.

    Attributes:
        queue: The queue.
        lasting: Whether its workers go on when nothing is due.
    """

    def __init__(self, queue: Queue, asked: Asked, lasting: bool) -> None:
        self.queue = queue
        self.lasting = lasting
        self._asked = asked

    def add(self, args: Mapping[str, Any]) -> str:
        """Adds a message, and returns what names it."""
        return self.queue.add(
            self._asked.text("job"),
            args.get("data"),
            priority=self._asked.number("priority", 1, 0),
            delay=self._asked.seconds("delay", 0),
            ttl=self._asked.milliseconds("timeout", None, 1),
        )

    def delete(self, args: Mapping[str, Any]) -> bool:  # noqa: ARG002  the face that packs call
        """Removes a message."""
        return self.queue.delete(self._asked.text("idx"))

    def retry(self, args: Mapping[str, Any]) -> bool:  # noqa: ARG002  the face that packs call
        """Has a failed message tried again."""
        return self.queue.retry(self._asked.text("idx"))

    def listed(self) -> list[dict[str, Any]]:
        """Returns all messages."""
        return self.queue.listed()

    def rules(self, args: Mapping[str, Any]) -> list[str]:
        """Adds a message for each rule that is true; returns what names them."""
        rules = args.get("rules")
        if not isinstance(rules, list) or not all(isinstance(one, Mapping) for one in rules):
            raise self._wrong(f"`rules` is {rules!r}", "give a list of maps {rule, job}")
        return [
            self.queue.add(str(one.get("job")), args.get("data"))
            for one in rules
            if self._is_true(one, args)
        ]

    def _is_true(self, rule: Mapping[str, Any], args: Mapping[str, Any]) -> bool:
        text = str(rule.get("rule"))
        names = {"args": dict(args), "data": args.get("data")}
        try:
            return bool(eval(text, names))  # noqa: S307  a job file is code
        except Exception as error:
            reason = f"the rule {text!r} failed: {type(error).__name__}: {error}"
            raise self._wrong(reason, "write an expression over `args` and `data`") from error

    def _wrong(self, reason: str, advice: str) -> InvalidJobArgs:
        return InvalidJobArgs("job 'oJob Queue Rules'", reason, advice)
