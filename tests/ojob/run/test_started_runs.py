"""Managed jobs in job files: at most one run at a time, each with a correct record."""

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
    """Return a managed job."""
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


def test_a_run_holds_its_lock_and_its_record_has_no_end_time_until_it_ends(
    run: Run, manager: JobManager
) -> None:
    body = """\
        record, = channel("oJobManager-jobs").get_all()
        log(record["status"], "endTime" in record, record["timeout"])
        log(channel("oJobManager-locks").lock_info("x").holder["job"])
    """
    result, reported = run(f"jobs:\n{managed(body)}{INIT}")
    assert reported == ["Job: running False 60000", "Job: x", "Job completed"]
    assert result.exit_status == 0
    (record,) = manager.runs()
    assert (record["name"], record["status"], record["inError"]) == ("x", "completed", False)
    assert result.outcomes[1].run_ids == (record["runId"],)
    assert manager.locks.locks() == []


def test_a_failed_run_is_recorded_with_its_error_and_releases_the_lock(
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


def test_an_error_does_not_rewrite_earlier_records(run: Run, manager: JobManager) -> None:
    text = f"jobs:\n{managed('raise ValueError(args[chr(110)])')}{INIT}"
    run(text, n=1)
    (first,) = manager.runs()
    run(text, n=2)
    run(text, n=3)
    assert manager.runs()[-1] == first
    assert [one["error"] for one in manager.runs()] == [f"ValueError: {n}" for n in (3, 2, 1)]


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


class Full:
    """An extension that fails every write of a run's end, as if the storage were full."""

    @oc.hookimpl(wrapper=True)
    def set(self) -> Generator[None, Any, Any]:
        self._refuse()
        return (yield)

    def _refuse(self) -> None:
        raise oc.StorageFull("oJobManager-jobs", "no space left", "free some")


def test_a_run_whose_end_cannot_be_stored_still_releases_its_lock(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job fails, its lock is released at once, and the state of the record is reported."""
    monkeypatch.setattr("ojobchannels.channels.opening._extensions", [Full()])
    look = 'log([lock.name for lock in channel("oJobManager-locks").locks()])'
    result, reported = run(
        f"jobs:\n{managed()}- {{name: Other, exec: '{look}'}}\ntodo: [Job, Other]\n"
    )
    assert result.exit_status == 1
    assert reported[1:] == ["Other: []", "Other completed"]
    for part in (
        "Job failed (StorageFull: ",
        " of job 'x' has ended (completed), but its record still says that it is running\n",
        " will be shown as abandoned; its lock was released",
    ):
        assert part in reported[0]
    (trace,) = (one.error.__traceback__ for one in result.outcomes if one.error is not None)
    assert trace is None or "pluggy" not in "".join(traceback.format_tb(trace))


def test_a_job_that_does_not_run_and_whose_args_cannot_be_rendered_has_no_record(
    run: Run, manager: JobManager
) -> None:
    _, reported = run(
        f"""\
jobs:
- {{name: Bad, exec: 1/0}}
{managed(name='"a-{{n}}"', deps="Bad")}
todo: [oJobManager Init, Bad, Job]
"""
    )
    assert reported[1].startswith("Job: warn: no record was written: ")
    assert reported[2] == "Job depsfail (dependency 'Bad' failed)"
    assert manager.runs() == []


def test_code_of_a_managed_job_finds_its_run_and_can_update_it(
    run: Run, manager: JobManager
) -> None:
    """This also holds in a job that it calls, but not in one that it launches."""
    body = """
        from ojobchannels.manager import current_run
        current_run().update(progress=0.25)
        job("Helper")
        log(launch("Look").result())
    """
    _, reported = run(
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
    assert [line for line in reported if ": " in line] == ["Job: None", "After: None"]
    (record,) = manager.runs()
    assert (record["progress"], record["helped"], record["status"]) == (0.25, True, "completed")


def test_the_current_run_is_the_latest_open_run_of_the_job(run: Run) -> None:
    """After the call it is the caller's run again."""
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
    _, reported = run(
        f"""\
jobs:
{managed(body)}
{managed("from ojobchannels.manager import current_run; log(current_run().name)", "z", "Inner")}
todo: [Job]
"""
    )
    message = [line.partition(": ")[2] for line in reported if ": " in line]
    assert message == ["x", "y", "z", "y", "None"]
    assert current_run() is None


def test_a_lost_lock_fails_the_job_at_its_end_without_harm_to_the_new_holder(
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
def test_a_lost_lock_is_reported_once(run: Run, end: str) -> None:
    """This holds whether the code notices it, fails for another reason, or completes."""
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
    _, reported = run(f"jobs:\n{managed(body)}{INIT}")
    assert "\n".join(reported).count("lost the lock") == 1


def test_a_busy_lock_in_the_body_is_an_error_and_not_a_skip(run: Run, manager: JobManager) -> None:
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


def test_the_record_keeps_the_args_without_those_of_the_manager(
    run: Run, manager: JobManager
) -> None:
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
    ("args", "message"),
    [
        ({}, "`name` is missing; pass the name of the run"),
        ({"name": 5}, "`name` is 5; pass the name of the run"),
        ({"name": "x", "timeout": "soon"}, "`timeout` is 'soon'; pass milliseconds"),
        ({"name": "x", "timeout": 0}, "`timeout` is 0; pass milliseconds"),
    ],
)
def test_a_start_with_invalid_args_is_reported(
    run: Run, args: dict[str, Any], message: str
) -> None:
    """Args that only the run shows fail the job."""
    result, _ = run("jobs: [{name: Job, from: oJobManager Job Start}]\ntodo: [Job]\n", **args)
    error = result.outcomes[0].error
    assert isinstance(error, InvalidJobArgs)
    assert message in str(error)


@pytest.mark.parametrize("arg", ["timeout", "lockAtLeastFor"])
def test_a_time_of_any_length_is_accepted(run: Run, arg: str) -> None:
    """More than a hundred years are the same as a hundred years."""
    body = managed("pass").replace(", timeout: 60000", "")
    body = body.replace("name: x", f"name: x, {arg}: 9000000000000000000")
    result, _ = run(f"jobs:\n{body}{INIT}")
    assert [outcome.error for outcome in result.outcomes] == [None, None]


def test_a_run_is_not_started_twice_by_one_job(run: Run, manager: JobManager) -> None:
    result, _ = run(
        f"jobs:\n{managed('job(chr(111) + args[chr(115)], args)')}{INIT}", s="JobManager Job Start"
    )
    error = result.outcomes[1].error
    assert isinstance(error, JobMisuse)
    assert str(error).startswith("job 'Job': it has already started 'x'")
    assert [one["status"] for one in manager.runs()] == ["failed"]
