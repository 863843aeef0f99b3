"""Fixtures that the tests of a backend share, beyond the kit: a conftest imports them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from ojobchannels.testing.kit.background import Announcer
from ojobchannels.testing.kit.children import Child, Children
from ojobchannels.testing.kit.subject import Subject

__all__ = [
    "Announcer",
    "Child",
    "StartWorker",
    "announcer",
    "closing",
    "in_background",
    "nothing_is_left_running",
    "start_worker",
]

StartWorker = Callable[..., Child]

_Storage = TypeVar("_Storage", bound=Subject)

_PATIENCE: Final = 20.0


def closing(storage: _Storage) -> Iterator[_Storage]:
    """Lends a storage to a test, for a fixture, and closes what the test opened."""
    yield storage
    for channel in storage.opened:
        channel.close()


@pytest.fixture
def announcer() -> Announcer:
    """An extension that tells who goes to wait for a lock."""
    return Announcer()


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    """Starts processes, ``start_worker(script, storage, fact=…)``, that do not outlive the test."""
    started = Children()
    yield started
    started.clear_away()


@pytest.fixture
def in_background() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a function on another thread and answers its future."""
    with ThreadPoolExecutor(16, "test") as pool:
        yield pool.submit


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """After each test no thread of ours and no child process that it started may be left."""
    before = _children()
    yield
    ends = time.monotonic() + _PATIENCE
    while (threads := _our_threads()) and time.monotonic() < ends:
        threads[0].join(_PATIENCE)  # it may begin another one before it ends
    left = [thread.name for thread in threads] + [f"process {one}" for one in _children() - before]
    if left:
        pytest.fail(f"the test left running: {', '.join(left)}", pytrace=False)


def _our_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("ojobchannels-")]


def _children() -> set[int]:
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for each in lists for pid in _text(each).split()}


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""
