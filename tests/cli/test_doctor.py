"""``ojob doctor``: what it finds, what it advises, and its exit status."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import ojobchannels as oc
from ojobchannels.cli import cli
from ojobchannels.cli.doctor import storage
from ojobchannels.hookspecs import ChannelType, Health
from ojobchannels.host.clock import now_ms
from tests.manager.conftest import pass_millisecond

Examine = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of channels that exist and are in order."""
    url = f"sqlite:////{tmp_path / 'jobs.db'}"
    with oc.JobManager(url, url) as manager, manager.run("nightly"):
        pass
    return url


@pytest.fixture
def problems(url: str) -> Examine:
    """Return what finds the problems; the exit status says whether there are any."""

    def problems() -> list[dict[str, Any]]:
        done = CliRunner().invoke(cli, ["doctor", "--jobs", url, "--json"])
        found = [check for check in json.loads(done.stdout) if check["level"] == "problem"]
        assert done.exit_code == bool(found)
        assert all(check["advice"] for check in found)
        return found

    return problems


@pytest.fixture
def ended_pid() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def manager(url: str) -> Iterator[oc.JobManager]:
    """Return a manager on the same channels."""
    with oc.JobManager(url, url) as manager:
        yield manager


def test_nothing_is_found_where_all_is_well(url: str, problems: Examine) -> None:
    """The lines say what was checked; a lock of a live run is not reported."""
    with oc.JobManager(url, url) as manager, manager.run("nightly"):
        assert problems() == []
    done = CliRunner().invoke(cli, ["doctor", "--jobs", url])
    assert "run records: type db, documents: 2" in done.stdout
    assert "0 held" in done.stdout


def test_a_file_that_everybody_can_change_is_a_problem(tmp_path: Path, problems: Examine) -> None:
    (tmp_path / "jobs.db").chmod(0o666)
    (found,) = problems()
    assert f"chmod o-w {tmp_path / 'jobs.db'}" in found["advice"]


def test_a_folder_in_which_everybody_can_replace_files_is_a_problem(
    tmp_path: Path, problems: Examine
) -> None:
    """Not one where only owners can, as in /tmp."""
    tmp_path.chmod(0o777)
    assert [found["advice"] for found in problems()] == [f"take that away: chmod o-w {tmp_path}"]
    tmp_path.chmod(0o1777)
    assert problems() == []


def test_a_lock_whose_holder_has_ended_is_a_problem(
    manager: oc.JobManager, problems: Examine, ended_pid: int
) -> None:
    with manager.locks.lock("night's", ttl=30, holder={"pid": ended_pid}):
        (found,) = problems()
    assert f":{ended_pid}, which has ended" in found["text"]
    assert found["advice"].endswith("""ojob unlock 'night'"'"'s'""")


def test_a_run_that_exceeds_its_timeout_is_a_problem(
    manager: oc.JobManager, problems: Examine
) -> None:
    with manager.run("slow", on_timeout="continue") as run:
        key = {"name": "slow", "startTime": run.record["startTime"]}
        manager.jobs.set(key, run.record | {"timeout": 1})
        pass_millisecond(key["startTime"] + 1)
        (found,) = problems()
        assert "longer than its timeout of 1 ms" in found["text"]
        assert run.run_id in found["advice"]


def test_a_run_of_other_locks_is_a_problem(url: str, tmp_path: Path, problems: Examine) -> None:
    """These locks do not show whether it has died."""
    with oc.JobManager(url, f"sqlite:////{tmp_path / 'others.db'}") as other, other.run("far"):
        (found,) = problems()
    assert "does not hold its lock" in found["text"]
    assert "--locks" in found["advice"]


def test_a_channel_that_cannot_be_used_is_a_problem(tmp_path: Path, problems: Examine) -> None:
    """It is reported like the others, once for records and once for locks."""
    (tmp_path / "jobs.db").write_text("no database at all, and quite some text\n" * 100)
    assert [found["subject"] for found in problems()] == ["run records", "locks"]


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (-3600_000, "this host is 1 h 0 min behind Fake 1"),
        (3600_000, "this host is 1 h 0 min ahead of Fake 1"),
    ],
)
def test_a_clock_that_differs_from_the_server_is_a_problem(ahead: int, text: str) -> None:
    """By what remains when the time of the request is taken off."""
    type = ChannelType(
        "fake", "", lambda *_: None, health=lambda *_: Health("Fake 1", now_ms() - ahead, ())
    )
    *_, check = storage.check_health("locks", "locks", type, {})
    assert (check.level, check.subject) == ("problem", "clock")
    assert text in check.text


def test_runs_of_one_job_in_several_slots_are_in_order(
    manager: oc.JobManager, problems: Examine
) -> None:
    """Each is in time and holds a lock of its own."""
    with manager.run("twice", max_concurrent=2), manager.run("twice", max_concurrent=2):
        assert problems() == []
