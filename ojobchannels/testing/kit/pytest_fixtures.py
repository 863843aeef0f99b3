"""Fixtures for further tests of a backend, beside the kit; import them in a conftest."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.testing.forks import Forks
from ojobchannels.testing.kit.background import WaitObserver
from ojobchannels.testing.kit.children import Child, Children
from ojobchannels.testing.kit.subject import Subject

__all__ = [
    "Child",
    "StartWorker",
    "WaitObserver",
    "channel",
    "closing",
    "in_background",
    "nothing_is_left_running",
    "observer",
    "shared_storage",
    "start_worker",
]

StartWorker = Callable[..., Child]

_Storage = TypeVar("_Storage", bound=Subject)

_PATIENCE: Final = 20.0


def closing(storage: _Storage) -> Iterator[_Storage]:
    """Yield a storage, for a fixture, and close the handles that the test opened on it."""
    yield storage
    for channel in storage.opened:
        channel.close()


@pytest.fixture
def shared_storage(storage: Subject) -> Subject:
    """The fixture `storage` of the conftest, where processes can share it."""
    return storage


@pytest.fixture
def channel(storage: Subject) -> Channel:
    """An open, empty channel on the fixture `storage` of the conftest."""
    return storage.open()


@pytest.fixture
def observer() -> WaitObserver:
    """An extension that counts calls of the hook `wait`."""
    return WaitObserver()


@pytest.fixture
def start_worker(_ojob_forks: Forks) -> Iterator[StartWorker]:
    """Starts processes, ``start_worker(script, storage, name=…)``, and ends them after the test."""
    started = Children(_ojob_forks)
    yield started
    started.clean_up()


@pytest.fixture
def in_background() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a function on another thread and returns its future."""
    with ThreadPoolExecutor(16, "test") as pool:
        yield pool.submit


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Fail a test that leaves a thread of the package or a child process running."""
    before = _children()
    yield
    deadline = time.monotonic() + _PATIENCE
    while (threads := _our_threads()) and time.monotonic() < deadline:
        threads[0].join(_PATIENCE)  # it may start another one before it ends
    left = [thread.name for thread in threads] + [f"process {pid}" for pid in _children() - before]
    if left:
        pytest.fail(f"the test left running: {', '.join(left)}", pytrace=False)


def _our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ojobchannels-")]


def _children() -> set[int]:
    tasks = Path(f"/proc/{os.getpid()}/task")
    threads = tasks.iterdir() if tasks.is_dir() else ()
    return {int(pid) for thread in threads for pid in _text(thread / "children").split()}


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""
