"""How blocks of JavaScript are checked, run, and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from ojobchannels import JobFileError, JobManager, LockBusy
from ojobchannels.manager.runs.run_options import RunOptions
from ojobchannels.ojob import Control, Output, check_file, run_file
from ojobchannels.ojob.report.events import Event

THROWN = {
    "throw new TypeError('no')": "TypeError: no",
    "throw 'Job failed due to condition';": "Job failed due to condition",
    "throw {code: 5};": '{"code":5}',
    "nowhere();": "ReferenceError: nowhere is not defined",
    "null.field": "TypeError: cannot read property 'field' of null",
    "(function deeper() { return deeper() })();": "RangeError: Maximum call stack size exceeded",
    "$ch('oJobManager-jobs').getAll();": "JobMisuse: job 'A': the channel 'oJobManager-jobs' "
    "needs the manager; put 'oJobManager Init' before it in the todo",
}


@pytest.mark.parametrize("code", THROWN)
def test_a_thrown_value_is_reported_with_its_line(
    run: Callable[..., Any], tmp_path: Path, code: str
) -> None:
    """The line is that of the YAML file, even for a thrown string, which has none."""
    result, reported = run(
        f"""\
        jobs:
        - name: A
          exec: |
            // throw "a comment"
            var text = "throw 'a text' " + `throw 1`;

            {code}
        todo: [A]
        """
    )
    assert result.exit_status == 1
    assert reported == [f"A failed (CodeFailed: {tmp_path / 'f.yaml'}:7: {THROWN[code]})"]


def test_an_error_in_one_line_code_is_reported_with_its_line(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    """Code on the line of its key fails in that line."""
    _, reported = run("jobs:\n- name: A\n  exec: throw 'x'\ntodo: [A]\n")
    assert reported == [f"A failed (CodeFailed: {tmp_path / 'f.yaml'}:3: x)"]


def test_a_syntax_error_of_the_code_is_found_before_anything_runs(tmp_path: Path) -> None:
    """The file is refused with the line and column of the error."""
    path = tmp_path / "f.yaml"
    path.write_text("jobs:\n- name: A\n  exec: |\n    var a = 1;\n    a b;\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path, lang="js")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.line, diagnostic.column) == (5, 7)
    assert diagnostic.message.startswith("invalid js: ")


def test_code_cannot_leave_its_function(tmp_path: Path) -> None:
    """Unbalanced braces are an error, whatever they enclose."""
    path = tmp_path / "f.yaml"
    path.write_text("jobs:\n- name: A\n  exec: |\n    }); (function () {\n")
    with pytest.raises(JobFileError, match="invalid js"):
        check_file(path, lang="js")


def test_return_ends_only_the_body(run: Callable[..., Any]) -> None:
    """`return` gives the result of the body, and `to` still runs."""
    result, reported = run(
        """\
        jobs:
        - name: After
          exec: log("after");
        - name: A
          to: After
          exec: |
            if (true) return;
            log("never");
        todo: [A]
        """
    )
    assert (result.exit_status, reported) == (0, ["A: after", "A completed"])


def test_an_error_of_the_job_can_be_caught(run: Callable[..., Any]) -> None:
    """An exception of a called job is an Error with its name and message."""
    result, reported = run(
        """\
        jobs:
        - name: Bad
          typeArgs: {lang: python}
          exec: raise KeyError("it")
        - name: A
          exec: |
            try { $job("Bad") } catch (e) { log(e.name + "|" + e.message) }
        todo: [A]
        """
    )
    assert result.exit_status == 0
    assert "A: KeyError|'it'" in reported


def test_code_under_catch_knows_the_error(run: Callable[..., Any]) -> None:
    """Code under `catch` has the same language, and the error as `error`."""
    _, reported = run(
        """\
        jobs:
        - name: A
          exec: throw "no";
          catch: |
            logErr("caught " + error);
        todo: [A]
        """
    )
    assert reported[0].startswith("A: error: caught ")
    assert reported[0].endswith("f.yaml:3: no")


def test_skip_skips_the_rest(run: Callable[..., Any]) -> None:
    """`skip` in a `from` ends the code, which cannot catch it, and the job is skipped."""
    result, reported = run(
        """\
        jobs:
        - name: Look
          exec: try { skip("nothing to do") } finally { log("never") }
        - name: A
          from: Look
          exec: log("never");
        todo: [A]
        """
    )
    assert (result.exit_status, reported) == (0, ["A skipped (nothing to do)"])


def test_a_loop_is_ended_by_the_timeout_of_the_job(run: Callable[..., Any]) -> None:
    """`typeArgs.timeout` ends a block that loops forever."""
    result, reported = run(
        """\
        jobs:
        - name: A
          typeArgs: {timeout: 300}
          exec: while (true) {}
        todo: [A]
        """
    )
    assert result.exit_status == 1
    assert "JobTimeout: job 'A' ran longer than its timeout of 0.3 s" in reported[0]


def test_a_loop_is_ended_by_the_timeout_of_its_managed_run(
    run: Callable[..., Any], manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The `timeout` of the managed run ends it too; this is recorded, and the lock is released."""
    monkeypatch.setattr(RunOptions, "ttl", 60.0)  # a machine that stalls loses no lease
    result, _ = run(
        """\
        include: [oJobManager.yaml]
        jobs:
        - name: Init
          to: oJobManager Init
        - name: A
          from: oJobManager Job Start
          to: oJobManager Job End
          catch: oJobManager Error
          args: {name: looping, timeout: 500}
          exec: |
            for (;;) { nowUTC(); }
        todo: [Init, A]
        """
    )
    assert result.exit_status == 1
    (record,) = manager.runs("looping")
    assert record["status"] == "failed"
    assert "timeout" in record["error"]
    assert manager.locks.lock_info("looping") is None


