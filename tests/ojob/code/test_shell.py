"""The language `shell`: args in the environment and on stdin, output reported by line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from ojobchannels import JobFileError, JobManager, LockBusy
from ojobchannels.ojob import Control, Output, RunResult, check_file, run_file
from ojobchannels.ojob.report.events import Event

Shell = Callable[..., tuple[RunResult, list[str]]]


class Lines:
    """Keeps the lines that jobs log."""

    def __init__(self) -> None:
        self.reported: list[str] = []

    def emit(self, event: Event) -> None:
        if event.kind in ("log", "failed"):
            self.reported.append(event.message)

    def close(self) -> None:
        pass


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run a script as the body of a job, then log its args."""

    def shell(script: str, type_args: str = "{}", **args: Any) -> tuple[RunResult, list[str]]:
        code = "".join(f"    {line}\n" for line in dedent(script).splitlines())
        path = tmp_path / "f.yaml"
        path.write_text(
            "jobs:\n- name: Args\n  lang: python\n  exec: log(sorted(args.items()))\n"
            f"- name: A\n  lang: shell\n  typeArgs: {type_args}\n  to: Args\n  exec: |\n{code}"
            "todo: [A]\n"
        )
        lines = Lines()
        return run_file(path, args, Output(lines)), lines.reported

    return shell


def test_args_are_environment_variables(shell: Shell) -> None:
    """Scalars as they are, booleans as words, null empty, nested keys joined by underscores, lists
    as JSON."""
    _, reported = shell(
        'echo "$name|$on|$none|$user_first_name|$list"',
        name="a b; echo c",
        on=True,
        none=None,
        user={"first-name": "Ö"},
        list=[1, "x"],
    )
    assert reported[0] == 'a b; echo c|true||Ö|[1, "x"]'


def test_args_are_json_on_standard_input(shell: Shell) -> None:
    """All of them, also more than a pipe holds."""
    _, reported = shell("wc -c; echo", text="x" * 100_000)
    assert int(reported[0]) == len('{"text": ""}') + 100_000


def test_output_is_reported_line_by_line(shell: Shell) -> None:
    """Standard output as it is, standard error as warnings, also without a final newline."""
    result, reported = shell("echo one; echo; printf two; printf three >&2")
    assert result.exit_status == 0
    assert sorted(reported[:-1]) == ["", "one", "two", "warning: three"]


def test_a_map_in_the_last_line_is_added_to_args(shell: Shell) -> None:
    """It is not reported; a map in another line is."""
    _, reported = shell("""echo '{"a": 1}'; echo '{"b": [2], "n": "new"}'""", n="old")
    assert reported == ['{"a": 1}', "[('b', [2]), ('n', 'new')]"]


def test_a_non_zero_exit_status_fails_the_job(shell: Shell, tmp_path: Path) -> None:
    """With the last line of standard error; `to` does not run."""
    result, reported = shell("echo first >&2\necho 'no such table' >&2\nexit 3")
    assert result.exit_status == 1
    where = f"{tmp_path / 'f.yaml'}:10"
    assert f"CodeFailed: {where}: exit status 3: no such table" in reported[-1]


def test_a_signal_fails_the_job(shell: Shell) -> None:
    """The error names the signal."""
    _, reported = shell("kill -KILL $$")
    assert "killed by SIGKILL" in reported[-1]


