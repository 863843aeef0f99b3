"""Jobs of which several runs may be active at a time, each with a slot of the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from tests.manager.conftest import Managers


def test_as_many_runs_are_active_as_allowed(managers: Managers) -> None:
    """Over all managers; each has a record with its slot, and the next one is skipped."""
    here, there = managers.open(), managers.open()
    first = here.start("copy", max_concurrent=2)
    second = there.start("copy", max_concurrent=2)
    assert [run.record["slot"] for run in (first, second)] == [1, 2]
    with pytest.raises(oc.LockBusy, match="none of its 2 slots is free"):
        here.start("copy", max_concurrent=2)
    assert {record["runId"] for record in there.running()} == {first.run_id, second.run_id}
    assert [record["status"] for record in here.runs()].count("running") == 2
    second.end()
    third = here.start("copy", max_concurrent=2)
    assert third.record["slot"] == 2
    first.end()
    third.end()
    statuses = [record["status"] for record in here.runs()]
    assert sorted(statuses) == ["completed", "completed", "completed", "skipped"]


def test_a_dead_run_is_found_by_its_slot(managers: Managers) -> None:
    """The one that lives is left alone, whether it is looked up or has the slot after it."""
    here, there = managers.open(), managers.open()
    alive = here.start("copy", max_concurrent=2)
    dead = there.start("copy", max_concurrent=2)
    there.locks.force_unlock("copy", slot=2)
    assert here.prune(older_than=86_400).abandoned == 1
    by_id = {record["runId"]: record["status"] for record in here.runs()}
    assert by_id == {alive.run_id: "running", dead.run_id: "abandoned"}
    alive.end()
    assert here.runs(status="completed")[0]["runId"] == alive.run_id


def test_the_lock_of_one_run_is_force_released_by_its_slot(managers: Managers) -> None:
    """The note is in the record of that run, which is then lost; the other ends as usual."""
    manager = managers.open()
    first, second = (manager.start("copy", max_concurrent=2) for _ in range(2))
    assert manager.force_unlock("copy", "by hand", slot=2) is not None
    with pytest.raises(oc.LockLost):
        second.end()
    first.end()
    notes = {record["status"]: "by hand" in record.get("note", "") for record in manager.runs()}
    assert notes == {"completed": False, "lost": True}


def test_a_fire_time_is_not_skipped_while_a_run_for_it_has_any_slot(managers: Managers) -> None:
    """It may be stopped between its lock and its claim, and another slot may expire before."""
    here, there = managers.open(), managers.open()
    due = 1_900_000_000_000
    here.locks.lock("copy", ttl=30, slots=2)
    begins = here.locks.lock("copy", ttl=60, slots=2, holder={"fireTime": due})
    with pytest.raises(oc.FireTimeTaken):
        there.start("copy", fire_time=due, max_concurrent=2)
    assert there.runs(status="skipped") == []
    begins.release()
    there.start("copy", fire_time=due, max_concurrent=2).end()
    assert [record["fireTime"] for record in there.runs(status="completed")] == [due]


def test_a_function_may_run_several_times_at_once(simple_manager: oc.JobManager) -> None:
    """As often as its job allows; the call within is refused."""
    depth = 0

    @simple_manager.job("nested", max_concurrent=3, if_running="skip")
    def nested() -> int:
        nonlocal depth
        depth += 1
        return (nested() or 0) + 1

    assert nested() == 3
    assert [record["slot"] for record in simple_manager.runs(status="completed")] == [3, 2, 1]


@pytest.mark.parametrize("number", [0, 1.5, 1001, "2"])
def test_the_number_of_runs_is_checked(simple_manager: oc.JobManager, number: object) -> None:
    """Before the run starts."""
    with pytest.raises(oc.InvalidOption, match="max_concurrent"):
        simple_manager.run("copy", max_concurrent=number)  # type: ignore[arg-type]  # wrong
