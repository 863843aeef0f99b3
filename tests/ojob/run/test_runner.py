"""Running a job file: steps, catch, deps, skipping, exit status, and default output."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from ojobchannels.errors import JobMisuse, UnknownJob
from ojobchannels.ojob import run_file

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


try:
    1 / 0  # noqa: B018  it raises
except ZeroDivisionError as error:
    DIVIDED = f"ZeroDivisionError: {error}"  # in the words of this interpreter

STEPS = """\
jobs:
- {name: Before, exec: "log('before'); 1 / (args['fail'] != 'from')"}
- {name: After, exec: "log('after'); 1 / (args['fail'] != 'to')"}
- {name: Alarm, exec: "log('alarm', type(error).__name__)"}
- name: Job
  from: Before
  to: After
  catch: Alarm
  args: {fail: never}
  exec: |
    log("body")
    if args["fail"] == "nowhere":
        return
    1 / (args["fail"] != "exec")
- {name: Dependent, deps: Job, exec: log("dependent")}
- {name: Other, exec: log("other")}
todo: [Job, Dependent, Other]
"""


def test_from_exec_and_to_run_as_steps_in_this_order(run: Run) -> None:
    result, reported = run(STEPS)
    assert reported[:4] == ["Job: before", "Job: body", "Job: after", "Job completed"]
    assert result.exit_status == 0


def test_return_ends_only_the_body(run: Run) -> None:
    _, reported = run(STEPS, fail="nowhere")
    assert reported[:4] == ["Job: before", "Job: body", "Job: after", "Job completed"]


@pytest.mark.parametrize(
    ("place", "steps"),
    [("from", ["before"]), ("exec", ["before", "body"]), ("to", ["before", "body", "after"])],
)
def test_an_exception_in_any_step_runs_catch_and_fails_the_job(
    run: Run, place: str, steps: list[str]
) -> None:
    """Its dependents are skipped, and the rest of the todo runs."""
    result, reported = run(STEPS, fail=place)
    assert reported == [
        *(f"Job: {step}" for step in steps),
        "Job: alarm ZeroDivisionError",
        f"Job failed ({DIVIDED})",
        "Dependent depsfail (dependency 'Job' failed)",
        "Other: other",
        "Other completed",
    ]
    assert result.exit_status == 1


def test_without_catch_only_the_handler_is_missing(run: Run) -> None:
    _, reported = run(STEPS.replace("  catch: Alarm\n", ""), fail="exec")
    assert reported[2] == f"Job failed ({DIVIDED})"
    assert reported[-1] == "Other completed"


@pytest.mark.parametrize(
    ("catch", "messages"),
    [
        ("Alarm", ["alarm 5"]),
        ("[Alarm, Horn]", ["alarm 5", "horn"]),
        ("log(type(error).__name__, args['n'])", ["ValueError 5"]),
        ("|\n    if args['n'] == 5:\n        return\n    log('not reached')", []),
    ],
)
def test_catch_is_a_job_a_list_of_jobs_or_code(run: Run, catch: str, messages: list[str]) -> None:
    result, reported = run(
        "jobs:\n"
        "- {name: Alarm, exec: \"log('alarm', args['n'])\"}\n"
        "- {name: Horn, exec: log('horn')}\n"
        f"- name: Job\n  args: {{n: 5}}\n  exec: raise ValueError\n  catch: {catch}\n"
        "todo: [Job]\n"
    )
    assert reported == [*(f"Job: {line}" for line in messages), "Job failed (ValueError)"]
    assert result.exit_status == 1


def test_a_catch_that_fails_does_not_hide_the_error_nor_stop_the_other_handlers(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: Broken, exec: {}["x"]}
        - {name: Alarm, exec: log("alarm")}
        - {name: Job, exec: raise ValueError("the reason"), catch: [Broken, Alarm]}
        todo: [Job]
        """.replace('{}["x"]', "\"{}['x']\"")
    )
    assert reported == [
        "Job: alarm",
        "Job failed (ValueError: the reason\nits `catch` failed too: KeyError: 'x')",
    ]
    error = result.outcomes[0].error
    assert isinstance(error, ValueError)
    assert error.__notes__ == ["its `catch` failed too: KeyError: 'x'"]


