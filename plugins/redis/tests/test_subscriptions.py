"""Subscriptions over a connection that breaks, and for a user that may not subscribe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ojobchannels as oc
from ojobchannels.testing.contracts.documents.subscribing import ReceivedChanges

if TYPE_CHECKING:
    from ojobchannels.testing.servers import RedisServer


def subscribers(server: RedisServer) -> int:
    return str(server.command("CLIENT", "LIST", "TYPE", "pubsub")).count("id=")


def test_all_subscriptions_of_a_process_share_one_connection(server: RedisServer) -> None:
    """It is closed after the last of them."""
    received = ReceivedChanges()
    with (
        oc.open_channel("orders", server.url) as orders,
        oc.open_channel("others", server.url) as others,
    ):
        with orders.subscribe(received), orders.subscribe(received), others.subscribe(received):
            server.wait_until(lambda: subscribers(server) == 1, "had no subscriber")
            orders.set("key", 1)
            others.set("key", 2)
            received.wait_for(lambda: sorted(received.values("key")) == [1, 1, 2])
            assert subscribers(server) == 1
        server.wait_until(lambda: subscribers(server) == 0, "kept a subscriber")


def test_after_a_lost_connection_a_resync_is_delivered(server: RedisServer) -> None:
    """And what changed meanwhile; later changes are delivered as before."""
    received = ReceivedChanges()
    with (
        oc.open_channel("orders", server.url, timeout=20) as listening,
        oc.open_channel("orders", server.url, timeout=20) as writing,
        listening.subscribe(received),
    ):
        writing.set("key", 1)
        received.wait_for_state_of(writing)
        server.wait_until(lambda: subscribers(server) == 1, "had no subscriber")
        server.command("CLIENT", "KILL", "TYPE", "pubsub")
        writing.set("key", 2)
        received.wait_for(lambda: any(change.op == "resync" for change in received.changes))
        received.wait_for_state_of(writing)
        writing.set("key", 3)
        received.wait_for_state_of(writing)


def test_a_user_that_may_not_subscribe_looks(server: RedisServer) -> None:
    """Every second, since the server sends no messages to this user."""
    received = ReceivedChanges()
    server.command(
        "ACL", "SETUSER", "unsubscribed", "on", ">word", "resetchannels", "~ojob:*", "+@all"
    )
    address = server.url.partition("://")[2].rpartition("@")[2]
    with (
        oc.open_channel("orders", f"redis://unsubscribed:word@{address}") as channel,
        channel.subscribe(received),
    ):
        channel.set("key", 1)
        received.wait_for_state_of(channel)
        channel.unset("key")
        received.wait_for_state_of(channel)
