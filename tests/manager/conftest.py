"""Fixtures of the job manager's tests: managers on every embedded backend, and ways to meddle."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

import ojobchannels as oc
from ojobchannels.host.clock import now_ms
from ojobchannels.host.wakeup import Latch

if TYPE_CHECKING:
    from tests.conftest import ManualClock, Storage

_Wrapper: TypeAlias = Generator[None, Any, Any]


def pass_millisecond(start: int) -> None:
    """Return when the clock is past the millisecond `start`, and so whatever starts is later."""
    while now_ms() <= start:
        time.sleep(0)


class Meddler:
    """An extension that counts operations, and does something, once, before one of a kind."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.before: dict[str, Callable[[], object]] = {}
        self.failing: dict[str, Exception] = {}

    @oc.hookimpl(wrapper=True)
    def get(self) -> _Wrapper:
        self._meddle("get")
        return (yield)

    @oc.hookimpl(wrapper=True)
    def set(self) -> _Wrapper:
        self._meddle("set")
        return (yield)

    @oc.hookimpl(wrapper=True)
    def get_set(self) -> _Wrapper:
        self._meddle("get_set")
        return (yield)

    @oc.hookimpl(wrapper=True)
    def items(self) -> _Wrapper:
        self._meddle("items")
        return (yield)

    @oc.hookimpl(wrapper=True)
    def lock(self) -> _Wrapper:
        self._meddle("lock")
        return (yield)

    @oc.hookimpl(wrapper=True)
    def unlock(self) -> _Wrapper:
        self._meddle("unlock")
        return (yield)

    @oc.hookimpl(wrapper=True)
    def lock_info(self) -> _Wrapper:
        self._meddle("lock_info")
        return (yield)

    @oc.hookimpl(wrapper=True)
    def wait(self) -> _Wrapper:
        self._meddle("wait")
        return (yield)

    def _meddle(self, operation: str) -> None:
        self.calls[operation] += 1
        self.before.pop(operation, lambda: None)()
        if operation in self.failing:
            raise self.failing[operation]


class Managers:
    """Opens managers that share one storage, as processes would; closed at the end of the test."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.opened: list[oc.JobManager] = []

    def open(
        self,
        *,
        clock: object = None,
        on_jobs: object = None,
        on_locks: object = None,
        on_state: object = None,
        **options: Any,
    ) -> oc.JobManager:
        """Opens a manager, with an extension for each of its channels."""
        jobs, locks, state = (
            self.storage.open(
                f"{self.storage.name}-{kind}",
                extensions=() if extension is None else (extension,),
                **({} if clock is None else {"clock": clock}),
            )
            for kind, extension in (
                ("jobs", on_jobs),
                ("locks", on_locks),
                ("jobs-state", on_state),
            )
        )
        manager = oc.JobManager(jobs, locks, state=state, **options)
        self.opened.append(manager)
        return manager

    def close(self) -> None:
        """Close all managers."""
        for manager in self.opened:
            manager.close()


class Log(logging.Handler):
    """Collects log messages; a test can wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: SimpleQueue[str] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.put(f"{record.levelname} {record.getMessage()}")

    def wait_for(self, part: str) -> str:
        """Return the next line that contains `part`."""
        while True:
            line = self._lines.get(timeout=30)
            if part in line:
                return line

    def read(self) -> list[str]:
        """Return the lines that were logged and not yet read."""
        return [self._lines.get() for _ in range(self._lines.qsize())]


UNRENEWED: dict[str, Any] = {"timeout": 60, "keep_alive": False, "on_timeout": "continue"}
LONG_AGO = -10 * 365 * 86_400


def complete(manager: oc.JobManager, name: str) -> str:
    with manager.run(name) as run:
        return run.run_id


def fail(manager: oc.JobManager, name: str) -> str:
    run = manager.start(name)
    run.fail("broken")
    return run.run_id


def die(manager: oc.JobManager, clock: ManualClock, name: str) -> str:
    """Start a run whose lease then expires."""
    run = manager.start(name, **UNRENEWED)
    clock.advance(60)
    return run.run_id


def raw_statuses(manager: oc.JobManager) -> list[str]:
    """Return the stored statuses of the runs that began, oldest change first."""
    return [record["status"] for record in manager.jobs.get_all() if isinstance(record, dict)]


def statuses(manager: oc.JobManager, name: str) -> list[str]:
    """Oldest first."""
    return [record["status"] for record in manager.runs(name)[::-1]]


class Flaky:
    """Fails the given number of times, then succeeds."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise ValueError(f"failure {self.calls}")
        return f"success {self.calls}"


class Pauses(Latch):
    """Replaces the `closing` event of the manager: records the pauses without waiting."""

    def __init__(self, close_at: int | None = None) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self._close_at = close_at

    def wait(self, seconds: float | None = None) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) == self._close_at


@pytest.fixture
def managers(storage: Storage) -> Iterator[Managers]:
    """Managers on each embedded backend in turn."""
    opened = Managers(storage)
    yield opened
    opened.close()


@pytest.fixture
def manager(managers: Managers) -> oc.JobManager:
    """A manager on each embedded backend in turn."""
    return managers.open()


@pytest.fixture
def simple_managers(simple_storage: Storage) -> Iterator[Managers]:
    """Managers in memory, for what does not depend on the backend."""
    opened = Managers(simple_storage)
    yield opened
    opened.close()


@pytest.fixture
def simple_manager(simple_managers: Managers) -> oc.JobManager:
    """A manager in memory."""
    return simple_managers.open()


@pytest.fixture
def meddler() -> Meddler:
    """An extension to pass as `on_jobs` or `on_locks`."""
    return Meddler()


@pytest.fixture
def log() -> Iterator[Log]:
    """The log messages of the manager."""
    handler = Log()
    logger = logging.getLogger("ojobchannels.jobs")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)
