"""What it costs a daemon to publish its schedules."""

from __future__ import annotations

import time
from unittest.mock import Mock

import pytest

import ojobchannels as oc
from ojobchannels.manager.serving.operations import DaemonOperations, Source
from ojobchannels.manager.serving.publication import PublishedSchedules
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


def test_a_daemon_that_cannot_publish_tries_less_often_if_that_takes_long() -> None:
    """It rests as after a success."""

    def schedules() -> list[Schedule]:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        raise oc.ChannelUnavailable("state", "it is full", "empty it")

    with oc.JobManager() as manager:
        operations = DaemonOperations(lambda: manager, lambda: Source("jobs.yaml", ""), schedules)
        began = time.monotonic()
        with pytest.raises(oc.ChannelUnavailable):
            operations._publish_changes(manager)
        assert operations._rests_until - began > 4
        operations.close()


def test_schedules_are_described_only_when_one_has_changed() -> None:
    """A daemon compares very many every second or two."""
    first, second = (Mock(ended=False, last_begun=None) for _ in range(2))
    known = PublishedSchedules([first, second])
    assert known == PublishedSchedules([first, second])
    assert not first.published.called
    assert list(known) == [first.published(), second.published()]
    second.ended = True
    assert known != PublishedSchedules([first, second])
    assert known != PublishedSchedules([second])
    assert known != [first.published(), second.published()]
