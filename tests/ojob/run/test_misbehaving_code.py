"""Code of jobs that raises, catches or forks what it should not: only its own job is affected."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent
from typing import TYPE_CHECKING

import pytest

from ojobchannels import JobManager

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


@pytest.mark.parametrize(
    ("raised", "name"),
    [
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise __import__('asyncio').CancelledError", "CancelledError"),
    ],
)
def test_only_a_signal_stops_a_run(run: Run, raised: str, name: str) -> None:
    """What code raises fails its job, and the callers of the job can catch it as an Exception."""
    result, reported = run(
        f"""\
        jobs:
        - {{name: Part, exec: "{raised}"}}
        - name: Caller
          exec: |
            for call in (lambda: job("Part"), lambda: launch("Part").result()):
                try:
                    call()
                except Exception as error:
                    log("caught")
        - {{name: After, exec: log('after')}}
        todo: [Part, Caller, After]
        """
    )
    assert result.exit_status == 1
    assert f"CodeFailed: {result.outcomes[0].error}" in reported[0]
    assert f"it raised {name}" in reported[0]
    assert reported.count("Caller: caught") == 2
    assert "After: after" in reported


def test_a_signal_whose_exception_is_caught_still_stops_the_run(run: Run) -> None:
    """The job that caught it may end; neither another job nor a launch starts after that."""
    result, reported = run(
        """\
        jobs:
        - name: Retry
          exec: |
            import signal
            for attempt in range(2):
                try:
                    signal.raise_signal(signal.SIGTERM)
                except:
                    log("failed, trying again")
            for call in (job, launch):
                try:
                    call("Next")
                except BaseException as error:
                    log(type(error).__name__)
        - {name: Next, exec: log('next')}
        todo: [Retry, Next]
        """
    )
    assert reported == [
        "Retry: failed, trying again",
        "Retry: failed, trying again",
        "Retry: Interrupted",
        "Retry: Interrupted",
        "Retry completed",
        "ojob: warn: interrupted: not started: 'Next'",
    ]
    assert result.exit_status == 130


def test_a_group_of_errors_is_reported_with_the_errors_in_it(run: Run) -> None:
    """As of a task group: its own text says only how many there are."""
    code = 'raise ExceptionGroup("many", [ValueError("a"), ExceptionGroup("b", [KeyError("c")])])'
    result, _ = run(f"jobs:\n- name: Job\n  exec: |\n    {code}\ntodo: [Job]\n")
    (outcome,) = result.outcomes
    assert outcome.reason is not None
    assert "ValueError: a; ExceptionGroup: b " in outcome.reason
    assert outcome.reason.endswith("KeyError: 'c'")


_ODD_ERRORS = {
    "without a text": """\
        class Odd(Exception):
            def __str__(self): return self.missing
        raise Odd
        """,
    "frozen": """\
        from dataclasses import dataclass
        @dataclass(frozen=True)
        class Odd(Exception):
            code: int = 7
        raise Odd
        """,
    "with attributes that fail": """\
        class Odd(Exception):
            def __getattr__(self, name): raise RuntimeError(name)
        raise Odd
        """,
    "that is false": """\
        class Odd(Exception):
            def __bool__(self): return False
            def with_traceback(self, frames): raise RuntimeError
        raise Odd
        """,
    "with an odd name": """\
        class Odd(AttributeError): pass
        raise Odd(name=["unhashable"])
        """,
}


@pytest.mark.parametrize("code", _ODD_ERRORS.values(), ids=_ODD_ERRORS)
def test_an_odd_error_fails_its_job_only(run: Run, manager: JobManager, code: str) -> None:
    """Also where `catch` fails too; the record of a managed job is that of a failure."""
    body = indent(dedent(code), 12 * " ")
    result, reported = run(
        f"""\
        jobs:
        - name: Odd
          from: oJobManager Job Start
          to: oJobManager Job End
          args: {{name: odd}}
          catch: raise ValueError("catch fails")
          exec: |
{body}
        - {{name: After, exec: log('after')}}
        todo: [oJobManager Init, Odd, After]
        """
    )
    assert [outcome.status for outcome in result.outcomes] == ["completed", "failed", "completed"]
    assert reported[-2:] == ["After: after", "After completed"]
    (record,) = manager.runs("odd")
    assert record["status"] == "failed"
    assert record["error"].startswith("Odd")


def test_args_without_a_working_repr_do_not_fail_a_managed_job(
    run: Run, manager: JobManager
) -> None:
    """The record names their type."""
    result, _ = run(
        """\
        jobs:
        - name: Open
          exec: |
            class Row:
                def __repr__(self): raise RuntimeError("detached")
            args["row"] = Row()
            args["rows"] = [args["row"]]
        - name: Work
          from: [Open, oJobManager Job Start]
          to: oJobManager Job End
          args: {name: work}
        todo: [oJobManager Init, Work]
        """
    )
    assert result.exit_status == 0
    (record,) = manager.runs("work")
    text = "whose text is not available (RuntimeError)>"
    assert record["args"] == {"row": f"<Row, {text}", "rows": f"<list, {text}"}


@pytest.mark.parametrize("timeout", ["{}", "{timeout: 60000, onTimeout: kill}"])
@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "1 / 0", "return"])
def test_a_forked_child_does_not_run_the_rest_of_the_todo(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str], end: str, timeout: str
) -> None:
    """It ends with its code, with the exit status of a program, and cannot call jobs."""
    result, reported = run(
        f"""\
        jobs:
        - name: Fork
          typeArgs: {timeout}
          exec: |
            import os
            child = os.fork()
            if child == 0:
                try:
                    job("Pay")
                except Exception as error:
                    print("refused:", error)
                {end}
            else:
                log(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        - name: Pay
          exec: |
            with open("{tmp_path}/bills", "a") as bills: bills.write("paid")
        todo: [Fork, Pay]
        """
    )
    status = {"1 / 0": 1, "raise SystemExit(3)": 3}.get(end, 0)
    assert reported[0] == f"Fork: {status}"
    assert result.exit_status == 0
    assert (tmp_path / "bills").read_text() == "paid"
    assert "in a process that the job has forked" in capfd.readouterr().out


def test_child_processes_have_the_signal_handlers_of_before(run: Run) -> None:
    """A worker of multiprocessing ends at SIGTERM; it does not raise our interrupt."""
    _, reported = run(
        """\
        jobs:
        - name: Terminate
          exec: |
            import multiprocessing, signal
            context = multiprocessing.get_context("fork")
            child = context.Process(target=signal.pause)
            child.start()
            child.terminate()
            child.join()
            log(child.exitcode)
        todo: [Terminate]
        """
    )
    assert reported[0] == "Terminate: -15"
