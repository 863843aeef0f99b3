"""Managed jobs in job files: one run at a time, and a record of each that tells the truth."""

from __future__ import annotations

import traceback
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import InvalidJobArgs, JobMisuse, LockLost, RunNotStarted
from ojobchannels.manager import JobManager, current_run

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.ojob.conftest import Run


def managed(body: str = "pass", name: str = "x", job: str = "Job", deps: str = "[]") -> str:
    """A managed job."""
    return (
        f"- name: {job}\n"
        f"  deps: {deps}\n"
        "  from: oJobManager Job Start\n"
        "  to: oJobManager Job End\n"
        "  catch: oJobManager Error\n"
        f"  args: {{name: {name}, timeout: 60000}}\n"
        f"  exec: |\n{indent(dedent(body), '    ')}\n"
    )


INIT = "todo: [oJobManager Init, Job]\n"


def test_a_run_holds_its_lock_and_its_record_has_no_end_until_it_is_over(
    run: Run, manager: JobManager
) -> None:
    body = """\
        record, = channel("oJobManager-jobs").get_all()
        log(record["status"], "endTime" in record, record["timeout"])
        log(channel("oJobManager-locks").lock_info("x").holder["job"])
    """
    result, told = run(f"jobs:\n{managed(body)}{INIT}")
    assert told == ["Job: running False 60000", "Job: x", "Job completed"]
    assert result.exit_status == 0
    (record,) = manager.runs()
    assert (record["name"], record["status"], record["inError"]) == ("x", "completed", False)
    assert result.outcomes[1].run_ids == (record["runId"],)
    assert manager.locks.locks() == []


def test_a_failed_run_is_recorded_with_its_error_and_gives_the_lock_back(
    run: Run, manager: JobManager
) -> None:
    result, _ = run(f"jobs:\n{managed('raise ValueError(5)')}{INIT}")
    assert result.exit_status == 1
    (record,) = manager.runs()
    assert (record["status"], record["inError"]) == ("failed", True)
    assert record["error"] == "ValueError: 5"
    assert 'f.yaml", line 10, in Job' in record["traceback"]
    assert manager.locks.locks() == []


def test_return_in_the_body_still_ends_the_run(run: Run, manager: JobManager) -> None:
    run(f"jobs:\n{managed('return')}{INIT}")
    assert manager.runs()[0]["status"] == "completed"
    assert manager.locks.locks() == []


def test_a_job_that_runs_elsewhere_is_skipped_and_its_holder_left_alone(
    run: Run, manager: JobManager
) -> None:
    """No body, no `to`, no `catch`; told by whom it runs; dependents left out; exit status 0."""
    held = manager.start("x")
    result, told = run(
        f"""\
jobs:
{managed("log('body')")}
- {{name: Dependent, deps: Job}}
todo: [Job, Dependent]
"""
    )
    assert result.exit_status == 0
    assert told[0].startswith("Job skipped ('x' is already running, by host ")
    assert f"pid {held.record['pid']}" in told[0]
    assert told[1:] == ["Dependent depsfail (dependency 'Job' was skipped)"]
    assert [record["status"] for record in manager.runs()] == ["skipped", "running"]
    held.end()
    assert manager.runs(status="completed")[0]["runId"] == held.run_id


def test_an_error_ends_only_the_runs_of_its_own_job(run: Run, manager: JobManager) -> None:
    result, _ = run(
        f"""\
jobs:
{managed("raise ValueError", name="bad", job="Bad")}
{
            managed(
                '''
    try:
        job("Bad")
    except ValueError:
        log(channel("oJobManager-jobs").get_all(match={"name": "long"})[0]["status"])
        log(channel("oJobManager-locks").lock_info("long") is not None)
''',
                name="long",
            )
        }
todo: [Job]
"""
    )
    assert [outcome.status for outcome in result.outcomes] == ["completed"]
    assert {one["name"]: one["status"] for one in manager.runs()} == {
        "bad": "failed",
        "long": "completed",
    }


def test_an_error_rewrites_no_earlier_record(run: Run, manager: JobManager) -> None:
    text = f"jobs:\n{managed('raise ValueError(args[chr(110)])')}{INIT}"
    run(text, n=1)
    (first,) = manager.runs()
    run(text, n=2)
    run(text, n=3)
    assert manager.runs()[-1] == first
    assert [one["error"] for one in manager.runs()] == [f"ValueError: {n}" for n in (3, 2, 1)]


CUSTOM = """\
jobs:
- name: Job
  from: oJobManager Job Start
  args: {name: x}
  exec: |
    try:
        1 / args["n"]
        job("oJobManager Job End", {"name": args["name"]})
        log(channel("oJobManager-locks").lock_info("x"))
    except ZeroDivisionError as e:
        job("oJobManager Error", {"name": args["name"], "e": e})
        log(channel("oJobManager-locks").lock_info("x"))
        raise
todo: [Job]
"""


