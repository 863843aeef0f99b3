"""The manager and its channels: how they are given, opened, shared and closed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Storage
    from tests.manager.conftest import Managers


def open_files(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            targets.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue
    return [target for target in targets if target.startswith(str(folder))]


@pytest.fixture
def job_name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A job of the store in memory that all of the process share; its records go with the test."""
    name = request.node.name
    yield name
    with oc.JobManager() as manager:
        for record in manager.runs(name, limit=None):
            manager.jobs.unset({"name": name, "startTime": record["startTime"]})


def test_without_arguments_both_channels_are_in_memory_and_shared(job_name: str) -> None:
    """All managers of the process that are made so exclude each other and see the same records."""
    with oc.JobManager() as one, oc.JobManager() as other:
        assert (one.jobs.type, one.locks.type) == ("simple", "simple")
        with one.run(job_name), pytest.raises(oc.LockBusy):
            other.start(job_name)
        assert [record["status"] for record in other.runs(job_name)] == ["skipped", "completed"]


def test_the_channels_have_the_documented_names(shared_storage: Storage) -> None:
    """Other programs find the records and the locks under these names."""
    with oc.JobManager(shared_storage.config, shared_storage.config) as manager:
        assert (manager.jobs.name, manager.locks.name) == ("oJobManager-jobs", "oJobManager-locks")
        with manager.run("nightly"):
            [lock] = shared_storage.open("oJobManager-locks").locks()
            assert lock.name == "nightly"
        [key] = shared_storage.open("oJobManager-jobs").get_keys()
        [record] = manager.runs()
        assert key == {"name": "nightly", "startTime": record["startTime"]}


def test_everything_except_run_records_is_kept_in_a_third_channel(shared_storage: Storage) -> None:
    """The jobs channel holds run records and nothing else."""
    with oc.JobManager(shared_storage.config, shared_storage.config) as manager:
        manager.state.set("tick", 1)
        assert manager.state.name == "oJobManager-state"
        assert manager.state is manager.state
        assert manager.jobs.size() == manager.locks.size() == 0


def test_the_channels_can_be_urls(tmp_path: Path) -> None:
    """A URL for each, as `open_channel` takes it."""
    jobs, locks = tmp_path / "jobs.db", tmp_path / "locks.db"
    with oc.JobManager(f"sqlite:///{jobs}", f"sqlite:///{locks}") as manager, manager.run("x"):
        assert manager.running()[0]["name"] == "x"
        assert jobs.exists()
        assert locks.exists()
    assert open_files(tmp_path) == []


def test_channels_that_are_passed_open_stay_open(storage: Storage) -> None:
    """A channel is closed only by the code that opened it."""
    jobs, locks = storage.open("jobs"), storage.open("locks")
    with oc.JobManager(jobs, locks) as manager, manager.run("x"):
        pass
    assert not jobs.closed
    assert not locks.closed
    assert len(jobs.get_all()) == 1
    jobs.destroy()


def test_channels_that_the_manager_opened_are_closed_with_it(shared_storage: Storage) -> None:
    """Nothing of them is left open, and the manager says so when it is used again."""
    with oc.JobManager(shared_storage.config, shared_storage.config) as manager:
        manager.state.set("tick", 1)
        with manager.run("x"):
            pass
    assert manager.jobs.closed
    assert manager.locks.closed
    assert open_files(shared_storage.path.parent) == []
    with pytest.raises(oc.ChannelClosed):
        manager.start("x")
    manager.close()


@pytest.mark.parametrize("which", ["jobs", "locks"])
@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"type": "db", "args": {"file": "{folder}/no-database"}}, oc.ChannelDamaged),
        ({"type": "file", "args": {"file": "{folder}/no-database"}}, oc.ChannelDamaged),
        ({"type": "db", "args": {"file": "{folder}/no-database/x.db"}}, oc.ChannelUnavailable),
        ({"type": "db"}, oc.InvalidOption),
        ({"type": "no-such-type"}, oc.UnknownChannelType),
        ("nosuch://host/1", oc.ChannelError),
    ],
)
def test_a_channel_that_cannot_be_opened_is_an_error_and_leaves_nothing_open(
    tmp_path: Path, which: str, config: Any, error: type[Exception]
) -> None:
    """There is no silent fallback to memory, where other processes would not see the locks."""
    (tmp_path / "no-database").write_text("a letter to my aunt, and not a database at all\n" * 9)
    good = {"type": "db", "args": {"file": str(tmp_path / "good.db")}}
    if isinstance(config, dict) and "args" in config:
        file = config["args"]["file"].format(folder=tmp_path)
        config = {**config, "args": {"file": file}}
    with pytest.raises(error):
        oc.JobManager(**{"jobs": good, "locks": good, which: config})
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"alerts": ["failed"]}], ids=str)
def test_a_manager_with_a_wrong_option_leaves_nothing_open(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    """Such as no thread, where at least one launched job must be able to run."""
    good = {"type": "db", "args": {"file": str(tmp_path / "good.db")}}
    with pytest.raises(oc.InvalidOption):
        oc.JobManager(good, good, **wrong)
    assert open_files(tmp_path) == []


def test_a_run_that_is_open_at_the_close_is_shown_as_abandoned(shared_storage: Storage) -> None:
    """Its lock is free, and no thread of it is left; ending it says that the channel is closed."""
    with oc.JobManager(shared_storage.config, shared_storage.config) as manager:
        run = manager.start("x")
    with pytest.raises(oc.ChannelClosed):
        run.end()
    with oc.JobManager(shared_storage.config, shared_storage.config) as later:
        assert later.running() == []
        with later.run("x"):
            pass
        assert [record["status"] for record in later.runs()] == ["completed", "abandoned"]


def test_a_run_on_channels_passed_open_outlives_the_manager(managers: Managers) -> None:
    """The channels are still open, so the run keeps its lock and can be ended."""
    manager = managers.open()
    run = manager.start("x")
    manager.close()
    assert run.lease.held
    run.end()
    assert run.status == "completed"


def test_the_manager_names_its_channel_types(simple_manager: oc.JobManager) -> None:
    """A log then shows where the records are."""
    assert repr(simple_manager) == "<JobManager jobs 'simple' locks 'simple'>"


@pytest.mark.parametrize("state", [None, "sqlite:///state.db"])
def test_a_later_change_of_the_working_directory_leads_to_no_other_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    """As of a program that becomes a daemon: a fire time is claimed once, wherever it runs."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    ran = []
    for folder in (here, there):
        monkeypatch.chdir(here)
        with oc.JobManager("sqlite:///jobs.db", "sqlite:///locks.db", state=state) as manager:
            monkeypatch.chdir(folder)
            try:
                with manager.run("report", fire_time=1_700_000_000_000):
                    ran.append(folder)
            except oc.FireTimeTaken:
                assert folder == there
    assert ran == [here]
    assert list(there.iterdir()) == []


def test_a_wrong_configuration_of_the_state_is_refused_at_once() -> None:
    """And not in the middle of the first run that needs it."""
    with pytest.raises(oc.UnknownChannelType):
        oc.JobManager(state={"type": "dbb"})
