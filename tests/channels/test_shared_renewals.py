"""Which leases are renewed in one request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.channels.conftest import TTL, Renewals, gone

if TYPE_CHECKING:
    from tests.conftest import ManualClock, Storage


def test_leases_of_different_age_come_to_share_their_renewals(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """Once they were renewed at the same time, they are in one request, and have one time."""
    channel = storage.open(clock=clock, extensions=[renewals])
    old = channel.lock("old", ttl=TTL, keep_alive=True)
    clock.advance(TTL / 6)
    new = channel.lock("new", ttl=TTL, keep_alive=True)
    clock.advance(TTL / 6 + 0.01)
    renewals.wait_for(1)
    clock.advance(TTL / 2)
    renewals.wait_for(1)
    renewals.bring(1, clock)
    assert renewals.sizes == [1, 2, 2]
    old.release()
    new.release()
    assert gone("renewals")


def test_leases_of_several_ttls_are_renewed_in_one_request(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """Those that are due together, each for its own ttl; so a slow backend gets few requests."""
    channel = storage.open(clock=clock, extensions=[renewals])
    leases = [channel.lock(f"of {ttl}", ttl=ttl, keep_alive=True) for ttl in (TTL, TTL * 1.5)]
    clock.advance(TTL * 0.6)
    renewals.wait_for(1)
    assert renewals.sizes == [2]
    assert [lease.remaining() for lease in leases] == pytest.approx([TTL * 0.99, TTL * 1.485])
    for lease in leases:
        lease.release()
    assert gone("renewals")


def test_more_leases_than_fit_into_a_request_are_renewed_in_several(
    storage: Storage, renewals: Renewals, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them is renewed."""
    monkeypatch.setattr("ojobchannels.channels.keepalive.groups._LARGEST", 4)
    channel = storage.open(clock=clock, extensions=[renewals])
    leases = [channel.lock(f"lock {n}", ttl=TTL, keep_alive=True) for n in range(10)]
    for _ in range(3):
        clock.advance(TTL / 2)
        renewals.wait_for(3)
    assert [sum(renewals.sizes[n : n + 3]) for n in (0, 3, 6)] == [10, 10, 10]
    assert max(renewals.sizes) == 4
    for lease in leases:
        lease.release()
    assert gone("renewals")


def test_a_lease_released_during_its_renewal_is_not_renewed_again(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """The other one of the same request is."""
    channel = storage.open(clock=clock, extensions=[renewals])
    kept, released = (channel.lock(name, ttl=TTL, keep_alive=True) for name in ("kept", "released"))
    renewals.may_go.clear()
    clock.advance(TTL / 2)
    assert renewals.begun.acquire(timeout=20)
    released.release()
    renewals.may_go.set()
    renewals.wait_for(1)
    renewals.bring(1, clock)
    assert renewals.sizes == [2, 1]
    kept.release()
    assert gone("renewals")


def test_a_lease_that_its_owner_extends_is_renewed_at_its_own_time(
    storage: Storage, renewals: Renewals, clock: ManualClock
) -> None:
    """The others are renewed at thirds of their ttl, and it at a third of its new one."""
    channel = storage.open(clock=clock, extensions=[renewals])
    long, short = (channel.lock(name, ttl=TTL, keep_alive=True) for name in ("long", "short"))
    long.extend(TTL * 3)
    renewals.bring(2, clock)
    assert renewals.sizes == [1, 1]
    clock.advance(TTL / 2)
    renewals.wait_for(1)
    assert renewals.sizes == [1, 1, 2]
    assert long.remaining() > 2 * TTL
    long.release()
    short.release()
    assert gone("renewals")