@pytest.mark.parametrize(
    ("number", "status", "error"),
    [(1, "completed", None), (0, "failed", "ZeroDivisionError")],
)
def test_a_body_may_end_its_run_itself(
    run: Run, manager: JobManager, number: int, status: str, error: str | None
) -> None:
    result, told = run(CUSTOM, n=number)
    assert told[0] == "Job: None"
    assert [outcome.status for outcome in result.outcomes] == [status]
    (record,) = manager.runs()
    assert record["status"] == status
    assert (record.get("error") or "").partition(":")[0] == (error or "")


def test_error_without_a_name_and_an_error_takes_the_latest_run_and_the_present_exception(
    run: Run, manager: JobManager
) -> None:
    run(
        """\
        jobs:
        - name: Job
          exec: |
            job("oJobManager Job Start", {"name": "one"})
            job("oJobManager Job Start", {"name": "two"})
            try:
                raise KeyError("x")
            except KeyError:
                job("oJobManager Error")
            job("oJobManager Error", {"e": "not good"})
        todo: [Job]
        """
    )
    assert {one["name"]: one["error"] for one in manager.runs()} == {
        "one": "not good",
        "two": "KeyError: 'x'",
    }


@pytest.mark.parametrize("tool", ["oJobManager Job End", "oJobManager Error"])
@pytest.mark.parametrize("args", ["{}", "{'name': 'x'}"])
def test_ending_what_this_job_has_not_started_is_an_error_and_writes_nothing(
    run: Run, manager: JobManager, tool: str, args: str
) -> None:
    held = manager.start("x")
    result, _ = run(
        f"""\
        jobs:
        - name: Job
          exec: |
            job("{tool}", {args})
        todo: [oJobManager Init, Job, {tool}]
        """
    )
    errors = [outcome.error for outcome in result.outcomes[1:]]
    assert [type(error) for error in errors] == [RunNotStarted, RunNotStarted]
    assert [record["status"] for record in manager.runs()] == ["running"]
    held.end()


def test_a_called_job_cannot_end_the_run_of_its_caller(run: Run, manager: JobManager) -> None:
    result, _ = run(
        f"""\
jobs:
- {{name: Child, to: oJobManager Job End, args: {{name: x}}}}
{managed("job('Child')")}
todo: [Job]
"""
    )
    assert isinstance(result.outcomes[0].error, RunNotStarted)
    assert manager.runs()[0]["status"] == "failed"


def test_error_as_catch_does_nothing_where_nothing_was_started(
    run: Run, manager: JobManager
) -> None:
    result, told = run(
        """\
        jobs:
        - {name: Job, catch: oJobManager Error, exec: raise ValueError}
        todo: [oJobManager Init, Job]
        """
    )
    assert told == ["Job failed (ValueError)"]
    assert isinstance(result.outcomes[1].error, ValueError)
    assert manager.runs() == []


def test_a_run_that_nobody_ends_is_failed_at_the_end_of_its_job(
    run: Run, manager: JobManager
) -> None:
    result, _ = run(
        """\
        jobs:
        - {name: Job, from: oJobManager Job Start, args: {name: x}}
        todo: [Job]
        """
    )
    assert result.exit_status == 1
    assert "ended without ending its run 'x'" in str(result.outcomes[0].error)
    assert "ended without ending its run 'x'" in manager.runs()[0]["error"]
    assert manager.locks.locks() == []


def test_a_run_that_cannot_be_ended_is_told_beside_the_reason(
    run: Run, manager: JobManager
) -> None:
    result, told = run(
        """\
        jobs:
        - name: Job
          from: oJobManager Job Start
          args: {name: x}
          exec: channel("oJobManager-locks").force_unlock("x")
        todo: [Job]
        """
    )
    assert len(told) == 1
    assert told[0].startswith("Job failed (JobMisuse: ")
    assert "\nrun 'x' could not be ended: lost the lock 'x'" in told[0]
    assert isinstance(result.outcomes[0].error, JobMisuse)
    assert manager.runs()[0]["status"] == "lost"


class Full:
    """An extension by which there is no room for the end of any run."""

    @oc.hookimpl(wrapper=True)
    def set(self) -> Generator[None, Any, Any]:
        self._refuse()
        return (yield)

    def _refuse(self) -> None:
        raise oc.StorageFull("oJobManager-jobs", "no space left", "free some")