def test_sys_exit_in_a_catch_does_not_end_the_run(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: Job, exec: 1/0, catch: raise SystemExit(3)}
        - {name: Other}
        todo: [Job, Other]
        """
    )
    assert "its `catch` failed too: CodeFailed: " in reported[0]
    assert "it raised SystemExit: 3; " in reported[0]
    assert reported[-1] == "Other completed"
    assert isinstance(result.outcomes[0].error, ZeroDivisionError)


def test_skip_in_a_from_skips_body_and_to(run: Run) -> None:
    """Dependents of the job do not run either, and the exit status stays 0."""
    result, reported = run(
        """\
        jobs:
        - {name: Look, exec: "try:\\n  skip('no news')\\nexcept Exception:\\n  log('swallowed')"}
        - {name: After, exec: log("after")}
        - {name: Job, from: [Look, After], to: After, catch: log("caught"), exec: log("body")}
        - {name: Dependent, deps: Job}
        todo: [Job, Dependent]
        """
    )
    assert reported == [
        "Job skipped (no news)",
        "Dependent depsfail (dependency 'Job' was skipped)",
    ]
    assert result.exit_status == 0


@pytest.mark.parametrize("place", ["exec: skip('x')", "to: Look", "exec: 1/0, catch: skip('x')"])
def test_skip_after_the_from_is_refused(run: Run, place: str) -> None:
    result, reported = run(
        f"jobs:\n- {{name: Look, exec: skip('x')}}\n- {{name: Job, {place}}}\ntodo: [Job]"
    )
    assert any("skip() was called outside" in line for line in reported)
    assert result.exit_status == 1


def test_from_and_to_of_a_from_job_are_steps_too_but_its_catch_is_not(run: Run) -> None:
    _, reported = run(
        """\
        jobs:
        - {name: A, exec: log("a")}
        - {name: B, exec: log("b")}
        - {name: Outer, from: A, to: B, exec: log("outer"), catch: log("not me")}
        - {name: Job, from: Outer, exec: log("body"), to: Outer, catch: log("me")}
        - {name: Bad, exec: 1/0, catch: log("not me")}
        - {name: Failing, from: Bad, catch: log("me")}
        todo: [Job, Failing]
        """
    )
    assert reported[:7] == [f"Job: {message}" for message in "a outer b body a outer b".split()]
    assert reported[-2:] == ["Failing: me", f"Failing failed ({DIVIDED})"]


def test_the_todo_keeps_its_order_except_for_entries_that_must_wait(run: Run) -> None:
    _, reported = run(
        """\
        jobs:
        - {name: A}
        - {name: B, deps: [A, C]}
        - {name: C, deps: A}
        - {name: D}
        - {name: Part of E, deps: D}
        - {name: E, from: Part of E}
        todo: [E, B, C, D, A, A]
        """
    )
    assert reported == [f"{name} completed" for name in "D E A A C B".split()]


def test_a_failed_dependency_stops_its_dependents_and_no_other_job(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: A, exec: 1/0}
        - {name: B, deps: A}
        - {name: C, deps: B}
        - {name: D}
        todo: [C, B, A, D]
        """
    )
    assert reported == [
        f"A failed ({DIVIDED})",
        "B depsfail (dependency 'A' failed)",
        "C depsfail (dependency 'B' did not run)",
        "D completed",
    ]
    assert result.exit_status == 1


def test_job_runs_another_job_now_and_returns_its_result_or_its_args(run: Run) -> None:
    _, reported = run(
        """\
        jobs:
        - {name: Look, exec: skip("not today")}
        - {name: Add, exec: "return args['a'] + 1"}
        - {name: Fill, exec: "args['b'] = args['a'] + 1"}
        - {name: Skipped, from: Look}
        - name: Job
          exec: |
            log(job("Add", {"a": 1}), job("Fill", {"a": 2}), job("Skipped"))
        todo: [Job]
        """
    )
    assert reported[-2:] == ["Job: 2 {'a': 2, 'b': 3} None", "Job completed"]