def test_a_loop_is_ended_when_its_run_is_cancelled(
    run: Callable[..., Any], manager: JobManager
) -> None:
    """Although it calls nothing; the record has the author and the reason."""
    subscription = manager.jobs.subscribe(
        lambda change: (
            manager.cancel(change.value["runId"], author="ann@desk", reason="stuck")
            if change.op == "set" and change.value["status"] == "running"
            else None
        )
    )
    result, _ = run(
        """\
        include: [oJobManager.yaml]
        jobs:
        - name: Init
          to: oJobManager Init
        - name: A
          from: oJobManager Job Start
          to: oJobManager Job End
          catch: oJobManager Error
          args: {name: looping}
          exec: while (true) {}
        todo: [Init, A]
        """
    )
    subscription.close()
    assert result.exit_status == 1
    (record,) = manager.runs("looping")
    assert record["status"] == "cancelled"
    assert "cancelled by ann@desk: stuck" in record["error"]
    assert manager.locks.lock_info("looping") is None


def test_code_under_catch_has_its_own_time_limit(run: Callable[..., Any]) -> None:
    """After a timeout, code under `catch` runs, and is ended after the same time if it loops."""
    _, reported = run(
        """\
        jobs:
        - name: A
          typeArgs: {timeout: 1000}
          exec: while (true) {}
          catch: |
            log("caught");
            while (true) {}
        todo: [A]
        """
    )
    assert reported[0] == "A: caught"
    assert "its `catch` failed too: JobTimeout" in reported[1]


def test_memory_is_limited(run: Callable[..., Any]) -> None:
    """A block that takes ever more memory fails before the host does."""
    result, reported = run(
        """\
        jobs:
        - name: A
          exec: |
            var all = [];
            for (;;) all.push(new ArrayBuffer(64 << 20));
        todo: [A]
        """
    )
    assert result.exit_status == 1
    assert "out of memory" in reported[0]


def test_a_crash_of_the_engine_is_reported(run: Callable[..., Any]) -> None:
    """A child process that dies fails its job, and the error says how it died."""
    result, reported = run(
        """\
        jobs:
        - name: Kill
          typeArgs: {lang: python}
          exec: |
            import os, signal
            from pathlib import Path
            for task in Path("/proc/self/task").iterdir():
                for pid in (task / "children").read_text().split():
                    if b"ojobchannels_js" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(int(pid), signal.SIGKILL)
        - name: A
          exec: |
            $job("Kill");
            for (;;) {}
        todo: [A]
        """
    )
    assert result.exit_status == 1
    assert "f.yaml:13: the engine ended before the code: SIGKILL" in reported[-1]


def test_a_returned_promise_is_awaited(run: Callable[..., Any]) -> None:
    """Its value is the result of the body; if it is rejected, the job fails."""
    result, reported = run(
        """\
        jobs:
        - name: Later
          exec: |
            async function later() { return await 5; }
            return later();
        - name: Never
          exec: |
            return (async () => { throw new Error("no") })();
        - name: A
          exec: |
            log($job("Later"));
            $job("Never");
        todo: [A]
        """
    )
    assert result.exit_status == 1
    assert "A: 5" in reported
    assert reported[-1].endswith("Error: no)")


class Stopping:
    """Stops the daemon at the first line of a job or of its schedule."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.reported: list[str] = []

    def emit(self, event: Event) -> None:
        if (event.kind, event.level, event.job) == ("log", "info", "Tick"):  # not that it was late
            self.reported.append(event.message)
            self._control.stop()

    def close(self) -> None:
        pass


@pytest.mark.parametrize("code", ["args.n > 1 // more", "var n = args.n; return n > 1;"])
@pytest.mark.parametrize(("n", "reported"), [(1, "ran"), (2, "schedule ended")])
def test_the_end_of_a_schedule_is_an_expression_or_a_body(
    tmp_path: Path, code: str, n: int, reported: str
) -> None:
    """`stopWhen` may be a single expression, or return a value."""
    path, control = tmp_path / "f.yaml", Control()
    path.write_text(
        "ojob: {daemon: true, lang: js}\njobs:\n- name: Tick\n  exec: log('ran')\n"
        f"  typeArgs: {{timeInterval: 500, stopWhen: {json.dumps(code)}}}\n"
        f"todo: [{{name: Tick, args: {{n: {n}}}}}]\n"
    )
    lines = Stopping(control)
    run_file(path, output=Output(lines), control=control)
    assert lines.reported[0].startswith(reported)


def test_the_lock_ends_with_the_process_that_runs_the_file(
    tmp_path: Path, config: dict[str, Any], manager: JobManager
) -> None:
    """If that process is killed, its engine ends too, even if its code loops."""
    path = tmp_path / "f.yaml"
    path.write_text(
        dedent(
            """\
            include: [oJobManager.yaml]
            jobs:
            - name: Init
              to: oJobManager Init
            - name: A
              from: oJobManager Job Start
              to: oJobManager Job End
              args: {name: a}
              exec: |
                log("at work");
                for (;;) {}
            todo: [Init, A]
            """
        )
    )
    places = f"sqlite:///{config['args']['file']}"
    process = subprocess.Popen(
        [sys.executable, "-m", "ojobchannels", "run", path, "--lang", "js", "--jobs", places],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            while "at work" not in process.stdout.readline():
                pass
            with pytest.raises(LockBusy):
                manager.start("a")
            os.kill(process.pid, signal.SIGKILL)
            manager.start("a", wait=60).end()
            assert process.stdout.read() == ""  # the engine, which has it open as stderr, is gone
        finally:
            process.kill()