def test_a_run_whose_end_finds_no_room_keeps_nobody_out(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job fails, its lock goes with it and not with the file, and what that means is told."""
    monkeypatch.setattr("ojobchannels.channels.opening._extensions", [Full()])
    look = 'log([lock.name for lock in channel("oJobManager-locks").locks()])'
    result, told = run(f"jobs:\n{managed()}- {{name: Other, exec: '{look}'}}\ntodo: [Job, Other]\n")
    assert result.exit_status == 1
    assert told[1:] == ["Other: []", "Other completed"]
    for part in (
        "Job failed (StorageFull: ",
        " of job 'x' has ended (completed), but its record still says that it is running\n",
        " will be shown as abandoned; its lock was released",
    ):
        assert part in told[0]
    (trace,) = (one.error.__traceback__ for one in result.outcomes if one.error is not None)
    assert trace is None or "pluggy" not in "".join(traceback.format_tb(trace))


def test_a_job_that_does_not_run_and_whose_args_cannot_be_rendered_has_no_record(
    run: Run, manager: JobManager
) -> None:
    _, told = run(
        f"""\
jobs:
- {{name: Bad, exec: 1/0}}
{managed(name='"a-{{n}}"', deps="Bad")}
todo: [oJobManager Init, Bad, Job]
"""
    )
    assert told[1].startswith("Job: warn: no record was written: ")
    assert told[2] == "Job depsfail (dependency 'Bad' failed)"
    assert manager.runs() == []


def test_two_runs_of_one_job_are_ended_by_their_names(run: Run, manager: JobManager) -> None:
    result, _ = run(
        """\
        jobs:
        - {name: Start A, from: oJobManager Job Start, args: {name: a}}
        - {name: Start B, from: oJobManager Job Start, args: {name: b}}
        - {name: End A, to: oJobManager Job End, args: {name: a}}
        - {name: End B, to: oJobManager Job End, args: {name: b}}
        - {name: Job, from: [Start A, Start B], to: [End A, End B]}
        todo: [Job]
        """
    )
    assert result.outcomes[0].error is None
    assert {one["name"]: one["status"] for one in manager.runs()} == {
        "a": "completed",
        "b": "completed",
    }


def test_a_job_that_skips_itself_after_its_start_is_skipped_in_the_record_too(
    run: Run, manager: JobManager
) -> None:
    """The record says why, as the terminal does; dependents do not run; the lock is free again."""
    result, told = run(
        """\
        jobs:
        - {name: Look, exec: skip("no news")}
        - {name: Job, from: [oJobManager Job Start, Look], to: oJobManager Job End, args: {name: a}}
        - {name: Dependent, deps: Job, from: oJobManager Job Start, args: {name: b}}
        todo: [Job, Dependent]
        """
    )
    assert told == [
        "Job skipped (no news)",
        "Dependent depsfail (dependency 'Job' was skipped)",
    ]
    assert result.exit_status == 0
    (record,) = manager.runs("a")
    assert (record["status"], record["reason"]) == ("skipped", "no news")
    assert (record["endTime"], record["duration"]) == (record["startTime"], 0)
    assert record["inError"] is False
    assert manager.runs("b")[0]["status"] == "depsfail"
    assert manager.locks.locks() == []


def test_what_was_started_before_a_busy_lock_skips_the_job_is_skipped_too(
    run: Run, manager: JobManager
) -> None:
    held = manager.start("b")
    result, _ = run(
        """\
        jobs:
        - {name: Start A, from: oJobManager Job Start, args: {name: a}}
        - {name: Start B, from: oJobManager Job Start, args: {name: b}}
        - {name: Job, from: [Start A, Start B], exec: 1/0}
        todo: [Job]
        """
    )
    assert result.exit_status == 0
    (record,) = manager.runs("a")
    assert record["status"] == "skipped"
    assert record["reason"].startswith("'b' is already running")
    assert manager.locks.lock_info("a") is None
    held.end()


def test_code_of_a_managed_job_finds_its_run_and_can_update_it(
    run: Run, manager: JobManager
) -> None:
    """The same holds in a job that it calls; what is launched is no part of the run."""
    body = """
        from ojobchannels.manager import current_run
        current_run().update(progress=0.25)
        job("Helper")
        log(launch("Look").result())
    """
    _, told = run(
        f"""\
jobs:
{managed(body)}
- name: Helper
  exec: |
    from ojobchannels.manager import current_run
    current_run().update(helped=True)
- name: Look
  exec: |
    from ojobchannels.manager import current_run
    return str(current_run())
- {{name: After, exec: "log(job('Look'))"}}
todo: [Job, After]
"""
    )
    assert [line for line in told if ": " in line] == ["Job: None", "After: None"]
    (record,) = manager.runs()
    assert (record["progress"], record["helped"], record["status"]) == (0.25, True, "completed")


def test_the_current_run_is_the_latest_that_the_job_has_open(run: Run) -> None:
    """After the end of the flow it is the caller's again."""
    body = """
        from ojobchannels.manager import current_run

        log(current_run().name)
        job("oJobManager Job Start", {"name": "y"})
        log(current_run().name)
        job("Inner")
        job("oJobManager Job End", {"name": "x"})
        log(current_run().name)
        job("oJobManager Error", {"name": "y", "e": "enough"})
        log(current_run())
        job("oJobManager Job Start", {"name": "x"})
    """
    _, told = run(
        f"""\
jobs:
{managed(body)}
{managed("from ojobchannels.manager import current_run; log(current_run().name)", "z", "Inner")}
todo: [Job]
"""
    )
    said = [line.partition(": ")[2] for line in told if ": " in line]
    assert said == ["x", "y", "z", "y", "None"]
    assert current_run() is None


def test_a_lost_lock_fails_the_job_at_its_end_and_leaves_the_new_holder_alone(
    run: Run, manager: JobManager
) -> None:
    body = """
        locks = channel("oJobManager-locks")
        locks.force_unlock("x")
        locks.lock("x", ttl=60)
    """
    result, _ = run(f"jobs:\n{managed(body)}{INIT}")
    assert isinstance(result.outcomes[1].error, LockLost)
    assert manager.runs()[0]["status"] == "lost"


@pytest.mark.parametrize("end", ["lease.check()", "raise ValueError", "pass"])
def test_a_lost_lock_is_told_once(run: Run, end: str) -> None:
    """Whether the code finds it out, fails with something else, or comes to its end."""
    body = f"""
        from contextlib import suppress
        from ojobchannels import LockLost
        from ojobchannels.manager import current_run

        lease = current_run().lease
        channel("oJobManager-locks").force_unlock("x")
        with suppress(LockLost):
            lease.extend(60)
        {end}
    """
    _, told = run(f"jobs:\n{managed(body)}{INIT}")
    assert "\n".join(told).count("lost the lock") == 1


def test_a_lock_of_the_bodys_own_that_is_busy_is_an_error_and_no_skip(
    run: Run, manager: JobManager
) -> None:
    body = """
        with channel("mine").lock("busy", ttl=9):
            channel("mine").lock("busy", ttl=9)
    """
    result, _ = run(f"jobs:\n{managed(body)}{INIT}")
    assert result.outcomes[1].status == "failed"
    assert manager.runs()[0]["status"] == "failed"


def test_a_job_that_does_not_run_leaves_a_record_under_its_managed_name(
    run: Run, manager: JobManager
) -> None:
    run(
        f"""\
jobs:
- {{name: Bad, exec: 1/0}}
- {{name: Look, exec: skip('no news')}}
{managed(name='"a-{{n}}"', job="Job A", deps="Bad")}
- name: Job B
  from: [Look, oJobManager Job Start]
  args: {{name: b}}
todo: [oJobManager Init, Bad, {{name: Job A, args: {{n: 5}}}}, Job B]
"""
    )
    records = {one["name"]: (one["status"], one["reason"]) for one in manager.runs()}
    assert records == {
        "a-5": ("depsfail", "dependency 'Bad' failed"),
        "b": ("skipped", "no news"),
    }


def test_the_record_keeps_the_args_but_not_the_managers_own(run: Run, manager: JobManager) -> None:
    run(
        f"""\
jobs:
{managed()}
- {{name: Call, exec: "job('Job', {{'a': 1, 'timeout': 5000, 'b': {{1}}}})"}}
todo: [oJobManager Init, Call]
"""
    )
    assert manager.runs()[0]["args"] == {"a": 1, "b": "{1}"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("{}", "'oJobManager Job Start' needs a `name`"),
        ("{name: 5}", "'oJobManager Job Start' needs a `name`"),
        ("{name: x, timeout: soon}", "`timeout` is 'soon', not a positive number of milliseconds"),
        ("{name: x, timeout: 0}", "`timeout` is 0, not a positive number of milliseconds"),
    ],
)
def test_a_start_with_wrong_args_is_told(run: Run, args: str, said: str) -> None:
    result, _ = run(
        f"jobs:\n- {{name: Job, from: oJobManager Job Start, args: {args}}}\ntodo: [Job]\n"
    )
    error = result.outcomes[0].error
    assert isinstance(error, InvalidJobArgs)
    assert said in str(error)


def test_a_run_is_not_started_twice_by_one_job(run: Run, manager: JobManager) -> None:
    result, _ = run(
        f"jobs:\n{managed('job(chr(111) + args[chr(115)], args)')}{INIT}", s="JobManager Job Start"
    )
    error = result.outcomes[1].error
    assert isinstance(error, JobMisuse)
    assert str(error).startswith("job 'Job': it has started 'x' already")
    assert [one["status"] for one in manager.runs()] == ["failed"]
