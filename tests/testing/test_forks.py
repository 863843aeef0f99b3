"""The processes of a torture test: forked by one process, and ended with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ojobchannels as oc
from ojobchannels.plugins import registry
from ojobchannels.testing.forks import Forks, modules_of

pytestmark = pytest.mark.kit

WORKER = """
import sys, time
from ojobchannels.testing.forks import serve

def main(settings):
    print("works", flush=True)
    if settings["waits"]:
        time.sleep(1000)
    sys.exit(settings["status"])

if __name__ == "__main__":
    serve(main)
"""
ECHO = """
import sys
from ojobchannels.testing.forks import serve

def main(settings):
    print(settings["number"], sys.stdin.read(), end="", flush=True)

if __name__ == "__main__":
    serve(main)
"""
RUNNER = """
import sys
from pathlib import Path
from ojobchannels.testing.forks import Forks

forks = Forks("ends_or_waits", [], Path("output"))
print(forks.start({"waits": True}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file for the output of the workers, in a folder with the module `ends_or_waits`."""
    (tmp_path / "ends_or_waits.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "output"


@pytest.fixture
def forks(output: Path) -> Iterator[Forks]:
    """Workers that end with a status, or wait for a signal."""
    with Forks("ends_or_waits", [], output) as forks:
        yield forks


def test_the_status_of_each_worker_is_known(forks: Forks, output: Path) -> None:
    """Of one that ended, and of one that was killed; neither runs any longer."""
    ending = forks.start({"waits": False, "status": 3})
    waiting = forks.start({"waits": True})
    assert forks.wait(ending, 60) == 3
    assert forks.running == [waiting]
    assert forks.wait(waiting, 0) is None
    forks.kill(waiting)
    assert forks.running == []
    assert forks.ended() == {ending: 3, waiting: -signal.SIGKILL}
    assert output.read_text().startswith("works\n")


def test_a_worker_has_the_files_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its standard streams; no other worker keeps them open."""
    (tmp_path / "echoes.py").write_text(ECHO)
    monkeypatch.syspath_prepend(tmp_path)
    with Forks("echoes", []) as forks:
        workers = []
        for number in range(2):
            (theirs, write), (read, output) = os.pipe(), os.pipe()
            pid = forks.start({"number": number}, files=[theirs, output, 2])
            workers.append((pid, write, read))
            os.close(theirs)
            os.close(output)
        for number, (pid, write, read) in enumerate(workers):
            os.write(write, b"text")
            os.close(write)
            assert whole(read) == f"{number} text"
            assert forks.wait(pid, 60) == 0


def whole(file: int) -> str:
    """Return what is read until all processes have closed the other end."""
    with os.fdopen(file) as lines:
        return lines.read()


def ends(process: int, seconds: float) -> bool:
    """Return whether the process with this descriptor ends within some seconds."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    ended = bool(poll.poll(seconds * 1000))
    os.close(process)
    return ended


def test_workers_that_are_left_end_with_the_test(output: Path) -> None:
    """Also a suspended one."""
    with Forks("ends_or_waits", [], output) as forks:
        workers = [forks.start({"waits": True}) for _ in range(2)]
        processes = [os.pidfd_open(worker) for worker in workers]
        os.kill(workers[0], signal.SIGSTOP)
    assert [ends(process, 0) for process in processes] == [True, True]


def test_workers_end_when_the_runner_is_killed(output: Path) -> None:
    """Its workers are killed, since it can no longer end them."""
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER],
        cwd=output.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with runner:
        assert runner.stdout is not None
        worker = os.pidfd_open(int(runner.stdout.readline()))
        runner.kill()
    assert ends(worker, 60)


def test_an_error_at_the_start_is_shown(output: Path) -> None:
    """With what the process wrote."""
    with (
        Forks("ends_or_waits", ["no_such_module"], output) as forks,
        pytest.raises(RuntimeError, match=r"status 1: (?s:.*)No module named 'no_such_module'"),
    ):
        forks.start({"waits": True})


def test_workers_need_not_import_the_backend(tmp_path: Path) -> None:
    """Its modules are known after a channel was opened."""
    with oc.open_channel("c", type="file", file=str(tmp_path / "c.json")):
        pass
    type = registry().find("file")
    assert "ojobchannels.backends.file.backend" in modules_of(type)
