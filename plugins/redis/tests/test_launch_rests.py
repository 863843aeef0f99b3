"""A worker that takes durable launches sends few requests while there are none."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ojobchannels.manager.durable_launches.rests import Rests

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.subject import Subject

SHORTEST = 1.0
LONG_ENOUGH = 60.0


def test_a_worker_rests_until_a_launch_is_stored(storage: Subject) -> None:
    """Once it listens, for longer than a second; what is stored ends the rest at once."""
    woken = threading.Event()
    with storage.open() as channel, storage.open() as other:
        rests = Rests(woken.set)

        def look() -> float:
            rests.before_look(channel)
            return rests.after_look(SHORTEST, found_nothing=channel.size() == 0)

        until(lambda: look() > SHORTEST)
        woken.clear()
        other.set("launch", 1)
        assert woken.wait(LONG_ENOUGH)
        assert look() == SHORTEST
        channel.unset("launch")
        assert look() == SHORTEST
        until(lambda: look() > SHORTEST)
        rests.close()


def test_a_change_during_the_look_is_not_missed(storage: Subject) -> None:
    """The next look follows after a second, though this one has found nothing."""
    woken = threading.Event()
    with storage.open() as channel:
        rests = Rests(woken.set)

        def look(change: Callable[[], object] = lambda: None) -> float:
            rests.before_look(channel)
            change()
            return rests.after_look(SHORTEST, found_nothing=True)

        until(lambda: look() > SHORTEST)
        woken.clear()
        rest = look(lambda: channel.set("launch", 1))
        assert rest == SHORTEST or woken.wait(LONG_ENOUGH)
        rests.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + LONG_ENOUGH
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)