def test_a_syntax_error_is_found_before_anything_runs(tmp_path: Path) -> None:
    """The shell parses the script when the file is checked."""
    path = tmp_path / "f.yaml"
    path.write_text("jobs:\n- name: A\n  lang: sh\n  exec: |\n    echo a\n    if true; then )\n")
    with pytest.raises(JobFileError) as caught:
        check_file(path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.line == 6
    assert diagnostic.message.startswith("invalid shell: ")


def test_the_timeout_kills_all_that_the_script_has_started(shell: Shell, tmp_path: Path) -> None:
    """The script gets SIGTERM first; all of its processes are gone before the job ends."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    script = f"exec 9>{pipe}\ntrap 'echo ended; exit 1' TERM\nsleep 1000 & sleep 1000"
    result, reported = shell(script, "{timeout: 500}")
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # no process has the other end open any more
    os.close(reader)
    assert result.exit_status == 1
    assert "JobTimeout: job 'A' ran longer than its timeout of 0.5 s" in reported[-1]


def test_the_timeout_kills_what_has_a_session_of_its_own(shell: Shell, tmp_path: Path) -> None:
    """As a program does that keeps away from the signals of the terminal; its children too."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    start = "import os, subprocess; os.setsid(); subprocess.run(['sleep', '1000'])"
    script = f'exec 9>{pipe}\n"$python" -c "{start}" &\nsleep 1000'
    result, _ = shell(script, "{timeout: 500}", python=sys.executable)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # no process has the other end open any more
    os.close(reader)
    assert result.exit_status == 1


def test_nul_in_an_arg_is_refused(shell: Shell) -> None:
    """An environment variable cannot contain it."""
    _, reported = shell("echo", a="\0")
    assert "the arg 'a' contains NUL" in reported[-1]


def test_a_script_runs_in_the_folder_pwd(shell: Shell, tmp_path: Path) -> None:
    """The folder of the run itself does not change."""
    (tmp_path / "data").mkdir()
    before = Path.cwd()
    _, reported = shell("pwd", f"{{pwd: {tmp_path / 'data'}}}")
    assert reported[0] == str(tmp_path / "data")
    assert Path.cwd() == before


def test_a_missing_folder_fails_the_job(shell: Shell, tmp_path: Path) -> None:
    """The error names it, and says what to do."""
    folder = tmp_path / "none"
    _, reported = shell("pwd", f"{{pwd: {folder}}}")
    assert (
        f"it cannot run in the folder {str(folder)!r} ({os.strerror(errno.ENOENT)})" in reported[-1]
    )


def test_a_folder_for_code_in_this_process_is_a_diagnostic(tmp_path: Path) -> None:
    """All jobs share the folder of the process, so one job cannot change it."""
    path = tmp_path / "f.yaml"
    path.write_text("jobs:\n- name: A\n  typeArgs: {pwd: /tmp}\n  exec: log('a')\n")
    with pytest.raises(
        JobFileError,
        match=r"3:14: .*`pwd` only applies to code such as `lang: shell`",
    ):
        check_file(path)


class Stopping(Lines):
    """Stops the daemon at the first line of a job or of its schedule."""

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    def emit(self, event: Event) -> None:
        if (event.kind, event.level, event.job) == ("log", "info", "Tick"):  # not that it was late
            super().emit(event)
            self._control.stop()


@pytest.mark.parametrize(("n", "reported"), [(1, "ran"), (2, "schedule ended")])
def test_the_end_of_a_schedule_is_an_exit_status(tmp_path: Path, n: int, reported: str) -> None:
    """In `stopWhen`, exit status 0 is true, and any other is false."""
    path, control = tmp_path / "f.yaml", Control()
    path.write_text(
        "ojob: {daemon: true, lang: shell}\njobs:\n- name: Tick\n  exec: echo ran\n"
        "  typeArgs: {timeInterval: 500, stopWhen: 'test $n -gt 1'}\n"
        f"todo: [{{name: Tick, args: {{n: {n}}}}}]\n"
    )
    lines = Stopping(control)
    run_file(path, output=Output(lines), control=control)
    assert lines.reported[0].startswith(reported)


@pytest.mark.parametrize(
    "parts",
    [
        "  from: oJobManager Job Start\n  to: oJobManager Job End\n",
        "  typeArgs: {lock: a, lockCh: oJobManager-locks, single: true}\n",
    ],
)
def test_the_lock_holds_as_long_as_the_script_runs(tmp_path: Path, parts: str) -> None:
    """If the process that runs the file is killed, the script continues and keeps the lock."""
    config, pipe = f"sqlite:///{tmp_path / 'm.db'}", tmp_path / "pipe"
    os.mkfifo(pipe)
    path = tmp_path / "f.yaml"
    path.write_text(
        "include: [oJobManager.yaml]\njobs:\n- name: A\n  lang: shell\n"
        f"{parts}  args: {{name: a}}\n  exec: |\n    echo at work\n    cat {pipe}\n"
        "todo: [oJobManager Init, A]\n"
    )
    with (
        JobManager(config, config) as manager,
        subprocess.Popen(
            [sys.executable, "-m", "ojobchannels", "run", path, "--jobs", config],
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        while "at work" not in process.stdout.readline():
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with pytest.raises(LockBusy):
            manager.start("a")
        pipe.write_text("")  # the script comes to its end
        manager.start("a", wait=50).end()


@pytest.mark.parametrize(
    "args",
    [
        {"PATH": "evil"},
        {"LD_PRELOAD": "evil.so"},
        {"ld-PRELOAD": 1, "LD": {"PRELOAD": "evil.so"}},
        {"BASH-ENV": "evil"},
        {"https_proxy": "http://evil"},
        {"SOMETHING_OF_OURS": "evil"},
    ],
)
def test_an_arg_cannot_become_a_variable_that_changes_what_programs_do(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, args: dict[str, Any]
) -> None:
    """Args may be data of others; what a program reads, or the process has, stays as it is."""
    monkeypatch.setenv("SOMETHING_OF_OURS", "ours")
    result, reported = shell("echo ran", **args)
    assert result.exit_status == 1
    assert "rename it, or set the variable in the script" in reported[-1]


def test_an_arg_may_be_called_like_an_equal_variable(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it was passed on from there."""
    monkeypatch.setenv("SOMETHING_OF_OURS", "ours")
    _, reported = shell("echo $SOMETHING_OF_OURS $FOLDER", SOMETHING_OF_OURS="ours", FOLDER="a")
    assert reported[0] == "ours a"


def test_a_result_of_a_script_cannot_choose_the_programs_of_the_next(tmp_path: Path) -> None:
    """The map in its last line becomes args, which do not replace the variable PATH."""
    path = tmp_path / "f.yaml"
    path.write_text(
        "ojob: {lang: shell}\njobs:\n- name: A\n  exec: 'echo ''{\"PATH\": \"evil\"}'''\n"
        "- name: B\n  from: A\n  exec: ls\ntodo: [B]\n"
    )
    lines = Lines()
    assert run_file(path, output=Output(lines)).exit_status == 1
    assert "the arg 'PATH' has the name of an environment variable" in lines.reported[-1]


def test_a_script_longer_than_an_argument_of_a_program_runs(shell: Shell) -> None:
    """It is checked too, and standard input has the args as ever."""
    _, reported = shell("# " + 200_000 * "x" + "\nwc -c", name="a")
    assert reported[0].strip() == str(len('{"name": "a"}'))


def test_an_arg_too_long_for_a_variable_is_refused(shell: Shell) -> None:
    """The error names it, and its limit."""
    _, reported = shell("echo", text="x" * 200_000)
    assert "the arg 'text' is too long for an environment variable" in reported[-1]


def test_a_script_runs_where_no_folder_can_be_written(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose root is read-only: there is no folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    _, reported = shell("echo $a; wc -c", a="b")
    assert reported[0] == "b"


def test_names_of_files_that_are_not_utf8_pass_through(tmp_path: Path) -> None:
    """From args to the script and back, for a job file with such a name too."""
    name = os.fsdecode(b"caf\xe9.yaml")
    path = tmp_path / name
    path.write_text(
        "jobs:\n- name: A\n  lang: shell\n  typeArgs: {single: true}\n"
        '  exec: \'ls "$file"; echo "{\\"same\\": \\"$file\\"}"\'\n'
        '- {name: B, from: A, exec: \'log(args["same"] == args["file"])\'}\ntodo: [A, B]\n'
    )
    lines = Lines()
    result = run_file(path, {"file": str(path)}, Output(lines))
    assert result.exit_status == 0, lines.reported
    assert lines.reported == [f"{tmp_path}/caf\\xe9.yaml"] * 2 + ["True"]


@pytest.mark.parametrize("days", [30, 40_000_000_000])
def test_a_timeout_of_any_length_is_a_timeout(shell: Shell, days: int) -> None:
    """Longer than the system can wait in one call."""
    result, reported = shell("echo hello", f"{{timeout: {days * 86_400_000}}}")
    assert (result.exit_status, reported[0]) == (0, "hello")


def test_a_line_of_many_megabytes_is_read_in_time_that_grows_with_its_length(shell: Shell) -> None:
    """Twice the length takes about twice as long, not four times."""

    def seconds(megabytes: int) -> float:
        began = time.process_time()
        _, reported = shell(f"head -c {megabytes}000000 /dev/zero | tr '\\0' x")
        assert len(reported[0]) == megabytes * 1_000_000
        return time.process_time() - began

    seconds(1)
    assert seconds(24) < 8 * seconds(6) + 0.2
