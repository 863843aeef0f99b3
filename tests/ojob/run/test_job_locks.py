"""`single` and `lock`: locks of a job call, which calls wait for them, and which are skipped."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.errors import InvalidJobArgs, JobFileError, JobMisuse, LockLost
from ojobchannels.manager import JobManager
from ojobchannels.ojob import check_file

if TYPE_CHECKING:
    from tests.ojob.conftest import Run
    from tests.ojob.schedules import HandClock, RunDaemon, StoredRuns

pytest_plugins = ["tests.ojob.schedules"]

MINUTE = 60_000

ALONE = """\
with channel("room").lock("inside", ttl=60):  # LockBusy if another call holds it
        import time
        time.sleep(0.01)
"""

LAUNCHED = """\
ojob: {{numThreads: 4}}
jobs:
- name: One
  args: {{n: 7}}
  typeArgs: {type_args}
  exec: |
    {alone}
- name: Other
  typeArgs: {other}
  exec: |
    {alone}
- {{name: Parent, exec: "for n in range(6): launch('One'); launch(args['other'])"}}
todo: [Parent]
"""


def test_calls_of_a_single_job_take_turns(run: Run) -> None:
    """With any number of threads, at most one call runs at a time."""
    text = LAUNCHED.format(type_args="{single: true}", other="{}", alone=ALONE)
    result, reported = run(text, other="One")
    assert reported.count("One completed") == 12
    assert result.exit_status == 0


def test_jobs_with_the_same_lock_take_turns(run: Run) -> None:
    """The lock decides, not the job name; templates in the lock name are rendered."""
    text = LAUNCHED.format(type_args="{lock: 'x-{{n}}'}", other="{lock: x-7}", alone=ALONE)
    result, reported = run(text, other="Other")
    assert reported.count("One completed") == reported.count("Other completed") == 6
    assert result.exit_status == 0


def test_the_lock_is_released_however_the_job_ends(run: Run) -> None:
    """It is released after an error, a return or a skip, and the job's `catch` still holds it."""
    result, reported = run(
        """\
        jobs:
        - {name: Skip, exec: skip("enough")}
        - {name: Skips, typeArgs: {lock: x}, from: Skip}
        - {name: Returns, typeArgs: {lock: x}, exec: return 5}
        - name: Fails
          typeArgs: {lock: x}
          exec: raise ValueError
          catch: log(channel("oJob::locks").lock_info("x").holder["job"])
        - {name: Looks, exec: log(channel("oJob::locks").locks())}
        todo: [Skips, Returns, Fails, Looks]
        """
    )
    assert reported == [
        "Skips skipped (enough)",
        "Returns completed",
        "Fails: Fails",
        "Fails failed (ValueError)",
        "Looks: []",
        "Looks completed",
    ]
    assert result.exit_status == 1


LOCKED_JOB = """\
jobs:
- name: Work
  typeArgs: {type_args}
  exec: log("at work")
- {{name: Begin, exec: launch("Work")}}
todo: [oJobManager Init, Begin]
"""


def test_a_job_waits_for_its_lock_and_reports_the_holder(
    start_daemon: RunDaemon, stored_runs: StoredRuns
) -> None:
    """With `lockCh: oJobManager-locks`, the lock is shared by all servers."""
    with stored_runs.manager.locks.lock("x", ttl=60, holder={"job": "Backup"}):
        daemon = start_daemon(LOCKED_JOB.format(type_args="{lock: x, lockCh: oJobManager-locks}"))
        reported = daemon.wait_for("Work: ")
        assert reported.startswith("Work: waiting for the lock 'x', held by host ")
        assert reported.endswith("job Backup")
    daemon.wait_for("Work: at work")
    daemon.wait_for("Work completed")


def test_a_job_that_waits_for_a_lock_does_not_delay_the_shutdown(
    start_daemon: RunDaemon, stored_runs: StoredRuns
) -> None:
    """A stopped daemon skips jobs that have not started."""
    with stored_runs.manager.locks.lock("x", ttl=60):
        daemon = start_daemon(LOCKED_JOB.format(type_args="{lock: x, lockCh: oJobManager-locks}"))
        daemon.wait_for("Work: waiting for the lock ")
        assert daemon.stop().exit_status == 0
    daemon.wait_for("Work skipped (the run was interrupted before this job started)")


