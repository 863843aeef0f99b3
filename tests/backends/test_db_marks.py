"""Marks of fences in `db`: they are kept while they protect, and swept later."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.testing.clock import ManualClock

if TYPE_CHECKING:
    from tests.conftest import Storage

DAY = 86_400


def marks(storage: Storage) -> set[str]:
    """Return the keys that have a mark."""
    with closing(sqlite3.connect(storage.path)) as connection:
        statement = "SELECT key FROM marks WHERE channel <> ''"
        return {key for (key,) in connection.execute(statement)}


def test_a_mark_is_swept_a_day_after_the_clock_has_passed_it(db_storage: Storage) -> None:
    """By the first process that opens the database then, also if its entry was removed."""
    clock = ManualClock()
    with db_storage.open(clock=clock) as channel:
        lease = channel.lock("nightly", ttl=30)
        for key in ("kept", "removed"):
            channel.set(key, 1, fence=lease.fence)
        channel.unset("removed")
        clock.step_wall(DAY - 60)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == {'"kept"', '"removed"'}
        with pytest.raises(oc.StaleFence):
            channel.set("removed", 2, fence=lease.fence - 1)
        clock.step_wall(DAY)
        lease.release()
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == set()
        assert channel.get("kept") == 1


def test_a_mark_of_a_held_lease_and_one_of_the_caller_are_kept(db_storage: Storage) -> None:
    """However old they are: a number of the caller's own says nothing about time."""
    clock = ManualClock()
    with db_storage.open(clock=clock) as channel:
        lease = channel.lock("nightly", ttl=30 * DAY)
        channel.set("held", 1, fence=lease.fence)
        channel.set("own", 1, fence=7)
        clock.step_wall(3 * DAY)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == {'"held"', '"own"'}
        lease.release()
        clock.step_wall(2 * DAY)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == {'"own"'}


def test_marks_are_searched_once_a_day(db_storage: Storage) -> None:
    """An open does not read all marks."""
    clock = ManualClock()
    with db_storage.open(clock=clock) as channel:
        lease = channel.lock("nightly", ttl=30)
        channel.set("a", 1, fence=lease.fence)
        lease.release()
        clock.step_wall(1.5 * DAY)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == set()
        channel.set("b", 1, fence=lease.fence)
        clock.step_wall(DAY / 2)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == {'"b"'}
        clock.step_wall(DAY)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == set()
