"""Schedules as daemons publish them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

import ojobchannels as oc
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.schedules.published import Published
from ojobchannels.manager.serving.presence import Presence

Publish: TypeAlias = Callable[..., Presence]


def schedule(name: str, **changes: Any) -> Published:
    """A schedule of every minute, of a job with records of the same name."""
    values: dict[str, Any] = {
        "name": name,
        "job": f"Job {name}",
        "run": name,
        "claims": name,
        "launched_by": None,
        "cron": "* * * * *",
        "interval": 0,
        "timezone": "UTC",
        "misfire": "latest",
        "jitter": 0,
        "overdue_after": 60_000,
        "since": now_ms(),
        "ended": False,
    }
    return Published(**{**values, **changes})


@pytest.fixture
def publish(manager: oc.JobManager) -> Iterator[Publish]:
    """Publish schedules as a daemon that is alive until the test ends it."""
    made: list[Presence] = []

    def start(*schedules: Published, file: str = "/srv/jobs.yaml") -> Presence:
        presence = Presence(manager.state, file, "hash")
        made.append(presence)
        presence.update(list(schedules), {}, "hash")
        return presence

    yield start
    for presence in made:
        presence.close()
