"""Subscriptions on a replica set: change streams that end, and the values of each change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ojobchannels.testing.contracts.documents.subscribing import ReceivedChanges

if TYPE_CHECKING:
    from conftest import Storage


def test_each_change_has_the_value_that_it_stored(replicated_storage: Storage) -> None:
    """Also where a change alters a small part of a value only, and with ``$ref``."""
    channel, received = replicated_storage.open(), ReceivedChanges()
    values: list[Any] = [
        {"state": "new", "tries": n, "list": list(range(n)), "text": "x" * 5000} for n in range(20)
    ]
    values += [{"$ref": 1}, {"$ref": 2}, {"plain": 1}, None, {"a.b": {"$c": 1}}]
    with channel.subscribe(received):
        for value in values:
            channel.set({"id": 1.0}, value)
        received.wait_for(lambda: len(received.changes) == len(values))
    assert received.values({"id": 1}) == values
    assert repr(received.changes[0].key) == repr(received.changes[-1].key) == "{'id': 1.0}"


def test_marks_that_remain_are_not_delivered(replicated_storage: Storage) -> None:
    """Neither is a fenced unset of nothing, nor what the server sweeps."""
    channel, received = replicated_storage.open(), ReceivedChanges()
    with channel.subscribe(received):
        channel.unset("nothing", fence=5)
        channel.set("key", 1, fence=5)
        channel.unset("key", fence=6)
        channel.destroy()
        channel.set("last", 1)
        received.wait_for(lambda: received.values("last") == [1])
    assert [(change.op, change.key) for change in received.changes] == [
        ("set", "key"),
        ("unset", "key"),
        ("set", "last"),
    ]


def test_after_a_stream_has_ended_a_resync_is_delivered(replicated_storage: Storage) -> None:
    """And what differs; later changes are delivered as before."""
    channel, received = replicated_storage.open(prefix="ends"), ReceivedChanges()
    channel.set("gone", 1)
    with channel.subscribe(received, replay=True):
        received.wait_for_state_of(channel)
        with replicated_storage.client() as client:
            client[replicated_storage.config["args"]["database"]].drop_collection("ends_documents")
        received.wait_for(lambda: any(change.op == "resync" for change in received.changes))
        received.wait_for_state_of(channel)
        channel.set("key", 1)
        received.wait_for_state_of(channel)
