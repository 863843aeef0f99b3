"""How each kind of contestant gets ready, and what it does in its turn."""

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

from benchmarks import floors, ours
from benchmarks.measure import Entrant, Numbers, Place, Turn, repeated, repeated_in_loop
from benchmarks.peers import jobs as peer_jobs
from benchmarks.peers import locks as peer_locks
from benchmarks.peers import stores as peer_stores
from benchmarks.together import OpenLocker, contention, fresh_name, hand_over

FLOOR = "floor"
_ENTRIES = 100
_BATCH = 1000
_NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}


# --- locks ---------------------------------------------------------------------------------------


def floor_locker(type: str, place: Place, name: str) -> Any:
    """Opens the floor of a lock."""
    match type:
        case "simple":
            return floors.Memory(place.folder, name)
        case "file":
            return floors.FileLock(place.folder, name)
        case "flock":
            return floors.BlockingFlock(place.folder, name)
        case "db":
            return floors.DatabaseLock(place.folder, name)
        case "redis":
            return floors.RedisLock(place.server(place.redis), name)
        case "blpop":
            return floors.BlpopBaton(place.server(place.redis), name)
        case "mongo":
            return floors.MongoLock(place.server(place.mongo), name)
    return floors.MongoLockAlone(place.server(place.mongo_alone), name)


def lockers(type: str, floor: str = "") -> dict[str, OpenLocker]:
    """Returns all who lock in that kind of storage: the floor, ours, the peers."""
    floor = floor or type
    open_floor = {} if floor == "none" else {FLOOR: partial(floor_locker, floor)}
    peers = {peer.name: peer for peer in peer_locks.LOCKERS[type]}
    return {**open_floor, ours.NAME: ours.LOCKERS[type], **peers}


def pairs(type: str) -> list[Entrant]:
    """Lock and unlock of a free lock."""
    return [Entrant(name, partial(_pair, open)) for name, open in lockers(type).items()]


@contextmanager
def _pair(open_locker: OpenLocker, place: Place) -> Iterator[Turn]:
    with closing(open_locker(place, fresh_name())) as locker:
        lock, unlock = locker.lock, locker.unlock

        def pair() -> None:
            lock()
            unlock()

        yield repeated(pair)


def hand_overs(type: str) -> list[Entrant]:
    """From the unlock of one to the lock of another, who was blocked."""
    return [
        Entrant(name, partial(hand_over, open, threads=type == "simple"))
        for name, open in lockers(type).items()
        if open is not peer_locks.FilelockInProcess
    ]


def contentions(type: str, floor: str) -> list[Entrant]:
    """Eight at one lock."""
    return [
        Entrant(name, partial(contention, open, threads=type == "simple"))
        for name, open in lockers(type, floor).items()
        if open is not peer_locks.FilelockInProcess
    ]


# --- documents -----------------------------------------------------------------------------------


def key(number: int) -> dict[str, Any]:
    """Returns the key of the entry of that number."""
    return {"id": number}


def value(number: int) -> dict[str, Any]:
    """Returns a value as programs write them."""
    return {
        "id": number,
        "state": "new",
        "customer": f"customer-{number}",
        "amount": 12.5,
        "lines": [1, 2, 3],
        "note": None,
        "shipped": False,
    }


def floor_store(type: str, place: Place, name: str) -> Any:
    """Opens the floor of a store."""
    match type:
        case "simple":
            return floors.Memory(place.folder, name)
        case "file":
            return floors.JsonFile(place.folder, name)
        case "db":
            return floors.Database(place.folder, name)
        case "redis":
            return floors.RedisStore(place.server(place.redis), name)
    return floors.MongoStore(place.server(place.mongo), name)


def stores(type: str, operation: str, size: int = _ENTRIES) -> list[Entrant]:
    """One operation on a store that holds some entries."""
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
    open_store: Callable[[Place, str], Any], operation: str, size: int, place: Place
) -> Iterator[Turn]:
    with closing(open_store(place, fresh_name())) as store:
        for number in range(0, size, _BATCH):
            store.set_all([(key(n), value(n)) for n in range(number, min(number + _BATCH, size))])
        yield repeated(*_steps(store, operation, size))


