"""How soon after the end of a lease the next one begins."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Final

import pytest

from ojobchannels.testing.kit.subject import Subject

_WOKEN: Final = 0.05
"""Seconds after which a waiter has the lock, in the median."""
_ATTEMPTS: Final = 4
"""On a busy machine a thread may be late; a defect is there every time."""


def assert_prompt(
    subject: Subject, measure: Callable[[int], list[float]], latest: float = math.inf
) -> None:
    """Fail unless waiters get the lock at once, in the best of some attempts.

    Args:
        subject: The storage; what its requests take is added to the seconds that are allowed.
        measure: Returns the seconds between the end of a lease and the next grant, several times.
            It gets the number of the attempt.
        latest: Seconds after which each waiter has the lock.
    """
    __tracebackhide__ = True
    slack = 4 * _round_trip(subject)
    worst: list[float] = []
    for attempt in range(_ATTEMPTS):
        lags = measure(attempt)
        if max(lags) < latest + slack and statistics.median(lags) < _WOKEN + slack:
            return
        worst = min(worst or lags, lags, key=max)
    shown = ", ".join(f"{lag * 1000:.0f}" for lag in worst)
    pytest.fail(f"in the best of {_ATTEMPTS} attempts, the next lease began after {shown} ms")


def _round_trip(subject: Subject) -> float:
    channel = subject.opened[-1] if not subject.opened[-1].closed else subject.opened[0]
    began = time.monotonic()
    for _ in range(5):
        channel.lock_info("none")
    return (time.monotonic() - began) / 5