def test_a_fire_time_whose_lock_is_held_is_skipped_and_recorded(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """Calls of a schedule never queue up behind a lock; the next fire time tries again."""
    daemon = start_daemon(
        """\
        jobs:
        - name: Tick
          typeArgs: {cron: "* * * * *", lock: x, lockCh: oJobManager-locks}
          from: oJobManager Job Start
          to: oJobManager Job End
          catch: oJobManager Error
          args: {name: tick}
        todo: [oJobManager Init, Tick]
        """
    )
    with stored_runs.manager.locks.lock("x", ttl=60, holder={"job": "Backup"}):
        hand_clock.move(MINUTE)
        reported = daemon.wait_for("Tick skipped")
    assert "the lock 'x' is held by host " in reported
    hand_clock.move(MINUTE)
    daemon.wait_for("Tick completed")
    assert stored_runs.fired() == [("tick", "12:01", "skipped"), ("tick", "12:02", "completed")]


OVERLAPPING = """\
jobs:
- name: Tick
  typeArgs: {type_args}
  exec: |
    log("at work", args["n"])
    channel("gate").lock("go", ttl=60, wait=60).release()
todo: [{todo}]
"""
EACH = "{name: Tick, args: {n: %s}}"


def test_a_single_job_runs_once_at_a_time_whatever_starts_it(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """If two schedules of it are due at the same time, the second one skips the fire time."""
    type_args = "{cron: '* * * * *', single: true}"
    text = OVERLAPPING.format(type_args=type_args, todo=f"{EACH % 1}, {EACH % 2}")
    with oc.open_channel("gate") as gate:
        lease = gate.lock("go", ttl=60)
        daemon = start_daemon(text)
        hand_clock.move(MINUTE)
        daemon.wait_for("Tick: at work")
        daemon.wait_for("Tick skipped (the `single` lock of the job is held by ")
        lease.release()
        daemon.wait_for("Tick completed")
        gate.destroy()


def test_with_wait_for_finish_false_runs_overlap(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """A run begins at each fire time, even while the previous run is active."""
    type_args = "{cron: '* * * * *', waitForFinish: false}"
    text = OVERLAPPING.format(type_args=type_args, todo=EACH % 1)
    with oc.open_channel("gate") as gate:
        lease = gate.lock("go", ttl=60)
        daemon = start_daemon(text)
        for _ in range(2):
            hand_clock.move(MINUTE)
            daemon.wait_for("Tick: at work")
        lease.release()
        for _ in range(2):
            daemon.wait_for("Tick completed")
        gate.destroy()


@pytest.mark.parametrize(
    ("type_args", "reported"),
    [("{lock: x}", "the lock 'x'"), ("{single: true}", "the `single` lock of the job")],
)
def test_waiting_for_a_lock_of_the_caller_is_an_error(
    run: Run, type_args: str, reported: str
) -> None:
    """The job fails instead of waiting forever."""
    result, _ = run(
        f"""\
        jobs:
        - name: Work
          typeArgs: {type_args}
          exec: |
            if args["deep"]:
                job("Work", {{"deep": False}})
        todo: [{{name: Work, args: {{deep: true}}}}]
        """
    )
    error = result.outcomes[0].error
    assert isinstance(error, JobMisuse)
    assert error.reason == f"it would wait forever for {reported}, which the calling job holds"


def test_a_job_that_lost_its_lock_fails(run: Run, manager: JobManager) -> None:
    """Another job may have run at the same time, so even a body without an error fails."""
    result, reported = run(
        """\
        jobs:
        - name: Work
          typeArgs: {lock: x, lockCh: oJobManager-locks}
          exec: channel("oJobManager-locks").force_unlock("x")
          catch: log("caught", type(error).__name__)
        todo: [oJobManager Init, Work]
        """
    )
    assert "Work: caught LockLost" in reported
    assert isinstance(result.outcomes[1].error, LockLost)
    assert manager.locks.locks() == []


@pytest.mark.parametrize(
    ("type_args", "kind", "reported"),
    [
        ("{lock: x, lockCh: locks}", JobMisuse, "the channel 'locks' of its lock is not"),
        ("{lock: x, lockCh: oJobManager-locks}", JobMisuse, "needs the manager"),
        ("{lock: '{{n}}'}", InvalidJobArgs, "the lock name '{{n}}' becomes 5"),
        ("{lock: '{{m}}'}", InvalidJobArgs, "unknown name `m`"),
    ],
)
def test_a_job_does_not_run_without_its_lock(
    run: Run, type_args: str, kind: type[Exception], reported: str
) -> None:
    """A lock that cannot be acquired is an error, never replaced by one in memory."""
    result, lines = run(
        f"""\
        jobs:
        - {{name: Work, args: {{n: 5}}, typeArgs: {type_args}, exec: log("ran")}}
        todo: [Work]
        """
    )
    assert isinstance(result.outcomes[0].error, kind)
    assert reported in lines[0]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("type_args", "fault"),
    [
        (
            "{lockCh: x}",
            "2:24: jobs[0].typeArgs.lockCh: `lockCh` is the channel of a lock, but `lock` is "
            "missing; write `lock: name` beside it, or remove it",
        ),
        ("{lock: '{{#x}}'}", "2:30: jobs[0].typeArgs.lock: `{{#x}}` is not a valid template; "),
        ("{single: 1}", "2:32: jobs[0].typeArgs.single: expected a boolean, found the number"),
        (
            "{waitForFinish: true}",
            "2:24: jobs[0].typeArgs.waitForFinish: `waitForFinish` only applies to jobs with",
        ),
        (
            "{cron: '* * * * *', misfire: all, waitForFinish: false}",
            "2:57: jobs[0].typeArgs.waitForFinish: `misfire: all` contradicts `waitForFinish",
        ),
    ],
)
def test_a_setting_without_effect_is_a_diagnostic(
    tmp_path: Path, type_args: str, fault: str
) -> None:
    """It is reported with its position, before anything runs."""
    path = tmp_path / "f.yaml"
    path.write_text(dedent(f"jobs:\n- {{name: A, typeArgs: {type_args}}}\n"))
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert str(caught.value).startswith(f"{path}:{fault}")
