"""What tests share: servers, alone and replicated, channels on them, processes to kill."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
from bson.datetime_ms import DatetimeMS

import ojobchannels as oc
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import MongoServer, mongo_url, or_skip
from ojobchannels_mongo.calls import Line
from ojobchannels_mongo.faults import Operation
from ojobchannels_mongo.servers import Link

WORKER = Path(__file__).with_name("workers.py")
DATABASE = f"ojobtest_{os.getpid()}_{secrets.token_hex(4)}"


@dataclass
class Storage:
    """One place on a server, on which a test opens any number of handles."""

    url: str
    name: str
    replicated: bool
    opened: list[oc.Channel] = field(default_factory=list)

    type = "mongo"

    @property
    def config(self) -> dict[str, Any]:
        """What another process opens it with."""
        return {"type": "mongo", "args": {"url": self.url, "database": DATABASE}}

    def open(self, name: str | None = None, **options: Any) -> oc.Channel:
        """Opens a handle, which is closed at the end of the test."""
        channel = oc.open_channel(name or self.name, self.config, **options)
        self.opened.append(channel)
        return channel

    def url_through(self, proxy: Proxy) -> str:
        """The URL by which a client reaches the server over the proxy, and stays there."""
        parts = urlsplit(self.url)
        login, at, _ = parts.netloc.rpartition("@")
        options = [one for one in parts.query.split("&") if one and "replicaSet=" not in one]
        query = "&".join([*options, "directConnection=true"])
        return f"mongodb://{login}{at}{proxy.address[0]}:{proxy.port}{parts.path or '/'}?{query}"

    def client(self) -> pymongo.MongoClient[dict[str, Any]]:
        """The driver's client, to look past the channels."""
        return pymongo.MongoClient(self.url)


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


def _url_of_one(replica_set: bool) -> Iterator[str]:
    with or_skip(), ExitStack() as running:
        url = running.enter_context(mongo_url(replica_set=replica_set))
        if _is_replicated(url) != replica_set:  # the environment names one of the other kind
            url = running.enter_context(MongoServer(replica_set=replica_set)).url
        yield url
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            client.drop_database(DATABASE)


def _is_replicated(url: str) -> bool:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        return "setName" in client.admin.command("hello")


@pytest.fixture(scope="session")
def url_alone() -> Iterator[str]:
    """A server alone, for this test process."""
    yield from _url_of_one(replica_set=False)


@pytest.fixture(scope="session")
def url_replicated() -> Iterator[str]:
    """A replica set, for this test process."""
    yield from _url_of_one(replica_set=True)


@pytest.fixture(params=["alone", "replicated"])
def storage(
    request: pytest.FixtureRequest, url_alone: str, url_replicated: str
) -> Iterator[Storage]:
    """A place on a server alone, then one on a replica set."""
    replicated = request.param == "replicated"
    url = url_replicated if replicated else url_alone
    yield from _lend(Storage(url, f"test-{secrets.token_hex(6)}", replicated))


@pytest.fixture
def shared_storage(storage: Storage) -> Storage:
    """The same: processes always share it."""
    return storage


@pytest.fixture
def replicated_storage(url_replicated: str) -> Iterator[Storage]:
    """A place on a replica set."""
    yield from _lend(Storage(url_replicated, f"test-{secrets.token_hex(6)}", True))


@pytest.fixture
def storage_alone(url_alone: str) -> Iterator[Storage]:
    """A place on a server alone."""
    yield from _lend(Storage(url_alone, f"test-{secrets.token_hex(6)}", False))


@pytest.fixture
def channel(storage: Storage) -> oc.Channel:
    """An open, empty channel on each in turn."""
    return storage.open()


def _lend(storage: Storage) -> Iterator[Storage]:
    yield storage
    for channel in storage.opened:
        channel.close()


@pytest.fixture(params=["alone", "replicated"])
def own_server(request: pytest.FixtureRequest) -> Iterator[MongoServer]:
    """A server that the test may break."""
    with or_skip(), MongoServer(replica_set=request.param == "replicated") as server:
        yield server


@pytest.fixture
def proxy(storage: Storage) -> Iterator[Proxy]:
    """A proxy before the storage's server."""
    parts = urlsplit(storage.url)
    with Proxy((parts.hostname or "", parts.port or 0)) as proxy:
        yield proxy


@pytest.fixture
def behind(storage: Storage, proxy: Proxy) -> Iterator[Storage]:
    """The storage as it is reached through the proxy."""
    url = f"{storage.url_through(proxy)}&heartbeatFrequencyMS=500"
    yield from _lend(Storage(url, storage.name, storage.replicated))


class ServerClock:
    """The clock of the server and of the clients, which only the test moves."""

    epoch = "the server's"

    def __init__(self) -> None:
        self._now = 1_900_000_000_000_000

    def now(self) -> int:
        return self._now

    wall = now

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += round(seconds * 1e6)

    def told(self, part: Any) -> Any:
        """The part of a command, with this time in the place of the server's."""
        if part == "$$NOW":
            return {"$literal": DatetimeMS(self._now // 1000)}
        if isinstance(part, list):
            return [self.told(each) for each in part]
        if type(part) is dict:
            return {name: self.told(each) for name, each in part.items()}
        return part


class Telling:
    """A database or collection whose commands tell a clock's time."""

    def __init__(self, thing: object, clock: ServerClock) -> None:
        self._thing = thing
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        found, told = getattr(self._thing, name), self._clock.told
        if not callable(found):
            return found
        return lambda *args, **more: found(*told(list(args)), **told(more))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ServerClock:
    """A server whose time stands still, for locks, until the test moves it."""
    clock, call = ServerClock(), Line.call

    def tell(line: Line, operation: Operation, work: Any, seconds: float | None = None) -> Any:
        def work_at_that_time(link: Link, again: bool) -> Any:
            database: Any = Telling(link.database, clock)
            locks: Any = Telling(link.locks, clock)
            return work(link._replace(database=database, locks=locks), again)

        return call(line, operation, work_at_that_time, seconds)

    monkeypatch.setattr(Line, "call", tell)
    return clock


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


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """After each test no thread of ours and no child process that it started may be left."""
    before = _children()
    yield
    ends = time.monotonic() + 20
    while (threads := _our_threads()) and time.monotonic() < ends:
        threads[0].join(20)  # it may begin another one before it ends
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
