"""Reading what has changed in the records, again and again, in any process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.following import run_changes, shared_memory
from ojobchannels.following.run_changes import RunChanges
from ojobchannels.following.shared_memory import SharedMemory
from ojobchannels.host.clock import now_ms


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[oc.JobManager]:
    """A manager on a database."""
    config = {"type": "db", "args": {"file": str(tmp_path / "store.db")}}
    with oc.JobManager(config, config) as manager:
        yield manager


def run(manager: oc.JobManager, name: str) -> None:
    """Run a job that completes."""
    manager.start(name).end()


def names(records: list[Any]) -> list[str]:
    """Return the jobs and statuses of records."""
    return [f"{record['name']} {record['status']}" for record in records]


def test_each_change_is_read_once(manager: oc.JobManager) -> None:
    """A start and an end are two changes; reading again yields neither twice."""
    run(manager, "before")
    changes = RunChanges(manager)
    cursor = changes.begin(now_ms())
    first = manager.start("a")
    assert names(changes.read(cursor, skips=False)) == ["a running"]
    first.update(progress=1)
    assert changes.read(cursor, skips=False) == []
    first.end()
    run(manager, "b")
    assert names(changes.read(cursor, skips=False)) == ["a completed", "b completed"]
    assert changes.read(cursor, skips=False) == []


def test_skipped_runs_on_request(manager: oc.JobManager) -> None:
    """Runs that did not begin are in another channel."""
    changes = RunChanges(manager)
    cursor = changes.begin(now_ms())
    manager._record_not_run("a", "skipped", "busy")
    assert changes.read(dict(cursor), skips=False) == []
    manager._record_not_run("b", "depsfail", "a failed")
    assert names(changes.read(cursor, skips=True)) == ["a skipped", "b depsfail"]
    assert changes.read(cursor, skips=True) == []


def test_a_long_backlog_is_read_in_parts(
    manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that was away gets all changes, in the order in which runs ended."""
    monkeypatch.setattr(run_changes, "_BATCH", 3)
    changes = RunChanges(manager)
    cursor = changes.begin(now_ms())
    for number in range(8):
        run(manager, f"{number}")
    found = []
    for _ in range(20):
        found += changes.read(cursor, skips=False)
        if not changes.is_behind:
            break
    assert names(found) == [f"{number} completed" for number in range(8)]


def test_a_backlog_of_limited_length(manager: oc.JobManager) -> None:
    """A new reader may begin with some of the latest changes."""
    for number in range(5):
        run(manager, f"{number}")
    changes = RunChanges(manager)
    cursor = changes.begin(now_ms(), backlog=2)
    assert names(changes.read(cursor, skips=False)) == ["3 completed", "4 completed"]


def test_records_that_were_removed(manager: oc.JobManager) -> None:
    """After all records were removed, later ones are read, and earlier ones not once more."""
    changes = RunChanges(manager)
    cursor = changes.begin(now_ms())
    run(manager, "a")
    assert names(changes.read(cursor, skips=False)) == ["a completed"]
    manager.jobs.destroy()
    assert changes.read(cursor, skips=False) == []
    run(manager, "b")
    assert names(changes.read(cursor, skips=False)) == ["b completed"]


def test_changes_of_two_processes_follow_each_other(manager: oc.JobManager) -> None:
    """A change that another one overtakes is made again, on top of it."""
    one, other = (SharedMemory("alerts", "x", lambda: manager.state) for _ in range(2))
    overtaken = iter([True])

    def add(memory: dict[str, Any], number: int) -> None:
        memory["numbers"].append(number)
        if next(overtaken, False):
            other.change(dict, lambda other_memory: other_memory["numbers"].append(2))

    one.change(lambda: {"numbers": []}, lambda memory: add(memory, 1))
    assert one.get(dict)["numbers"] == [2, 1]


def test_a_memory_that_nothing_uses_is_removed(
    manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`prune` removes it after three months."""
    SharedMemory("alerts", "x", lambda: manager.state).get(dict)
    manager.prune(1)
    assert manager.state.get({"alerts": "x"}) is not None
    monkeypatch.setattr(shared_memory, "_UNUSED_MS", -1000)
    manager.prune(1)
    assert manager.state.get({"alerts": "x"}) is None
