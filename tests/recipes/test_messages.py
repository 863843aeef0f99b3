"""What a message must be, and the order of messages, also of those of another program."""

from __future__ import annotations

from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import InvalidOption
from ojobchannels.recipes.queue import Queue


def test_a_message_without_a_priority_has_the_usual_one() -> None:
    """As one of another program, or of an older one, and it is ordered among the others."""
    with oc.open_channel("messages") as channel:
        queue, bare = Queue(channel), {"id": "bare", "job": "bare", "data": None}
        for job, priority in (("before", 1), ("urgent", 0), ("late", 2)):
            queue.add(job, priority=priority)
        (first,) = (entry for entry in queue.messages() if entry["job"] == "before")
        times = {"added": first["added"], "notBefore": first["notBefore"]}
        channel.set({"id": "bare"}, bare | times | {"status": "waiting", "attempts": 0})
        order = []
        while (message := queue.take(ttl=60)) is not None:
            order.append(message.job)
            message.done()
        assert order == ["urgent", "before", "bare", "late"]


@pytest.mark.parametrize(
    ("job", "priority"), [("send", "high"), ("send", True), ("send", None), (7, 1)]
)
def test_a_message_that_could_never_be_delivered_is_refused(job: Any, priority: Any) -> None:
    """When it is added, not in silence later."""
    with oc.open_channel("refused-messages") as channel:
        queue = Queue(channel)
        with pytest.raises(InvalidOption, match="`job`" if job == 7 else "`priority`"):
            queue.add(job, priority=priority)
        assert queue.messages() == []


def test_the_messages_have_their_old_name_too() -> None:
    """`listed` is the name of version 0.1, and warns."""
    with oc.open_channel("old-name") as channel:
        queue = Queue(channel)
        queue.add("Send", 1)
        with pytest.warns(DeprecationWarning, match=r"Queue\.listed is now messages;"):
            assert queue.listed() == queue.messages() != []
