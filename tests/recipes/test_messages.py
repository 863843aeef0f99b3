"""The order of messages, also of those that another program has written."""

from __future__ import annotations

import ojobchannels as oc
from ojobchannels.recipes.queue import Queue


def test_a_message_without_a_priority_has_the_usual_one() -> None:
    """As one of another program, or of an older one, and it is ordered among the others."""
    with oc.open_channel("messages") as channel:
        queue, bare = Queue(channel), {"id": "bare", "job": "bare", "data": None}
        for job, priority in (("before", 1), ("urgent", 0), ("late", 2)):
            queue.add(job, priority=priority)
        (first,) = (entry for entry in queue.listed() if entry["job"] == "before")
        times = {"added": first["added"], "notBefore": first["notBefore"]}
        channel.set({"id": "bare"}, bare | times | {"status": "waiting", "attempts": 0})
        order = []
        while (message := queue.take(ttl=60)) is not None:
            order.append(message.job)
            message.done()
        assert order == ["urgent", "before", "bare", "late"]
