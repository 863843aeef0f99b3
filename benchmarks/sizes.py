"""Cost by size: ours, with growing numbers of entries, waiters, leases and records."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import ojobchannels as oc
from benchmarks import entrants, ours
from benchmarks.measure import Entrant, Numbers, Turn, Workspace, repeated
from benchmarks.together import fresh_name
from ojobchannels.hookspecs import LeaseRequest

_BATCH = 1000
_CENTURY = 36_500 * 86_400


@dataclass(frozen=True)
class Sizes:
    """One plot: the operation, the sizes, and what is measured."""

    name: str
    sizes: tuple[int, ...]
    types: tuple[str, ...]
    measures: tuple[str, ...]
    open: Callable[[str, int, Workspace], Iterator[Turn]]

    def entrants(self, type: str, size: int) -> list[Entrant]:
        """Return our contestant."""
        opened = contextmanager(self.open)
        return [Entrant(ours.NAME, partial(opened, type, size))]


def _entries(type: str, size: int, workspace: Workspace) -> Iterator[Turn]:
    configuration = ours.config(type, workspace)
    if type == "file":
        configuration["args"]["file"] = str(workspace.folder / f"entries-{size}.json")
    with oc.open_channel(fresh_name(), configuration) as channel:
        for start in range(0, size, _BATCH):
            numbers = range(start, min(start + _BATCH, size))
            channel.set_all([(entrants.key(n), entrants.value(n)) for n in numbers])
        middle = entrants.key(size // 2)
        turns = {
            "get": repeated(lambda: channel.get(middle)),
            "set": repeated(lambda: channel.set(middle, entrants.value(1))),
            "newest 10": repeated(lambda: list(channel.items(limit=10, newest_first=True))),
            "size": repeated(channel.size),
        }
        yield lambda seconds: _both({name: turn(seconds) for name, turn in turns.items()})
        channel.destroy()


def _waiters(type: str, size: int, workspace: Workspace) -> Iterator[Turn]:
    """Release a lock with `size` waiters; measure the time per waiter until all have had it."""
    name = fresh_name()
    with oc.open_channel("waiters", ours.config(type, workspace)) as channel:

        def take_and_give() -> None:
            channel.lock(name, ttl=60, wait=60).release()

        def turn(_seconds: float) -> Numbers:
            held = channel.lock(name, ttl=60)
            threads = [threading.Thread(target=take_and_give) for _ in range(size)]
            for thread in threads:
                thread.start()
            time.sleep(0.2)  # until all are blocked
            began = time.perf_counter()
            held.release()
            for thread in threads:
                thread.join()
            return {"hand-over": (time.perf_counter() - began) / size}

        yield turn


def _leases(type: str, size: int, workspace: Workspace) -> Iterator[Turn]:
    """Renew `size` leases as the keep-alive does."""
    with oc.open_channel("leases", ours.config(type, workspace)) as channel:
        leases = [channel.lock(f"{fresh_name()}-{n}", ttl=600) for n in range(size)]
        requests = [LeaseRequest(lease.name, lease.token, 600_000) for lease in leases]
        renewal = repeated(lambda: channel.hook.extend_all(leases=requests, timeout=10_000))
        yield lambda seconds: _both({"renewal": renewal(seconds)})


def _both(measured: dict[str, Numbers]) -> Numbers:
    """Return the wall time of each measure by its name, and its CPU time as `NAME (cpu)`."""
    walls = {name: numbers["wall"] for name, numbers in measured.items()}
    return walls | {f"{name} (cpu)": numbers["cpu"] for name, numbers in measured.items()}


def _records(type: str, size: int, workspace: Workspace) -> Iterator[Turn]:
    with entrants.history(type, size, workspace) as turn:
        yield turn


def _few(type: str, size: int, workspace: Workspace) -> Iterator[Turn]:
    """Ask for what concerns few of `size` records."""
    with ours.filled_manager(type, workspace, size) as manager:
        rare = [{**ours.record(number), "name": "rare"} for number in range(10)]
        manager.jobs.set_all(({"name": "rare", "startTime": r["startTime"]}, r) for r in rare)

        def search() -> None:
            with oc.JobManager(manager.jobs, manager.locks, state=manager.state) as fresh:
                fresh.close_dead_runs()

        turns = {
            "runs of a rare job": repeated(lambda: manager.runs("rare")),
            "prune of none": repeated(lambda: manager.prune(_CENTURY)),
            "first search for dead runs": repeated(search),
            "report": repeated(manager.report),
        }
        yield lambda seconds: {name: turn(seconds / 4)["wall"] for name, turn in turns.items()}


_ALL = ("simple", "file", "db", "redis", "mongo", "postgres")
SERIES = {
    "entries in the channel": Sizes(
        "one entry", (10, 100, 1_000, 10_000), _ALL,
        ("get", "set", "set (cpu)", "newest 10", "size"), _entries
    ),
    "waiters on the lock": Sizes("each hand-over", (1, 4, 16, 64), _ALL, ("hand-over",), _waiters),
    "leases held": Sizes(
        "renewal of all", (1, 10, 100, 1_000), _ALL, ("renewal", "renewal (cpu)"), _leases
    ),
    "records in the history": Sizes(
        "a question", (100, 1_000, 10_000), ("db", "redis", "mongo", "postgres"),
        ("runs", "running", "start"), _records,
    ),
    "records beside few": Sizes(
        "a question about few", (1_000, 10_000, 100_000), ("db", "redis", "mongo", "postgres"),
        ("runs of a rare job", "prune of none", "first search for dead runs", "report"), _few,
    ),
}  # fmt: skip
