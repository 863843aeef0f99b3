"""What it costs a daemon to publish its schedules."""

from __future__ import annotations

import time

import ojobchannels as oc
from ojobchannels.manager.serving.operations import DaemonOperations, Source
from ojobchannels.manager.serving.schedule import Schedule


def test_a_daemon_whose_many_schedules_take_long_to_look_at_looks_less_often() -> None:
    """It looks for changes at once, and then rests a hundred times as long."""
    looks: list[float] = []

    def schedules() -> list[Schedule]:
        looks.append(time.monotonic())
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        return []

    with oc.JobManager() as manager:
        operations = DaemonOperations(lambda: manager, lambda: Source("jobs.yaml", ""), schedules)
        operations._publish_changes(manager)
        rests = operations._rests_until - time.monotonic()
        operations._publish_changes(manager)
        operations.close()
    assert rests <= 10
    assert len(looks) == 1 or looks[1] - looks[0] > 4  # or the machine stood still meanwhile
