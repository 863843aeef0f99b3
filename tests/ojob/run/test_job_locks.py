"""`single` and `lock`: what a job has to itself while it works, who waits, and who is skipped."""

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
    from tests.ojob.schedules import Books, HandClock, RunDaemon

pytest_plugins = ["tests.ojob.schedules"]

MINUTE = 60_000

ALONE = """\
with channel("room").lock("inside", ttl=60):  # which is busy if somebody else is
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
    """However many threads there are, none of them is at work while another one is."""
    text = LAUNCHED.format(type_args="{single: true}", other="{}", alone=ALONE)
    result, told = run(text, other="One")
    assert told.count("One completed") == 12
    assert result.exit_status == 0


def test_jobs_with_one_lock_take_turns(run: Run) -> None:
    """The lock counts, whatever the jobs are called; templates in its name are rendered."""
    text = LAUNCHED.format(type_args="{lock: 'x-{{n}}'}", other="{lock: x-7}", alone=ALONE)
    result, told = run(text, other="Other")
    assert told.count("One completed") == told.count("Other completed") == 6
    assert result.exit_status == 0


def test_the_lock_is_free_again_however_the_job_ends(run: Run) -> None:
    """By an error, by a return, or by a skip; its catch still has it."""
    result, told = run(
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
    assert told == [
        "Skips skipped (enough)",
        "Returns completed",
        "Fails: Fails",
        "Fails failed (ValueError)",
        "Looks: []",
        "Looks completed",
    ]
    assert result.exit_status == 1


HOUSE = """\
jobs:
- name: Work
  typeArgs: {type_args}
  exec: log("at work")
- {{name: Begin, exec: launch("Work")}}
todo: [oJobManager Init, Begin]
"""


def test_a_job_waits_for_its_lock_and_tells_who_has_it(
    start_daemon: RunDaemon, books: Books
) -> None:
    """With `lockCh: oJobManager-locks`, the lock counts on all servers."""
    with books.manager.locks.lock("x", ttl=60, holder={"job": "Backup"}):
        daemon = start_daemon(HOUSE.format(type_args="{lock: x, lockCh: oJobManager-locks}"))
        told = daemon.hear("Work: ")
        assert told.startswith("Work: waiting for the lock 'x', held by host ")
        assert told.endswith("job Backup")
    daemon.hear("Work: at work")
    daemon.hear("Work completed")


def test_who_waits_for_a_lock_does_not_hold_up_the_end(
    start_daemon: RunDaemon, books: Books
) -> None:
    """A daemon that is stopped skips what has not begun."""
    with books.manager.locks.lock("x", ttl=60):
        daemon = start_daemon(HOUSE.format(type_args="{lock: x, lockCh: oJobManager-locks}"))
        daemon.hear("Work: waiting for the lock ")
        assert daemon.stop().exit_status == 0
    daemon.hear("Work skipped (the run was interrupted before this job started)")


def test_a_time_whose_lock_is_held_is_skipped_and_recorded(
    start_daemon: RunDaemon, hand_clock: HandClock, books: Books
) -> None:
    """A schedule never has calls wait behind each other; the next time has its own chance."""
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
    with books.manager.locks.lock("x", ttl=60, holder={"job": "Backup"}):
        hand_clock.advance(MINUTE)
        told = daemon.hear("Tick skipped")
    assert "the lock 'x' is held by host " in told
    hand_clock.advance(MINUTE)
    daemon.hear("Tick completed")
    assert books.fired() == [("tick", "12:01", "skipped"), ("tick", "12:02", "completed")]


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


def test_a_single_job_is_at_work_once_whatever_has_it_run(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """Two schedules of it are due at one time: the second one passes it over."""
    type_args = "{cron: '* * * * *', single: true}"
    text = OVERLAPPING.format(type_args=type_args, todo=f"{EACH % 1}, {EACH % 2}")
    with oc.open_channel("gate") as gate:
        lease = gate.lock("go", ttl=60)
        daemon = start_daemon(text)
        hand_clock.advance(MINUTE)
        daemon.hear("Tick: at work")
        daemon.hear("Tick skipped (the `single` lock of the job is held by ")
        lease.release()
        daemon.hear("Tick completed")
        gate.destroy()


def test_without_waiting_for_the_finish_runs_overlap(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """`waitForFinish: false` begins a run at each time, though the last one is on."""
    type_args = "{cron: '* * * * *', waitForFinish: false}"
    text = OVERLAPPING.format(type_args=type_args, todo=EACH % 1)
    with oc.open_channel("gate") as gate:
        lease = gate.lock("go", ttl=60)
        daemon = start_daemon(text)
        for _ in range(2):
            hand_clock.advance(MINUTE)
            daemon.hear("Tick: at work")
        lease.release()
        for _ in range(2):
            daemon.hear("Tick completed")
        gate.destroy()


@pytest.mark.parametrize(
    ("type_args", "told"),
    [("{lock: x}", "the lock 'x'"), ("{single: true}", "the `single` lock of the job")],
)
def test_who_would_wait_for_its_caller_is_told_so(run: Run, type_args: str, told: str) -> None:
    """Rather than waiting for ever."""
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
    assert error.reason == f"it would wait forever for {told}, which the calling job holds"


def test_a_job_that_lost_its_lock_has_failed(run: Run, manager: JobManager) -> None:
    """Others may have worked at the same time, so that it ended well means nothing."""
    result, told = run(
        """\
        jobs:
        - name: Work
          typeArgs: {lock: x, lockCh: oJobManager-locks}
          exec: channel("oJobManager-locks").force_unlock("x")
          catch: log("caught", type(error).__name__)
        todo: [oJobManager Init, Work]
        """
    )
    assert "Work: caught LockLost" in told
    assert isinstance(result.outcomes[1].error, LockLost)
    assert manager.locks.locks() == []


@pytest.mark.parametrize(
    ("type_args", "kind", "told"),
    [
        ("{lock: x, lockCh: locks}", JobMisuse, "the channel 'locks' of its lock is not"),
        ("{lock: x, lockCh: oJobManager-locks}", JobMisuse, "needs the manager"),
        ("{lock: '{{n}}'}", InvalidJobArgs, "the lock name '{{n}}' becomes 5"),
        ("{lock: '{{m}}'}", InvalidJobArgs, "nothing is named `m`"),
    ],
)
def test_without_its_lock_nothing_of_a_job_runs(
    run: Run, type_args: str, kind: type[Exception], told: str
) -> None:
    """A lock that is not to be had is an error, and never one in memory instead."""
    result, lines = run(
        f"""\
        jobs:
        - {{name: Work, args: {{n: 5}}, typeArgs: {type_args}, exec: log("ran")}}
        todo: [Work]
        """
    )
    assert isinstance(result.outcomes[0].error, kind)
    assert told in lines[0]
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
        ("{single: 1}", "2:32: jobs[0].typeArgs.single: expected true or false, found the number"),
        (
            "{waitForFinish: true}",
            "2:24: jobs[0].typeArgs.waitForFinish: `waitForFinish` only applies to jobs with",
        ),
        (
            "{cron: '* * * * *', misfire: all, waitForFinish: false}",
            "2:57: jobs[0].typeArgs.waitForFinish: `misfire: all` runs fire times one after",
        ),
    ],
)
def test_what_makes_no_sense_is_a_fault(tmp_path: Path, type_args: str, fault: str) -> None:
    """With its place, before anything runs."""
    path = tmp_path / "f.yaml"
    path.write_text(dedent(f"jobs:\n- {{name: A, typeArgs: {type_args}}}\n"))
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    assert str(caught.value).startswith(f"{path}:{fault}")
