"""How each kind of contestant is set up, and what it does in its turn."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.floors import files, ignite, memory, mongo, postgres, redis, sqlite
from benchmarks.floors import programs as floor_programs
from benchmarks.measure import Entrant, Numbers, Turn, Workspace, repeated, repeated_in_loop
from benchmarks.peers import jobs as peer_jobs
from benchmarks.peers import locks as peer_locks
from benchmarks.peers import postgres_locks
from benchmarks.peers import stores as peer_stores
from benchmarks.together import OpenLocker, contention, fresh_name, hand_over

FLOOR = "floor"
SIMPLEST = "the simplest lock"
"""The least that is a lock at all in a store: the second floor of lock and unlock."""
_ENTRIES = 100
_BATCH = 1000
_NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}


# --- locks ---------------------------------------------------------------------------------------


def floor_locker(type: str, workspace: Workspace, name: str) -> Any:
    """Open the floor of a lock."""
    match type:
        case "simple":
            return memory.Memory(workspace.folder, name)
        case "file":
            return files.FileLock(workspace.folder, name)
        case "flock":
            return files.BlockingFlock(workspace.folder, name)
        case "db":
            return sqlite.DatabaseLock(workspace.folder, name)
        case "redis":
            return redis.RedisLock(workspace.server("redis"), name)
        case "blpop":
            return redis.BlpopBaton(workspace.server("redis"), name)
        case "postgres":
            return postgres.PostgresLock(workspace.server("postgres"), name)
        case "mongo":
            return mongo.MongoLock(workspace.server("mongo"), name)
        case "ignite":
            return ignite.IgniteLock(workspace.server("ignite"), name)
    return mongo.MongoLockStandalone(workspace.server("mongo-w1"), name)


def lockers(type: str, floor: str = "") -> dict[str, OpenLocker]:
    """Return all lockers of that kind of storage: the floor, ours, the peers."""
    floor = floor or type
    open_floor = {} if floor == "none" else {FLOOR: partial(floor_locker, floor)}
    all_peers = {**peer_locks.LOCKERS, "postgres": postgres_locks.LOCKERS}
    peers = {peer.name: peer for peer in all_peers[type]}
    return {**open_floor, ours.NAME: ours.LOCKERS[type], **peers}


def pairs(type: str) -> list[Entrant]:
    """Return the contestants that lock and unlock a free lock."""
    contestants = {**lockers(type), **_simplest(type)}
    return [Entrant(name, partial(_pair, open)) for name, open in contestants.items()]


def _simplest(type: str) -> dict[str, Any]:
    match type:
        case "db":
            return {SIMPLEST: lambda at, name: sqlite.SimplestDatabaseLock(at.folder, name)}
        case "redis":
            return {SIMPLEST: lambda at, name: redis.SimplestRedisLock(at.server("redis"), name)}
    return {}


@contextmanager
def _pair(open_locker: OpenLocker, workspace: Workspace) -> Iterator[Turn]:
    with closing(open_locker(workspace, fresh_name())) as locker:
        lock, unlock = locker.lock, locker.unlock

        def pair() -> None:
            lock()
            unlock()

        yield repeated(pair)


def hand_overs(type: str) -> list[Entrant]:
    """Return the contestants of the hand-over to a blocked waiter."""
    return [
        Entrant(name, partial(hand_over, open, threads=type == "simple"))
        for name, open in lockers(type).items()
        if open is not peer_locks.FilelockInProcess
    ]


def contentions(type: str, floor: str) -> list[Entrant]:
    """Return the contestants that compete for one lock with eight members each."""
    return [
        Entrant(name, partial(contention, open, threads=type == "simple"))
        for name, open in lockers(type, floor).items()
        if open is not peer_locks.FilelockInProcess
    ]


# --- documents -----------------------------------------------------------------------------------


def key(number: int) -> dict[str, Any]:
    """Return the key of the entry with that number."""
    return {"id": number}


def value(number: int) -> dict[str, Any]:
    """Return a value as programs write them."""
    return {
        "id": number,
        "state": "new",
        "customer": f"customer-{number}",
        "amount": 12.5,
        "lines": [1, 2, 3],
        "note": None,
        "shipped": False,
    }


def floor_store(type: str, workspace: Workspace, name: str) -> Any:
    """Open the floor of a store."""
    match type:
        case "simple":
            return memory.Memory(workspace.folder, name)
        case "file":
            return files.JsonFile(workspace.folder, name)
        case "db":
            return sqlite.Database(workspace.folder, name)
        case "redis":
            return redis.RedisStore(workspace.server("redis"), name)
        case "postgres":
            return postgres.PostgresStore(workspace.server("postgres"), name)
        case "ignite":
            return ignite.IgniteStore(workspace.server("ignite"), name)
    return mongo.MongoStore(workspace.server("mongo"), name)


def stores(type: str, operation: str, size: int = _ENTRIES) -> list[Entrant]:
    """Return the contestants of one operation on a store with `size` entries."""
    entrants = [
        Entrant(FLOOR, partial(_store, partial(floor_store, type), operation, size)),
        Entrant(ours.NAME, partial(_store, partial(ours.ChannelStore, type), operation, size)),
    ]
    for peer in peer_stores.STORES[type]:
        if operation not in peer.lacks:
            opened = _store_in_loop if peer.asynchronous else _store
            entrants.append(Entrant(peer.name, partial(opened, peer, operation, size)))
    return entrants


@contextmanager
def _store(
    open_store: Callable[[Workspace, str], Any], operation: str, size: int, workspace: Workspace
) -> Iterator[Turn]:
    with closing(open_store(workspace, fresh_name())) as store:
        for number in range(0, size, _BATCH):
            store.set_all([(key(n), value(n)) for n in range(number, min(number + _BATCH, size))])
        yield repeated(*_steps(store, operation, size))


@contextmanager
def _store_in_loop(
    open_store: Callable[[Workspace, str], Any], operation: str, size: int, workspace: Workspace
) -> Iterator[Turn]:
    loop = asyncio.new_event_loop()

    async def opened() -> Any:
        store = open_store(workspace, fresh_name())
        for number in range(size):
            await store.set(key(number), value(number))
        return store

    store = loop.run_until_complete(opened())
    try:
        yield repeated_in_loop(loop, *_steps(store, operation, size))
    finally:
        loop.run_until_complete(store.close())
        loop.close()


def _steps(store: Any, operation: str, size: int) -> tuple[Callable[[], Any], ...]:
    """Return the step, and the preparation that runs before it, if any."""
    entries = itertools.cycle([(key(number), value(number)) for number in range(size)])
    match operation:
        case "get":
            return (lambda: store.get(next(entries)[0]),)
        case "set":
            return (lambda: store.set(*next(entries)),)
        case "unset":
            entry = key(size), value(size)
            return (lambda: store.unset(entry[0])), (lambda: store.set(*entry))
        case "get_all":
            return (store.get_all,)
    batch = [(key(number), value(number)) for number in range(_BATCH)]
    return (lambda: store.set_all(batch),)


# --- runs ----------------------------------------------------------------------------------------


def runs(type: str) -> list[Entrant]:
    """Return the contestants of a managed run, from start to end."""
    return [
        Entrant(FLOOR, partial(_floor_run, type)),
        Entrant(ours.NAME, partial(_run, type)),
        *(
            Entrant(name, partial(open_run, type))
            for name, open_run in peer_jobs.RUNS[type].items()
        ),
    ]


@contextmanager
def _floor_run(type: str, workspace: Workspace) -> Iterator[Turn]:
    name = fresh_name()
    numbers = itertools.count()
    with (
        closing(floor_locker(type, workspace, name)) as locker,
        closing(floor_store(type, workspace, name)) as store,
    ):

        def run() -> None:
            record = ours.record(next(numbers))
            record_key = key(record["startTime"])
            locker.lock()
            store.set(record_key, record | {"status": "running"})
            store.get(record_key)
            store.set(record_key, record)
            locker.unlock()

        yield repeated(run)


@contextmanager
def _run(type: str, workspace: Workspace) -> Iterator[Turn]:
    with ours.open_manager(type, workspace, "-runs") as manager:

        def run() -> None:
            with manager.run("job", timeout=60):
                pass

        yield repeated(run)


# --- history -------------------------------------------------------------------------------------


def histories(type: str, records: int, beside: int | None = None) -> list[Entrant]:
    """Return the contestants of queries over a history of `records` runs.

    The floor is a bare query, or ours over a history of `beside` runs.
    """
    own = Entrant(ours.NAME, partial(history, type, records))
    if beside is None:
        return [Entrant(FLOOR, partial(_floor_history, type, records)), own]
    return [Entrant(FLOOR, partial(history, type, beside)), own]


@contextmanager
def _floor_history(type: str, records: int, workspace: Workspace) -> Iterator[Turn]:
    with closing(floor_store(type, workspace, fresh_name())) as store:
        for start in range(0, records, _BATCH):
            batch = [ours.record(number) for number in range(start, start + _BATCH)]
            store.set_all([(key(document["startTime"]), document) for document in batch])
        page = repeated(lambda: store.newest(100))

        def turn(seconds: float) -> Numbers:
            wall = page(seconds)["wall"]
            return {"runs": wall, "running": wall, "start": wall}

        yield turn


@contextmanager
def history(type: str, records: int, workspace: Workspace) -> Iterator[Turn]:
    """Open a manager with a history; each turn calls `runs`, `running` and `start`."""
    with ours.filled_manager(type, workspace, records) as manager:
        started: list[Any] = []

        def end() -> None:
            while started:
                started.pop().end()

        turns = {
            "runs": repeated(lambda: manager.runs(limit=100)),
            "running": repeated(manager.running),
            "start": repeated(lambda: started.append(manager.start("job-7", timeout=60)), end),
        }

        def turn(seconds: float) -> Numbers:
            numbers = {name: query(seconds / 3)["wall"] for name, query in turns.items()}
            end()
            return numbers

        yield turn


# --- start-up ------------------------------------------------------------------------------------


def programs(what: str) -> list[Entrant]:
    """Return the contestants that run a program from start to end, in a separate process."""
    if what == "import":
        return [
            Entrant(FLOOR, partial(_program, lambda _: ["-c", floor_programs.IMPORT])),
            Entrant(ours.NAME, partial(_program, lambda _: ["-c", "import ojobchannels"])),
        ]
    return [
        Entrant(FLOOR, partial(_program, _hello)),
        Entrant(ours.NAME, partial(_program, lambda _: [*_ojob(), "--help"])),
    ]


def _hello(workspace: Workspace) -> list[str]:
    script = workspace.folder / "hello.py"
    script.write_text(floor_programs.CLICK_HELLO, encoding="utf-8")
    return [str(script), "--help"]


def _ojob() -> list[str]:
    script = shutil.which("ojob", path=str(Path(sys.executable).parent))
    return [script] if script else ["-m", "ojobchannels"]


@contextmanager
def _program(arguments: Callable[[Workspace], list[str]], workspace: Workspace) -> Iterator[Turn]:
    command = [sys.executable, *arguments(workspace)]
    # Installed programs have their bytecode compiled; here the first round writes it.
    environment = {name: text for name, text in os.environ.items() if name not in _NO_BYTECODE}

    def run() -> None:
        subprocess.run(  # noqa: S603  this very Python
            command, check=True, stdout=subprocess.DEVNULL, env=environment
        )

    def turn(seconds: float) -> Numbers:
        return {"wall": repeated(run)(3 * seconds)["wall"]}

    yield turn
