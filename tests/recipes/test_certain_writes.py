"""Messages whose writes get no reply: each has happened once, whether it had arrived or not."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.recipes.queue import Queue


class LostReplies:
    """An extension that loses the next reply, before or after the operation."""

    def __init__(self, *, arrives: bool) -> None:
        self.loses = False
        self.is_down = False
        self._arrives = arrives

    @oc.hookimpl(wrapper=True)
    def get_set(self) -> Generator[None, Any, Any]:
        """Perform it, or not, and lose the reply."""
        loses, self.loses = self.loses, False
        unknown = oc.OutcomeUnknown("queue", "get_set", "read the key, then decide")
        if loses and not self._arrives:
            raise unknown
        result = yield
        if loses:
            raise unknown
        return result

    @oc.hookimpl(wrapper=True)
    def get(self) -> Generator[None, Any, Any]:
        """Fail while the server is down."""
        if self.is_down:
            raise oc.ChannelUnavailable("queue", "the server is down", "start it")
        return (yield)


@pytest.fixture(params=[True, False], ids=["arrived", "did not arrive"])
def replies(request: pytest.FixtureRequest) -> LostReplies:
    """What loses replies of requests that have arrived, and of others."""
    return LostReplies(arrives=request.param)


@pytest.fixture
def queue(replies: LostReplies) -> Iterator[Queue]:
    """A queue whose replies can be lost."""
    with oc.open_channel("queue", extensions=[replies]) as channel:
        yield Queue(channel)
        channel.destroy()


def test_a_message_is_added_once_although_the_reply_is_lost(
    queue: Queue, replies: LostReplies
) -> None:
    """Also one with an id of its own."""
    for id in (None, "order 7"):
        replies.loses = True
        queue.add("Send", id=id)
    assert [message["job"] for message in queue.messages()] == ["Send", "Send"]


def test_a_message_is_taken_and_ended_once_although_the_replies_are_lost(
    queue: Queue, replies: LostReplies
) -> None:
    """The worker that asked has it, and the attempt counts once."""
    queue.add("Send")
    replies.loses = True
    message = queue.take(ttl=60)
    assert message is not None
    assert message.attempts == 1
    replies.loses = True
    message.note(progress=0.5)
    replies.loses = True
    assert message.end(result="sent")
    (kept,) = queue.messages()
    assert (kept["attempts"], kept["progress"], kept["result"]) == (1, 0.5, "sent")


def test_a_message_that_failed_is_put_back_although_the_reply_is_lost(
    queue: Queue, replies: LostReplies
) -> None:
    """Its error is stored, and its lease released."""
    queue.add("Send")
    message = queue.take(ttl=60)
    assert message is not None
    replies.loses = True
    assert message.failed("no route", pause=0)
    again = queue.take(ttl=60)
    assert again is not None
    assert (again.attempts, again.entry["error"]) == (2, "no route")
    again.done()


def test_the_outcome_is_unknown_only_if_the_channel_cannot_be_read_either(
    queue: Queue, replies: LostReplies
) -> None:
    """It is an error at once: the writer does not retry without a limit."""
    replies.loses = replies.is_down = True
    with pytest.raises(oc.OutcomeUnknown):
        queue.add("Send")