def test_job_raises_the_error_of_the_job_and_the_caller_can_handle_it(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: Bad, exec: raise KeyError("x"), catch: log("caught")}
        - {name: Careful, exec: "try:\\n  job('Bad')\\nexcept KeyError as e:\\n  log('fell', e)"}
        - {name: Careless, exec: job('Bad')}
        todo: [Careful, Careless]
        """
    )
    assert reported[2:4] == ["Careful: fell 'x'", "Careful completed"]
    assert [outcome.status for outcome in result.outcomes] == ["completed", "failed"]


def test_an_unknown_job_is_reported_with_the_closest_name(run: Run) -> None:
    result, _ = run(
        """\
        jobs:
        - {name: Count Words}
        - {name: Job, exec: "name = 'Count Word'; job(name)"}
        todo: [Job]
        """
    )
    error = result.outcomes[0].error
    assert isinstance(error, UnknownJob)
    assert error.hint == "Count Words"


@pytest.mark.parametrize("call", ["job('A', 5)", "job('A', {1: 2})", "launch('A', ['a'])"])
def test_args_of_a_call_must_be_a_map(run: Run, call: str) -> None:
    result, _ = run(f'jobs: [{{name: A}}, {{name: Job, exec: "{call}"}}]\ntodo: [Job]')
    assert "is not a map of args; pass a dict" in str(result.outcomes[0].error)


def test_a_channel_is_simple_by_default(run: Run, tmp_path: Path) -> None:
    """Jobs of one run share it, and scalar keys and values keep their type."""
    file = tmp_path / "c.db"
    result, reported = run(
        f"""\
        jobs:
        - name: Write
          exec: |
            channel("memory").set("k", 5)
            channel("disk", {{"type": "db", "args": {{"file": "{file}"}}}}).set(1, "one")
        - name: Read
          exec: |
            log(repr(channel("memory").get("k")), repr(channel("disk").get(1)))
        - name: Mix Up
          exec: |
            channel("disk", {{"type": "simple"}})
        todo: [Write, Read, Mix Up]
        """
    )
    assert "Read: 5 'one'" in reported
    assert file.exists()
    assert isinstance(result.outcomes[2].error, JobMisuse)


def test_a_file_without_a_todo_says_that_there_is_nothing_to_do(run: Run) -> None:
    result, reported = run("jobs: [{name: A}]")
    assert result.exit_status == 0
    assert len(reported) == 1
    assert "has no todo: nothing to do" in reported[0]


@pytest.mark.parametrize("broken", ["closed", "full", "none"])
def test_work_continues_if_the_default_output_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Reports and log lines are dropped, and the outcomes are those of the work."""
    path = tmp_path / "f.yaml"
    path.write_text(
        "jobs:\n"
        "- {name: A, exec: \"log('heard?'); log_err('heard?'); log(chr(0xDC80))\"}\n"
        "- {name: B, exec: 1 / 0}\n"
        "todo: [A, B, A]\n"
    )
    with suppress(OSError), Path("/dev/full").open("w", encoding="ascii") as stream:
        if broken == "closed":
            stream.close()
        with monkeypatch.context() as patch:
            for name in ("stdout", "stderr"):
                patch.setattr(sys, name, None if broken == "none" else stream)
            result = run_file(path)
    assert [outcome.status for outcome in result.outcomes] == ["completed", "failed", "completed"]


def test_the_default_output_is_lines_of_time_job_and_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        dedent("""\
        jobs:
        - name: Job
          exec: |
            log("two", 2)
            log("a\\nb")
            log_warn("careful")
            log_err("bad")
            print("plain")
        - {name: Bad, exec: 1 / 0}
        - {name: Never, deps: Bad}
        todo: [Job, Bad, Never]
        """)
    )
    run_file(path)
    out, err = capsys.readouterr()
    bare = [line.partition(" | ")[2] or line for line in out.splitlines()]
    bare[6] = bare[6].rpartition(" in ")[0]
    assert bare == [
        "Job | started",
        "Job | two 2",
        "Job | a",
        "Job | b",
        "Job | warning: careful",
        "plain",
        "Job | completed",
        "Bad | started",
        "Never | not run: dependency 'Bad' failed",
    ]
    assert err.splitlines()[0].endswith(" | Job | error: bad")
    assert re.search(rf" \| Bad \| failed after \d+\.\d+ s: {re.escape(DIVIDED)}", err)
    assert f' | Bad |   File "{path}", line 9, in Bad' in err


def test_parts_can_be_nested_to_any_depth(run: Run) -> None:
    """Each runs before the job that it is part of, regardless of Python's recursion limit."""
    chain = "".join(f"- {{name: J{at}, from: J{at + 1}}}\n" for at in range(1, 800))
    _, reported = run(
        "jobs:\n- {name: J0, from: J1, exec: log('last')}\n"
        f"{chain}- {{name: J800, exec: log('first')}}\ntodo: [J0]\n"
    )
    assert reported == ["J0: first", "J0: last", "J0 completed"]
