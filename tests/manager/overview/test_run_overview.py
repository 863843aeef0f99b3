"""The overview of all jobs, on every embedded backend: what it knows, and what it reads for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager.overview import JobHead, PastRun, RunOverview
from ojobchannels.manager.overview.heads import RUNS_KEPT, Heads
from ojobchannels.manager.records import Record, iso, key_of
from tests.manager.conftest import Meddler, die, raw_statuses

if TYPE_CHECKING:
    from tests.conftest import ManualClock
    from tests.manager.conftest import Managers

HOUR = 3_600_000


def record(name: str, start: int, status: str = "completed", **more: Any) -> Record:
    """Returns a record of a run that took 5 ms, as a manager stores it."""
    made = {"name": name, "startTime": start, "startDate": iso(start), "status": status}
    made |= {"runId": f"{name}-{start}", "endTime": start + 5, "duration": 5}
    return made | more


def fill(manager: oc.JobManager, jobs: int, runs: int) -> None:
    """Stores the records of many runs of several jobs, in turn."""
    made = [record(f"job {n % jobs}", 1 + n) for n in range(jobs * runs)]
    manager.jobs.set_all([(key_of(each), each) for each in made])


def statuses(overview: RunOverview) -> dict[str, list[str]]:
    return {head.name: [run.status for run in head.runs] for head in overview.heads()}


def read_whole(manager: oc.JobManager) -> RunOverview:
    overview = RunOverview(manager)
    overview.refresh()
    while overview.read_older():
        pass
    return overview


def test_an_overview_follows_the_runs_of_another_process(managers: Managers) -> None:
    """A run appears as running, then as it ended; a skipped one, too."""
    here, there = managers.open(), managers.open()
    overview = read_whole(here)
    assert statuses(overview) == {}
    run = there.start("a")
    there._record_not_run("b", "skipped", "busy")
    assert overview.refresh()
    assert statuses(overview) == {"a": ["running"], "b": ["skipped"]}
    assert not overview.refresh()
    run.fail("no")
    assert overview.refresh()
    assert statuses(overview) == {"a": ["failed"], "b": ["skipped"]}


def test_a_run_whose_process_died_is_abandoned_before_anybody_closes_it(
    managers: Managers, clock: ManualClock
) -> None:
    """And it is lost or completed if its record says so later."""
    here, there = managers.open(clock=clock), managers.open(clock=clock)
    overview = read_whole(here)
    die(there, clock, "a")
    assert overview.refresh()
    assert statuses(overview) == {"a": ["abandoned"]}
    assert raw_statuses(here) == ["running"]  # looking changes nothing
    here.close_dead_runs()
    overview.refresh()
    assert statuses(overview) == {"a": ["abandoned"]}


def test_runs_in_several_slots_are_alive(managers: Managers) -> None:
    """A run holds the slot that its record names, not only the first."""
    here, there = managers.open(), managers.open()
    runs = [there.start("a", max_concurrent=3) for _ in range(3)]
    overview = read_whole(here)
    assert statuses(overview) == {"a": ["running"] * 3}
    for run in runs:
        run.end()


def test_the_first_read_of_a_long_history_is_short(managers: Managers) -> None:
    """The newest runs are known at once; the older ones are read page by page."""
    meddler = Meddler()
    manager = managers.open(on_jobs=meddler)
    manager.jobs.set_all([(key_of(old), old) for old in [record("rare", 1)]])
    fill(manager, 10, 400)
    overview = RunOverview(manager)
    overview.refresh()
    assert "rare" not in statuses(overview)
    assert len(statuses(overview)) == 10
    assert overview.read_older()
    while overview.read_older():
        pass
    assert overview.complete
    assert statuses(overview)["rare"] == ["completed"]
    assert all(len(head.runs) == RUNS_KEPT for head in overview.heads() if head.name != "rare")


def test_another_process_continues_from_what_one_has_read(managers: Managers) -> None:
    """It reads the state channel and the changes since then, not the history."""
    manager = managers.open()
    fill(manager, 10, 400)
    known = read_whole(manager).heads()
    with manager.run("new"):
        pass
    meddler = Meddler()
    later = RunOverview(managers.open(on_jobs=meddler))
    later.refresh()
    assert later.complete
    assert [head for head in later.heads() if head.name != "new"] == known
    assert statuses(later)["new"] == ["completed"]
    assert meddler.calls["items"] <= 5


def test_pruning_and_removal_of_records_reach_an_overview(managers: Managers) -> None:
    """Pruned runs disappear, on other hosts too; so do all runs with their channel."""
    here, there = managers.open(), managers.open()
    old = record("old", 1000)
    here.jobs.set(key_of(old), old)
    with here.run("young"):
        pass
    overview = read_whole(there)
    assert set(statuses(overview)) == {"old", "young"}
    assert here.prune(older_than=60).removed == 1
    assert overview.refresh()
    assert set(statuses(overview)) == {"young"}
    here.jobs.destroy()
    overview.refresh()
    assert statuses(overview) == {}
    with here.run("next"):
        pass
    overview.refresh()
    assert set(statuses(overview)) == {"next"}


def test_a_channel_of_another_storage_is_read_whole(managers: Managers) -> None:
    """The overview of a history that is gone does not hide the present one."""
    manager = managers.open()
    manager.state.set({"jobHeads": "read until"}, {"jobs": 2**62, "state": 2**62})
    with manager.run("a"):
        pass
    assert statuses(read_whole(manager)) == {"a": ["completed"]}


def test_other_documents_are_left_out(managers: Managers) -> None:
    manager = managers.open()
    for key, value in ({"n": 1}, 5), ({"n": 2}, {"name": "x"}), ({"n": 3}, None):
        manager.jobs.set(key, value)
    manager.state.set({"jobHeads": 3}, [["a", "x"], 7, ["b", [[1, "completed"]]]])
    assert statuses(read_whole(manager)) == {}


def test_an_overview_that_cannot_be_stored_is_kept_in_memory(managers: Managers) -> None:
    """A page may have the right to read only."""
    fill(managers.open(), 2, 200)
    meddler = Meddler()
    meddler.failing["set"] = oc.ChannelUnavailable("c", "read-only", "")
    overview = read_whole(managers.open(on_state=meddler))
    assert len(statuses(overview)) == 2


@pytest.mark.parametrize("swap", [False, True])
def test_what_is_certain_about_a_run_replaces_what_is_not(swap: bool) -> None:
    """In any order of reading; running is the least certain, then abandoned."""
    for less, more in ("running", "completed"), ("running", "abandoned"), ("abandoned", "lost"):
        heads, order = Heads(), [less, more]
        for status in reversed(order) if swap else order:
            done = {} if status != "running" else {"endTime": None}
            heads.add(record("a", 1, status, **done))
        assert [run.status for run in heads.head("a").runs] == [more]


def test_two_readers_join_to_what_both_know() -> None:
    first, second = Heads(), Heads()
    first.add(record("a", 1, "running"))
    first.add(record("b", 5))
    second.add(record("a", 1, "failed"))
    second.add(record("a", 2))
    for part in second.buckets().values():
        first.join_bucket(part)
    assert first.head("a") == JobHead("a", (PastRun(2, "completed", 5), PastRun(1, "failed", 5)))
    assert first.head("b").runs == (PastRun(5, "completed", 5),)
