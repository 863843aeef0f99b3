"""Programs in forks of a prepared interpreter behave like those of an interpreter of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ojobchannels.testing.forks import Forks
from ojobchannels.testing.programs import Program

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting it

Start = Callable[..., Program]
PIPE = subprocess.PIPE


@pytest.fixture
def forks(_ojob_forks: Forks) -> Forks:
    """The process that forks all programs of the tests."""
    return _ojob_forks


@pytest.fixture
def start(forks: Forks) -> Iterator[Start]:
    """Start a program, which is killed at the end of the test."""
    started: list[Program] = []

    def start(code: str, *words: str, **options: Any) -> Program:
        program = Program(forks, ["-c", code, *words], **{"stdout": PIPE, "stderr": PIPE} | options)
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


LATE_THREAD = """
import atexit, threading, time
began = threading.Event()
atexit.register(print, "exit")
def late():
    began.wait()
    threading.main_thread().join()
    print("thread")
threading.Thread(target=late).start()
began.set()
"""


@pytest.mark.parametrize(
    ("code", "status", "out", "err"),
    [
        ("print('text')", 0, "text\n", ""),
        ("import sys; print('text'); sys.exit(3)", 3, "text\n", ""),
        ("import sys; sys.exit('reason')", 1, "", "reason\n"),
        ("1 / 0", 1, "", "ZeroDivisionError"),
        ("import warnings; warnings.warn('odd')", 1, "", "UserWarning: odd"),
        ("opened = open('/dev/null')", 0, "", "ResourceWarning: unclosed file"),
        (LATE_THREAD, 0, "thread\nexit\n", ""),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, "", ""),
        ("import sys; sys.stdout.close()", 0, "", ""),
        ("import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); print()", 120, "", "OSError"),
    ],
)
def test_it_ends_like_an_interpreter(
    start: Start, code: str, status: int, out: str, err: str
) -> None:
    """With its status, after its threads and its functions at exit, and it reports its errors."""
    program = start(code)
    printed, errors = program.communicate()
    assert (program.returncode, printed) == (status, out)
    assert err in errors
    assert bool(err) is bool(errors)


SURROUNDINGS = """
import json, os, signal, sys, threading
json.dump(
    [
        os.getcwd(), dict(os.environ), sys.argv, __name__, sys.stdin.read(), os.getpid(),
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN, threading.active_count(),
        sorted(map(int, os.listdir("/proc/self/fd")))[:3], os.isatty(1), sys.stdout.line_buffering,
    ],
    sys.stdout,
)
"""


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("ignored", [False, True])
def test_it_has_surroundings_of_its_own(start: Start, tmp_path: Path, ignored: bool) -> None:
    """Its folder, environment, words and input; it ignores SIGINT if the test does."""
    environment = {"WORD": "ä", "TZ": "UTC"}
    if ignored:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = start(SURROUNDINGS, "a b", cwd=tmp_path, env=environment, stdin=PIPE)
    out, _ = program.communicate("input")
    assert json.loads(out) == [
        *(str(tmp_path), environment, ["-c", "a b"], "__main__", "input", program.pid),
        *(ignored, 1, [0, 1, 2], False, False),
    ]


@pytest.mark.usefixtures("sigint")
def test_it_runs_on_a_terminal(start: Start) -> None:
    """It writes lines at once, and Ctrl-C interrupts it."""
    ours, its = os.openpty()
    code = "import signal; print('line'); signal.pause()"
    program = start(code, stdin=its, stdout=its, terminal=True)
    os.close(its)
    assert os.read(ours, 100) == b"line\r\n"
    os.write(ours, b"\x03")
    assert program.wait() == -signal.SIGINT
    os.close(ours)


def test_it_runs_a_module(forks: Forks) -> None:
    with Program(forks, ["-m", "json.tool", "--compact"], stdin=PIPE, stdout=PIPE) as program:
        assert program.communicate('{"a": 1}') == ('{"a":1}\n', "")
    assert program.returncode == 0


def test_it_is_sent_signals_and_waited_for(start: Start) -> None:
    """Also after a wait with a timeout, and after its end."""
    program = start("import signal; signal.pause()")
    assert program.poll() is None
    for wait in (program.wait, program.communicate):
        with pytest.raises(subprocess.TimeoutExpired):
            wait(timeout=0.001)
    program.kill()
    assert program.communicate() == ("", "")
    program.terminate()
    assert program.poll() == -signal.SIGKILL


def test_much_output_and_input_at_once_do_not_block(start: Start) -> None:
    """More than fits into pipes."""
    code = "import sys; sys.stderr.write('e' * 200_000); print(len(sys.stdin.read()))"
    assert start(code, stdin=PIPE).communicate("i" * 200_000) == ("200000\n", "e" * 200_000)


def test_a_child_that_keeps_its_output_open_holds_up_nothing(forks: Forks) -> None:
    """The program can be killed and left although what it started still has the pipe."""
    code = "import subprocess; subprocess.run(['sh', '-c', 'echo $$; exec sleep 60'])"
    with Program(forks, ["-c", code], stdout=PIPE) as program:
        assert program.stdout is not None
        child = int(program.stdout.readline())
        with pytest.raises(subprocess.TimeoutExpired):
            program.communicate(timeout=0.1)
        program.kill()
    assert program.returncode == -signal.SIGKILL
    os.kill(child, signal.SIGKILL)
    program.communicate(timeout=30)


@pytest.mark.parametrize(
    ("more", "served"),
    [
        ({"WORD": "x"}, True),
        ({"PYTHONWARNINGS": "error"}, True),
        ({"PYTHONWARNINGS": "always"}, False),
        ({"PYTHONUNBUFFERED": "1"}, False),
        ({"LC_ALL": "none"}, False),
    ],
)
def test_settings_of_the_interpreter_are_not_served(
    forks: Forks, more: dict[str, str], served: bool
) -> None:
    """They are read at its start."""
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONUNBUFFERED"}
    assert forks.serves(environment | more) is served
