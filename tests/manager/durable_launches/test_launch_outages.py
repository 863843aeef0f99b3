"""Durable launches whose channels fail at the wrong moment, or contain what no launch is."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager.durable_launches import worker as worker_module
from tests.manager.conftest import Meddler
from tests.manager.durable_launches.test_durable_launches import Worker, add

if TYPE_CHECKING:
    from tests.manager.conftest import Managers

DOWN = oc.ChannelUnavailable("locks", "the server is down", "start it")


@pytest.mark.parametrize("retries", [0, 1])
def test_the_result_of_a_function_that_returned_is_kept_although_its_run_cannot_be_ended(
    simple_managers: Managers, retries: int
) -> None:
    """It has done its work, so it is not tried again; its run is closed as abandoned later."""
    locks = Meddler()
    manager = simple_managers.open(on_locks=locks)

    def body() -> str:
        locks.failing |= dict.fromkeys(("lock_info", "unlock"), DOWN)
        return "done"

    add(manager, body)
    launch = manager.launch("work", durable=True, retries=retries)
    Worker(manager).take_due()
    locks.failing.clear()
    assert (launch.state, launch.result(0)) == ("completed", "done")
    assert len(manager.runs("work")) == 1


def test_a_failure_whose_run_cannot_be_ended_is_tried_again(simple_managers: Managers) -> None:
    """As one whose run can."""
    locks = Meddler()
    manager = simple_managers.open(on_locks=locks)

    def body() -> str:
        locks.failing |= dict.fromkeys(("lock_info", "unlock"), DOWN)
        raise ValueError("broken")

    add(manager, body, backoff=60)
    launch = manager.launch("work", durable=True, retries=1)
    Worker(manager).take_due()
    locks.failing.clear()
    assert (launch.state, launch.info.attempts) == ("waiting", 1)


def test_an_end_that_cannot_be_stored_is_stored_when_the_outage_is_over(
    simple_managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker keeps the launch meanwhile, and the function does not run again."""
    launches = Meddler()
    manager = simple_managers.open(on_state=launches)
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0)
    calls: list[int] = []

    def body() -> str:
        calls.append(1)
        launches.failing["get"] = DOWN
        launches.before["get"] = lambda: launches.before.update(get=launches.failing.clear)
        return "done"

    add(manager, body)
    launch = manager.launch("work", durable=True, retries=3)
    Worker(manager).take_due()
    assert (launch.state, launch.result(0), calls) == ("completed", "done", [1])


def test_a_launch_whose_worker_gives_up_is_taken_again(
    simple_manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never left to a process that is alive and does nothing for it."""
    worker = Worker(simple_manager)
    add(simple_manager, lambda: "done")
    launch = simple_manager.launch("work", durable=True)
    with monkeypatch.context() as broken:
        broken.setattr(worker.worker, "_attempt", lambda _: [][0])
        message = worker.store.take(["work"])
        assert message is not None
        worker.worker._begin(message)
    assert launch.state == "waiting"
    worker.take_due()
    assert launch.result(0) == "done"


def test_a_job_that_waits_for_a_durable_launch_leaves_its_thread_to_it(
    simple_managers: Managers,
) -> None:
    """One thread is enough, as for launches in memory."""
    manager = simple_managers.open(threads=1)
    manager.job("inner")(lambda: "from within")
    manager.job("outer")(lambda: manager.launch("inner", durable=True).result())
    manager.start_worker()
    assert manager.launch("outer", durable=True).result() == "from within"


MESSAGE: dict[str, Any] = {"job": "work", "status": "waiting", "priority": 1, "attempts": 0}
MESSAGE |= {"added": 1, "notBefore": 1}


def test_foreign_documents_in_the_channels_stop_nothing(simple_manager: oc.JobManager) -> None:
    """Messages of other producers are launches without arguments; the rest is unknown."""
    channels = simple_manager._channels
    for number, data in enumerate((None, {"args": {}, "retries": "x"}, {"args": 7})):
        document = {"id": f"foreign {number}", "data": data, **MESSAGE}
        channels.launches.set({"id": document["id"]}, document)
    for value in ({"id": "bare"}, {"id": "bare", "ended": {}}, 7):
        channels.launches.set({"id": "bare"}, value)
        channels.ended_launches.set({"launch": "bare"}, value)
        with pytest.raises(oc.UnknownLaunch):
            simple_manager.launch_result("bare")
    add(simple_manager, lambda: None)
    Worker(simple_manager).take_due()
    assert Counter(info.state for info in simple_manager.launches()) == {"completed": 3}
    assert simple_manager._prune_launches(2**53) == 3


def test_a_launch_that_cannot_have_a_thread_is_not_asked_for_again_at_once(
    simple_manager: oc.JobManager,
) -> None:
    """It stays in the queue, and the next look is a second later."""
    worker = Worker(simple_manager)
    add(simple_manager, lambda: "done")
    launch = simple_manager.launch("work", durable=True)
    tried = threading.Semaphore(0)

    def refuse(_name: str, _call: object) -> None:
        tried.release()
        raise oc.NoThread("a job")

    worker.worker._submit = refuse
    with pytest.raises(oc.NoThread):
        worker.take_due()
    assert tried.acquire(blocking=False)
    assert worker.worker._wakeup._unset.locked()  # nothing wakes it before
    assert launch.state == "waiting"
