"""Launches of jobs that cannot start now: they wait, say why, and hold up no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from tests.manager.conftest import Meddler
from tests.manager.durable_launches.test_durable_launches import Now, Worker, add

if TYPE_CHECKING:
    from tests.manager.conftest import Managers


@pytest.fixture
def now() -> Now:
    """The clock of the delays."""
    return Now()


def test_a_launch_that_cannot_start_says_why_and_is_tried_after_growing_pauses(
    simple_managers: Managers, now: Now
) -> None:
    """The reason is shown with the launch until the job starts."""
    locks = Meddler()
    manager = simple_managers.open(on_locks=locks)
    add(manager, lambda: "started")
    worker = Worker(manager, now)
    launch = manager.launch("work", durable=True)
    locks.failing["lock"] = oc.NotSupported("locks", "this lock", "use another name")
    for pause in (1, 2, 4):
        worker.take_due()
        assert "this lock" in str(launch.info.reason)
        assert launch.info.due == round((now.seconds + pause) * 1000)
        now.seconds += pause - 0.5
        tries = locks.calls["lock"]
        worker.take_due()
        assert locks.calls["lock"] == tries
        now.seconds += 0.5
    locks.failing.clear()
    worker.take_due()
    assert (launch.result(0), launch.info.reason, launch.info.attempts) == ("started", None, 1)


def test_launches_of_a_job_that_runs_are_left_where_they_are(
    simple_managers: Managers, now: Now
) -> None:
    """One of them finds out that the job is running elsewhere; of other jobs all are taken."""
    locks = Meddler()
    here, there = simple_managers.open(), simple_managers.open(on_locks=locks)
    add(there, lambda: "ran")
    there.job("other")(lambda: "ran")
    worker = Worker(there, now)
    waiting = [there.launch("work", durable=True) for _ in range(20)]
    other = there.launch("other", durable=True)
    with here.run("work"):
        worker.take_due()
        assert other.state == "completed"
        assert locks.calls["lock"] == 2
        assert "running elsewhere" in str(waiting[0].info.reason)
    now.seconds += 1
    worker.take_due()
    assert {launch.state for launch in waiting} == {"completed"}


def test_a_worker_takes_no_more_launches_of_a_job_than_may_run(
    simple_manager: oc.JobManager,
) -> None:
    """Their threads are free for launches of other jobs."""
    taken: list[str] = []
    add(simple_manager, lambda: None, max_concurrent=2)
    simple_manager.job("other")(lambda: None)
    worker = Worker(simple_manager)
    worker.worker._submit = lambda name, _: taken.append(name)
    for name in ("work", "work", "work", "other"):
        simple_manager.launch(name, durable=True)
    worker.take_due()
    assert taken == ["work", "work", "other"]