@contextmanager
def _store_in_loop(
    open_store: Callable[[Place, str], Any], operation: str, size: int, place: Place
) -> Iterator[Turn]:
    loop = asyncio.new_event_loop()

    async def opened() -> Any:
        store = open_store(place, fresh_name())
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
    """Returns the step, and where there is one what comes before it."""
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
    """A managed run, from start to end."""
    return [
        Entrant(FLOOR, partial(_floor_run, type)),
        Entrant(ours.NAME, partial(_run, type)),
        *(
            Entrant(name, partial(open_run, type))
            for name, open_run in peer_jobs.RUNS[type].items()
        ),
    ]


@contextmanager
def _floor_run(type: str, place: Place) -> Iterator[Turn]:
    name = fresh_name()
    numbers = itertools.count()
    with (
        closing(floor_locker(type, place, name)) as locker,
        closing(floor_store(type, place, name)) as store,
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
def _run(type: str, place: Place) -> Iterator[Turn]:
    with ours.open_manager(type, place, "-runs") as manager:

        def run() -> None:
            with manager.run("job", timeout=60):
                pass

        yield repeated(run)


# --- history -------------------------------------------------------------------------------------


def histories(type: str, records: int, beside: int | None = None) -> list[Entrant]:
    """Questions about a history of so many records, beside a bare query or a shorter history."""
    mine = Entrant(ours.NAME, partial(history, type, records))
    if beside is None:
        return [Entrant(FLOOR, partial(_floor_history, type, records)), mine]
    return [Entrant(FLOOR, partial(history, type, beside)), mine]


@contextmanager
def _floor_history(type: str, records: int, place: Place) -> Iterator[Turn]:
    with closing(floor_store(type, place, fresh_name())) as store:
        for start in range(0, records, _BATCH):
            batch = [ours.record(number) for number in range(start, start + _BATCH)]
            store.set_all([(key(document["startTime"]), document) for document in batch])
        page = repeated(lambda: store.newest(100))

        def turn(seconds: float) -> Numbers:
            wall = page(seconds)["wall"]
            return {"runs": wall, "running": wall, "start": wall}

        yield turn


@contextmanager
def history(type: str, records: int, place: Place) -> Iterator[Turn]:
    """Opens a manager with a history, and asks it for runs, for those that run, for a start."""
    with ours.filled_manager(type, place, records) as manager:
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
            found = {name: ask(seconds / 3)["wall"] for name, ask in turns.items()}
            end()
            return found

        yield turn


# --- start-up ------------------------------------------------------------------------------------


def programs(what: str) -> list[Entrant]:
    """A program from start to end, in a process of its own."""
    if what == "import":
        return [
            Entrant(FLOOR, partial(_program, lambda _: ["-c", floors.IMPORT])),
            Entrant(ours.NAME, partial(_program, lambda _: ["-c", "import ojobchannels"])),
        ]
    return [
        Entrant(FLOOR, partial(_program, _hello)),
        Entrant(ours.NAME, partial(_program, lambda _: [*_ojob(), "--help"])),
    ]


def _hello(place: Place) -> list[str]:
    script = place.folder / "hello.py"
    script.write_text(floors.CLICK_HELLO, encoding="utf-8")
    return [str(script), "--help"]


def _ojob() -> list[str]:
    found = shutil.which("ojob", path=str(Path(sys.executable).parent))
    return [found] if found else ["-m", "ojobchannels"]


@contextmanager
def _program(arguments: Callable[[Place], list[str]], place: Place) -> Iterator[Turn]:
    command = [sys.executable, *arguments(place)]
    # Installed programs have their bytecode: the first round writes it.
    environment = {name: text for name, text in os.environ.items() if name not in _NO_BYTECODE}

    def run() -> None:
        subprocess.run(  # noqa: S603
            command, check=True, stdout=subprocess.DEVNULL, env=environment
        )

    def turn(seconds: float) -> Numbers:
        return {"wall": repeated(run)(3 * seconds)["wall"]}

    yield turn
