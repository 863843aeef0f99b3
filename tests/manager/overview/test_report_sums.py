"""The sums that are kept for `report`: it returns what reading all records would."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ojobchannels as oc
from ojobchannels.manager.report import kept
from ojobchannels.manager.report.totals import Totals
from tests.manager.conftest import Managers, Meddler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAR = 10**13  # in milliseconds: no prune of today removes what ends then


@pytest.fixture
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep sums of a few records, where otherwise hundreds are needed."""
    monkeypatch.setattr(kept, "_NOT_YET", 2)
    monkeypatch.setattr(kept, "_CHANGES_BEFORE_SAVE", 2)
    monkeypatch.setattr(kept, "_MOST_NOTED", 1)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[oc.JobManager]:
    """Return a manager over a database."""
    with opened(tmp_path) as manager:
        yield manager


def opened(folder: Path, **options: Any) -> oc.JobManager:
    """Return one more manager over the database of a folder."""
    storage = {"type": "db", "args": {"file": str(folder / "jobs.db"), "durable": False}}
    return oc.JobManager(jobs=storage, locks=storage, **options)


def put(manager: oc.JobManager, number: int, status: str, name: str = "x") -> None:
    """Write the record of a run, with a duration of its own."""
    start = number if number < 10 else FAR + number
    record = {"name": name, "startTime": start, "status": status, "runId": f"{name}{number}"}
    if status == "running":
        record["locksId"] = "of others"  # so no manager here can find that it is dead
    else:
        record |= {"endTime": start, "duration": number**3}
    manager.jobs.set({"name": name, "startTime": start}, record)


def misplace(manager: oc.JobManager, number: int, status: str) -> None:
    """Write a record under a key that is not its own."""
    record = {"name": "x", "startTime": 1, "status": status, "endTime": FAR}
    manager.jobs.set({"misplaced": number}, record)


def drop(manager: oc.JobManager, number: int, name: str = "x") -> None:
    """Remove the record of a run as other programs do."""
    start = number if number < 10 else FAR + number
    manager.jobs.unset({"name": name, "startTime": start})


def by_hand(manager: oc.JobManager) -> list[dict[str, Any]]:
    """Return the report, from all records."""
    totals = Totals()
    for record in manager.runs(limit=None):
        totals.add(record)
    return totals.rows()


def fill(manager: oc.JobManager, numbers: range) -> None:
    """Write records of completed runs."""
    for number in numbers:
        put(manager, number, "completed")


_status = st.sampled_from(["running", "completed", "failed", "abandoned", "lost"])
_number = st.sampled_from([1, 2, 3, 4, 11, 12, 13])
_name = st.sampled_from(["x", "y"])
_change = st.one_of(
    st.tuples(st.just(put), _number, _status, _name),
    st.tuples(st.just(put), _number, _status, _name),
    st.tuples(st.just(drop), _number, _name),
    st.tuples(st.just(lambda manager: manager.prune(older_than=1))),
    st.tuples(st.just(lambda manager, n: manager.jobs.set(n, {"no": "record"})), _number),
    st.tuples(st.just(misplace), _number, _status),
    st.tuples(st.just(lambda manager: manager.jobs.destroy())),
    st.tuples(st.just(lambda manager: manager.report())),
    st.tuples(st.just(lambda manager: manager.report())),
)


@pytest.mark.usefixtures("_eager")
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.booleans(), _change), max_size=30))
def test_the_report_is_that_of_all_records(
    manager: oc.JobManager, tmp_path: Path, changes: list[tuple[bool, tuple[Any, ...]]]
) -> None:
    """After any changes by two managers, in any order, whoever has kept sums and when."""
    one = manager
    one.jobs.destroy()
    one.state.destroy()
    fill(one, range(1, 15))
    one.report()
    with opened(tmp_path) as other:
        for is_first, (change, *arguments) in changes:
            change(one if is_first else other, *arguments)
        expected = by_hand(one)
        assert one.report() == expected
        assert other.report() == expected


