"""Shared fixtures: channels on every embedded backend, a manual clock, the command line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import ojobchannels as oc
from ojobchannels.backends.simple.backend import remove_space
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.kit.pytest_fixtures import (
    closing,
    in_background,
    nothing_is_left_running,
    observer,
    start_worker,
)
from ojobchannels.testing.kit.subject import Subject

__all__ = [
    "CommandLine",
    "ManualClock",
    "Storage",
    "boot_time",
    "in_background",
    "nothing_is_left_running",
    "observer",
    "start_worker",
]


@pytest.fixture(autouse=True)
def _memory_is_empty() -> Iterator[None]:
    """Remove the channels in memory after each test, so that tests pass in any order."""
    yield
    remove_space("")


class Storage(Subject):
    """One storage, initially empty, on which a test opens any number of channels."""

    @property
    def path(self) -> Path:
        """The data file."""
        return Path(self.options["file"])


def _new_storage(type: str, folder: Path) -> Storage:
    args = {} if type == "simple" else {"file": str(folder / f"channel.{type}")}
    return Storage(type, args)


@pytest.fixture(params=["simple", "file", "db"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """A storage of each embedded type in turn."""
    yield from closing(_new_storage(request.param, tmp_path))


@pytest.fixture(params=["file", "db"])
def shared_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """A storage of each type that several processes can share."""
    yield from closing(_new_storage(request.param, tmp_path))


@pytest.fixture
def file_storage(tmp_path: Path) -> Iterator[Storage]:
    """A storage of type `file`."""
    yield from closing(_new_storage("file", tmp_path))


@pytest.fixture
def db_storage(tmp_path: Path) -> Iterator[Storage]:
    """A storage of type `db`."""
    yield from closing(_new_storage("db", tmp_path))


@pytest.fixture
def simple_storage(tmp_path: Path) -> Iterator[Storage]:
    """A storage of type `simple`."""
    yield from closing(_new_storage("simple", tmp_path))


@pytest.fixture
def common_folder() -> Iterator[Path]:
    """A folder that every user may enter and write."""
    folder = Path(tempfile.mkdtemp(prefix="ojobchannels-"))
    folder.chmod(0o777)
    yield folder
    for inside, _, _ in os.walk(folder):  # a test may have made one read-only
        Path(inside).chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture
def sigint() -> Iterator[None]:
    """SIGINT as in the foreground, also for processes that the test starts.

    A test run in the background (`tox &`, nohup) ignores it, and its children inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def channel(storage: Storage) -> oc.Channel:
    """An open, empty channel of each embedded type in turn."""
    return storage.open()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when the test moves it."""
    return ManualClock()


class CommandLine:
    """The command ``ojob`` in a separate folder, without the settings of this test run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def __call__(
        self, *words: str, reply: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command and return its result."""
        process = self.start(*words, **environment)
        out, err = process.communicate(reply, timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def start(self, *words: str, redirect: str = "", **environment: str) -> subprocess.Popen[str]:
        """Start the command, with streams redirected by a shell; the test's end kills it."""
        prefixes = ("OJOB", "PYTEST_", "TOX_", "COLUMNS", "NO_COLOR", "PYTHONUNBUFFERED")
        settings = {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}
        command = [sys.executable, "-m", "ojobchannels", *words]
        process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" {redirect}', "sh", *command],
            cwd=self.folder,
            env=settings | {"TZ": "UTC", "PYTHONWARNINGS": "error"} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def kill_all(self) -> None:
        """Kill the processes that are still running."""
        for process in self.started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                with suppress(OSError):
                    if stream is not None:
                        stream.close()


@pytest.fixture
def ojob(tmp_path: Path) -> Iterator[CommandLine]:
    """Calls the command line: ``ojob("jobs", "--json", OJOB_FILE="nightly.yaml")``."""
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line.kill_all()


def boot_time() -> float:
    """Return the seconds on the clock that all processes of the host share."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
