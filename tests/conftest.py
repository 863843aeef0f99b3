"""What tests share: channels on every embedded backend, a clock to turn, processes to kill."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.testing.clock import ManualClock as ManualClock

WORKER = Path(__file__).with_name("workers.py")


@dataclass
class Storage:
    """One storage, empty at first, on which a test opens any number of handles."""

    type: str
    name: str
    args: dict[str, Any]
    opened: list[oc.Channel] = field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        """What another process opens it with."""
        return {"type": self.type, "args": self.args}

    @property
    def path(self) -> Path:
        """The data file."""
        return Path(self.args["file"])

    def open(self, name: str | None = None, **options: Any) -> oc.Channel:
        """Opens a handle, which is closed at the end of the test."""
        channel = oc.open_channel(name or self.name, self.config, **options)
        self.opened.append(channel)
        return channel


class Worker:
    """A process that runs a script with the names of workers.py, and talks in lines of JSON."""

    def __init__(self, script: str, storage: Storage | None, facts: dict[str, Any]) -> None:
        given: dict[str, Any] = {"facts": facts}
        if storage is not None:
            given |= {"name": storage.name, "config": storage.config}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", WORKER, script, json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> Any:
        """Returns what the script said next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the worker ended with status {self.process.wait()}; its output is on stderr"
        return json.loads(line)

    def tell(self, thing: object = None) -> None:
        """Gives the script what it waits to `hear`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(thing) + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kills the process with -9."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Waits for the process and returns its exit status."""
        self.process.communicate()
        return self.process.returncode

    def clear_away(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


class Announcer:
    """An extension that tells when somebody is about to wait for a lock."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)

    @oc.hookimpl(wrapper=True)
    def wait(self) -> Iterator[None]:
        self.waiting.release()
        return (yield)


def _new_storage(type: str, folder: Path) -> Storage:
    args = {} if type == "simple" else {"file": str(folder / f"channel.{type}")}
    return Storage(type, f"test-{secrets.token_hex(6)}", args)


def _lend(storage: Storage) -> Iterator[Storage]:
    yield storage
    for channel in storage.opened:
        channel.close()


@pytest.fixture(params=["simple", "file", "db"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """A storage of each embedded type in turn."""
    yield from _lend(_new_storage(request.param, tmp_path))


@pytest.fixture(params=["file", "db"])
def shared_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """A storage of each type that several processes can share."""
    yield from _lend(_new_storage(request.param, tmp_path))


@pytest.fixture
def file_storage(tmp_path: Path) -> Iterator[Storage]:
    """A storage of type `file`."""
    yield from _lend(_new_storage("file", tmp_path))


@pytest.fixture
def db_storage(tmp_path: Path) -> Iterator[Storage]:
    """A storage of type `db`."""
    yield from _lend(_new_storage("db", tmp_path))


@pytest.fixture
def simple_storage(tmp_path: Path) -> Iterator[Storage]:
    """A storage of type `simple`."""
    yield from _lend(_new_storage("simple", tmp_path))


@pytest.fixture
def common_folder() -> Iterator[Path]:
    """A folder that every user may enter and write."""
    folder = Path(tempfile.mkdtemp(prefix="ojobchannels-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def channel(storage: Storage) -> oc.Channel:
    """An open, empty channel of each embedded type in turn."""
    return storage.open()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    return ManualClock()


@pytest.fixture
def announcer() -> Announcer:
    """An extension whose `waiting` counts those who went to wait for a lock."""
    return Announcer()


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Worker]]:
    """Starts processes, ``start_worker(script, storage, fact=…)``, that do not outlive the test."""
    workers: list[Worker] = []

    def start(script: str, storage: Storage | None = None, **facts: Any) -> Worker:
        worker = Worker(script, storage, facts)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.clear_away()


@pytest.fixture
def in_background() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a function on another thread and answers its future."""
    with ThreadPoolExecutor(16, "test") as pool:
        yield pool.submit


class CommandLine:
    """The command ``ojob`` in a folder of its own, where no setting of this run reaches it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def __call__(
        self, *words: str, answer: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs it to its end."""
        process = self.start(*words, **environment)
        out, err = process.communicate(answer, timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def start(self, *words: str, redirect: str = "", **environment: str) -> subprocess.Popen[str]:
        """Starts it, with streams as a shell redirects them; it does not outlive the test."""
        ours = ("OJOB", "PYTEST_", "TOX_", "COLUMNS", "NO_COLOR", "PYTHONUNBUFFERED")
        settings = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
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

    def clear_away(self) -> None:
        """Ends what still runs."""
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
    command_line.clear_away()


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """After each test no thread of ours and no child process that it started may be left."""
    before = _children()
    yield
    ends = time.monotonic() + 10
    while (threads := _our_threads()) and time.monotonic() < ends:
        threads[0].join(10)  # it may begin another one before it ends
    assert _our_threads() == []
    assert _children() - before == set()


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


def boot_time() -> float:
    """Seconds on the clock that all processes of the host share."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
