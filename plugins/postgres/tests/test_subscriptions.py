"""Subscriptions: each change is notified while another process is subscribed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

from ojobchannels.testing.contracts.documents.subscribing import ReceivedChanges

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Storage


def arrived(received: ReceivedChanges, value: int) -> Callable[[], bool]:
    """Return a function that returns whether the last value of "key" was delivered."""
    return lambda: received.values("key")[-1:] == [value]


def test_a_change_of_another_process_is_delivered_by_a_notification(storage: Storage) -> None:
    """Sooner than the next look, which is up to five seconds away."""
    channel, other = storage.open(), storage.open(timeout=9)
    received, lags = ReceivedChanges(), []
    with channel.subscribe(received):
        storage.until(lambda: storage.server_of(channel).listener.live)
        storage.until(lambda: storage.has_notice("ojob_channels", "watched", channel))
        for number in range(5):
            began = time.monotonic()
            other.set("key", number)
            received.wait_for(arrived(received, number))
            lags.append(time.monotonic() - began)
    assert sorted(lags)[2] < 0.2, lags


def test_a_subscription_writes_a_notice_every_few_seconds_only(storage: Storage) -> None:
    """However many changes it delivers."""
    channel, received = storage.open(), ReceivedChanges()
    with channel.subscribe(received), storage.client() as client:
        storage.until(lambda: storage.server_of(channel).listener.live)
        channel.set("key", 0)
        received.wait_for(lambda: received.values("key") == [0])
        notices = set()
        for number in range(1, 20):
            channel.set("key", number)
            received.wait_for(arrived(received, number))
            notices.add(_watched(client, storage))
    assert len(notices) <= 2


def test_after_the_listener_was_ended_nothing_is_missed(storage: Storage) -> None:
    """An administrator ends its connection; another one is made, and what was missed is found."""
    channel, received = storage.open(), ReceivedChanges()
    with channel.subscribe(received), storage.client() as client:
        listener = storage.server_of(channel).listener
        storage.until(lambda: listener.live)
        for number in range(3):
            client.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s",
                (f"LISTEN {storage.server_of(channel).settings.events}%",),
            )
            channel.set("key", number)
            received.wait_for(arrived(received, number))
            storage.until(lambda: listener.live)


def _watched(client: psycopg.Connection[Any], storage: Storage) -> Any:
    row = client.execute(
        f'SELECT watched FROM "{storage.schema}".ojob_channels WHERE channel = %s', (storage.name,)
    ).fetchone()
    assert row is not None
    return row[0]
