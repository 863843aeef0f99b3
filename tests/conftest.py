"""Shared fixtures: channels on every embedded backend, a manual clock, the command line."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ojobchannels as oc
from ojobchannels.backends.simple.backend import remove_space
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.forks import Forks
from ojobchannels.testing.kit.pytest_fixtures import (
    closing,
    in_background,
    nothing_is_left_running,
    observer,
    start_worker,
)
from ojobchannels.testing.kit.subject import Subject
from tests.command_line import CommandLine

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


@pytest.fixture
def ojob(tmp_path: Path, _ojob_forks: Forks) -> Iterator[CommandLine]:
    """Calls the command line: ``ojob("jobs", "--json", OJOB_FILE="nightly.yaml")``."""
    command_line = CommandLine(tmp_path, _ojob_forks)
    yield command_line
    command_line.kill_all()


def boot_time() -> float:
    """Return the seconds on the clock that all processes of the host share."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
