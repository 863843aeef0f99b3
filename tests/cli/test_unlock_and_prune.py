"""``ojob locks``, ``ojob unlock`` and ``ojob prune``."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import ojobchannels as oc
from ojobchannels import JobManager
from ojobchannels.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Jobs


pytestmark = pytest.mark.kit  # on one interpreter: most of its time goes into programs that start


def test_locks_shows_the_holder_of_each_lock(each: Jobs) -> None:
    process = each.hold()
    ((name, holder, *_),) = each.rows(each.show("locks"))
    (lock,) = each.records("locks")
    assert (name, holder.rpartition(":")[2]) == ("work", str(process.pid))
    assert (lock["name"], lock["holder"]["pid"]) == ("work", process.pid)


def test_each_slot_of_a_lock_is_shown_and_released(tmp_path: Path) -> None:
    """A slot must be chosen if several are held, and only that one is released."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    runner = CliRunner()
    with oc.open_channel("oJobManager-locks", url) as locks:
        first, second = (locks.lock("copy", ttl=60, slots=3) for _ in range(2))
        shown = runner.invoke(cli, ["locks", "--jobs", url, "--wide"]).stdout
        assert re.findall(r"\d of \d", shown) == ["1 of 3", "2 of 3"]
        unclear = runner.invoke(cli, ["unlock", "copy", "--jobs", url, "--yes"])
        assert (unclear.exit_code, "--slot" in unclear.stderr) == (2, True)
        assert len(locks.locks()) == 2
        done = runner.invoke(cli, ["unlock", "copy", "--slot", "2", "--jobs", url, "--yes"])
        assert done.stdout.startswith("Released slot 2 of lock 'copy', which was held by host ")
        with pytest.raises(oc.LockLost):
            second.release()
        first.release()
        again = runner.invoke(cli, ["unlock", "copy", "--slot", "2", "--jobs", url])
        assert again.stdout == "Slot 2 of lock 'copy' is free; there is nothing to release.\n"


@pytest.mark.parametrize(("words", "reply"), [(("--yes",), ""), ((), "y\n"), ((), "Yes\n")])
def test_unlock_releases_the_lock_and_adds_a_note_to_the_record(
    each: Jobs, words: tuple[str, ...], reply: str
) -> None:
    process = each.hold()
    done = each.ojob("unlock", "work", *words, *each.locations, reply=reply)
    assert done.returncode == 0
    assert done.stdout.startswith("Released lock 'work', which was held by host ")
    assert ("[y/N]" in done.stderr) is not bool(words)
    (record,) = each.records("jobs")
    assert "with ojob unlock" in record["note"]
    assert each.records("locks") == []
    process.communicate("\n", timeout=60)
    assert [record["status"] for record in each.records()] == ["lost"]
    assert "with ojob unlock" in each.show("history")


@pytest.mark.parametrize(("reply", "status"), [("n\n", 1), ("\n", 1), ("what\n", 1), ("", 2)])
def test_unlock_does_not_release_the_lock_without_confirmation(
    jobs: Jobs, reply: str, status: int
) -> None:
    jobs.hold()
    done = jobs.ojob("unlock", "work", *jobs.locations, reply=reply)
    assert (done.returncode, done.stdout) == (status, "")
    assert ("--yes" in done.stderr) is (status == 2)
    assert [lock["name"] for lock in jobs.records("locks")] == ["work"]


def test_unlock_does_not_evict_a_holder_that_it_did_not_show(jobs: Jobs) -> None:
    """Another run may have taken the lock before the confirmation."""
    with jobs.manager() as manager:
        first = manager.start("work")
        process = jobs.ojob.start("unlock", "work", *jobs.locations)
        question = ""
        while not question.endswith("[y/N] "):
            question += process.stderr.read(1)
        first.end()
        second = manager.start("work")
        out, err = process.communicate("y\n", timeout=60)
        assert (process.returncode, out) == (1, "")
        assert err.startswith("Not released: lock 'work' is now held by host ")
        second.check()
        second.end()


def test_unlock_of_a_lock_that_is_released_before_the_confirmation_does_nothing(jobs: Jobs) -> None:
    """The command reports that it is free."""
    with jobs.manager() as manager:
        run = manager.start("work")
        process = jobs.ojob.start("unlock", "work", *jobs.locations)
        while process.stderr.read(1) != "]":
            pass
        run.end()
        out, _ = process.communicate("y\n", timeout=60)
        assert (process.returncode, out) == (
            0,
            "Lock 'work' is free; there is nothing to release.\n",
        )


def test_unlock_of_a_free_lock_succeeds_and_lists_the_held_locks(jobs: Jobs) -> None:
    jobs.hold()
    done = jobs.ojob("unlock", "wrok", *jobs.locations)
    assert done.returncode == 0
    assert done.stdout == "Lock 'wrok' is free; there is nothing to release.\n"
    assert done.stderr == "Locks that are held: work\n"
    assert json.loads(jobs.show("unlock", "wrok", "--json")) is None


def test_unlock_prints_the_evicted_holder_as_json(jobs: Jobs) -> None:
    process = jobs.hold()
    released = json.loads(jobs.show("unlock", "work", "--yes", "--json"))
    assert released["holder"]["pid"] == process.pid


def test_prune_removes_old_records_and_marks_abandoned_runs(jobs: Jobs) -> None:
    process = jobs.hold()
    process.kill()
    process.wait()
    assert jobs.show("prune", "--older-than", "1h") == "Removed 0 records, closed 1 as abandoned.\n"
    (record,) = jobs.records()
    assert (record["status"], record["inError"]) == ("abandoned", True)
    assert json.loads(jobs.show("prune", "--older-than", "0s", "--json")) == {
        "removed": 1,
        "abandoned": 0,
    }
    assert jobs.records() == []


def test_prune_rejects_an_age_without_a_unit(jobs: Jobs) -> None:
    done = jobs.ojob("prune", *jobs.locations, "--older-than", "7")
    assert (done.returncode, done.stdout) == (2, "")
    assert "12h, 7d" in done.stderr


def test_without_its_locks_a_run_is_neither_called_abandoned_nor_closed(tmp_path: Path) -> None:
    """The command was given the records only, and the locks are elsewhere."""
    records, locks = f"sqlite:///{tmp_path}/jobs.db", f"sqlite:///{tmp_path}/locks.db"

    def show(*words: str) -> str:
        done = CliRunner().invoke(cli, [*words, "--jobs", records])
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout

    with JobManager(records, locks) as manager, manager.run("work") as run:
        assert json.loads(show("history", "--json"))[0]["status"] == "running"
        assert show("prune", "--older-than", "0s") == "Removed 0 records.\n"
        assert manager.runs()[0] == run.record
    assert json.loads(show("jobs", "--json"))[0]["status"] == "completed"