@pytest.mark.usefixtures("_eager")
def test_settled_records_are_not_read_again(managers: Managers, meddler: Meddler) -> None:
    """Nor by another manager, which finds the sums in the state channel."""
    here, elsewhere = managers.open(), managers.open(on_jobs=meddler)
    if here.jobs.hook.size_until(position=0) is None:
        pytest.skip("a channel type that keeps no sums, such as one in memory")
    fill(here, range(1, 9))
    expected = here.report()
    sums = kept.load(here.jobs, here.state)
    assert sums is not None
    assert sums.entries == 6
    assert elsewhere.report() == expected
    read = [item[1] for item in elsewhere.jobs.items(after=sums.position)]
    assert [record["startTime"] for record in read] == [7, 8]


@pytest.mark.usefixtures("_eager")
def test_prune_takes_what_it_removes_out_of_the_sums(manager: oc.JobManager) -> None:
    """They need not be made again."""
    fill(manager, range(1, 20))
    manager.report()
    assert manager.prune(older_than=1).removed == 9
    sums = kept.load(manager.jobs, manager.state)
    assert sums is not None
    assert sums.entries == 8
    assert sums.totals.rows()[0]["runs"] == 8
    assert manager.report() == by_hand(manager)


@pytest.mark.usefixtures("_eager")
def test_a_prune_that_ends_before_it_has_stored_the_sums_does_no_harm(tmp_path: Path) -> None:
    """As if it were killed after the removal: the numbers differ, so the sums are made again."""
    meddler = Meddler()
    with opened(tmp_path) as manager:
        fill(manager, range(1, 20))
        manager.report()
        with oc.open_channel(
            "oJobManager-state",
            {"type": "db", "args": {"file": str(tmp_path / "jobs.db")}},
            extensions=[meddler],
        ) as state:
            meddler.failing["get_set"] = oc.StorageFull("state", "no space left", "free some")
            with oc.JobManager(manager.jobs, manager.locks, state=state) as failing:
                assert failing.prune(older_than=1).removed == 9
        sums = kept.load(manager.jobs, manager.state)
        assert sums is not None
        assert sums.entries == 17
        assert manager.report() == by_hand(manager)


@pytest.mark.usefixtures("_eager")
def test_sums_of_another_channel_are_not_used(tmp_path: Path) -> None:
    """Two managers may share a state, and one may have as many records as the other has summed."""
    storage = {"type": "db", "args": {"file": str(tmp_path / "jobs.db"), "durable": False}}
    with (
        oc.open_channel("state", storage) as state,
        oc.open_channel("one", storage) as one,
        oc.open_channel("two", storage) as two,
        oc.JobManager(jobs=one, locks=one, state=state) as first,
        oc.JobManager(jobs=two, locks=two, state=state) as second,
    ):
        for number in range(1, 6):
            put(second, number, "failed", "y")
        fill(first, range(1, 8))
        for _ in range(2):
            for manager in (first, second):
                assert manager.report() == by_hand(manager)


@pytest.mark.usefixtures("_eager")
def test_a_record_under_a_foreign_key_is_in_no_sums(manager: oc.JobManager) -> None:
    """As it is in no other query."""
    for number in range(1, 15):
        misplace(manager, number, "completed")
    fill(manager, range(1, 15))
    for _ in range(2):
        assert [row["runs"] for row in manager.report()] == [14]


@pytest.mark.usefixtures("_eager")
def test_sums_that_cannot_be_read_are_made_again(manager: oc.JobManager) -> None:
    """Also those of a later version."""
    fill(manager, range(1, 8))
    expected = by_hand(manager)
    for damaged in (None, 1, {}, {"id": "x", "until": None}, {"until": [1, 2], "jobs": [[1]]}):
        manager.state.set({"report": "sums"}, damaged)
        assert manager.report() == expected


@pytest.mark.usefixtures("_eager")
def test_a_report_beside_changes_leaves_right_sums(tmp_path: Path) -> None:
    """However the reads of one thread and the writes of another one meet."""
    with opened(tmp_path) as writer, opened(tmp_path) as reader:
        done = threading.Event()

        def change() -> None:
            try:
                for number in range(40):
                    put(writer, number % 9, "running")
                    put(writer, (number + 5) % 9, "failed")
                    put(writer, 10 + number, "completed")
                    if number % 8 == 0:
                        writer.prune(older_than=1)
            finally:
                done.set()

        thread = threading.Thread(target=change)
        thread.start()
        while not done.is_set():
            reader.report()
        thread.join()
        assert reader.report() == writer.report() == by_hand(writer)
