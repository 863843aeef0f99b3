"""The contestants of this project: what users write, with the default settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import ojobchannels as oc
from benchmarks.measure import Workspace
from ojobchannels.channels.lease import Lease

NAME = "ojobchannels"
Key = dict[str, Any]
Value = dict[str, Any]
_BATCH = 1000


def config(type: str, workspace: Workspace) -> dict[str, Any]:
    """Return the configuration of a channel of that type."""
    args: dict[str, Any] = {}
    match type:
        case "file":
            args = {"file": str(workspace.folder / "ours.json")}
        case "db":
            args = {"file": str(workspace.folder / "ours.db")}
        case "redis" | "mongo" | "mongo-w1" | "postgres" | "ignite":
            args = {"url": workspace.server(type)}
    return {"type": type.partition("-")[0], "args": args}


class ChannelLock:
    """A lock of a channel; each channel type has a subclass."""

    type: ClassVar[str]
    lease: Lease

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._channel = oc.open_channel("locks", config(self.type, workspace))
        self._name = name

    def lock(self) -> None:
        """Acquire the free lock."""
        self.lease = self._channel.lock(self._name, ttl=30)

    def wait(self) -> None:
        """Wait for the lock."""
        self.lease = self._channel.lock(self._name, ttl=30, wait=None)

    def unlock(self) -> None:
        """Release the lock."""
        self.lease.release()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class SimpleLock(ChannelLock):
    """In memory."""

    type = "simple"


class FileLock(ChannelLock):
    """In files beside a JSON file."""

    type = "file"


class DatabaseLock(ChannelLock):
    """In a SQLite database."""

    type = "db"


class RedisLock(ChannelLock):
    """In a Redis server."""

    type = "redis"


class MongoLock(ChannelLock):
    """In a replica set."""

    type = "mongo"


class MongoLockW1(ChannelLock):
    """In a server without a replica set, where a majority is the server itself."""

    type = "mongo-w1"


class PostgresLock(ChannelLock):
    """In a PostgreSQL database."""

    type = "postgres"


class IgniteLock(ChannelLock):
    """On an Ignite node."""

    type = "ignite"


_LOCKERS = (
    SimpleLock,
    FileLock,
    DatabaseLock,
    RedisLock,
    MongoLock,
    MongoLockW1,
    PostgresLock,
    IgniteLock,
)
LOCKERS: dict[str, type[ChannelLock]] = {locker.type: locker for locker in _LOCKERS}


class ChannelStore:
    """The documents of a channel."""

    def __init__(self, type: str, workspace: Workspace, name: str) -> None:
        configuration = config(type, workspace)
        if type == "file":  # an operation costs as much as its file is long
            configuration["args"]["file"] = str(workspace.folder / f"ours-{name}.json")
        self._channel = oc.open_channel(name, configuration)

    def get(self, key: Key) -> Any:
        """Read an entry."""
        return self._channel.get(key)

    def set(self, key: Key, value: Value) -> None:
        """Write an entry."""
        self._channel.set(key, value)

    def unset(self, key: Key) -> None:
        """Remove an entry."""
        self._channel.unset(key)

    def get_all(self) -> Any:
        """Read all entries."""
        return self._channel.get_all()

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Write several entries, in one step where the type can do so."""
        if "atomic_batches" in self._channel.capabilities:
            self._channel.set_all(items)
            return
        for key, value in items:
            self._channel.set(key, value)

    def close(self) -> None:
        """Remove the entries and close the channel."""
        self._channel.destroy()
        self._channel.close()


def open_manager(type: str, workspace: Workspace, suffix: str = "") -> oc.JobManager:
    """Return a job manager whose three channels are of that type.

    Managers with different suffixes share nothing.
    """
    jobs, locks, state = (config(type, workspace) for _ in range(3))
    match type:
        case "file" | "db":
            for part, configuration in (("jobs", jobs), ("locks", locks), ("state", state)):
                configuration["args"]["file"] = str(workspace.folder / f"{part}{suffix}.{type}")
        case "redis" | "mongo":
            for configuration in (jobs, locks, state):
                configuration["args"]["prefix"] = f"bench{suffix}"
        case "postgres":
            for configuration in (jobs, locks, state):
                configuration["args"]["schema"] = f"bench{suffix}"
        case "simple":
            return oc.JobManager()
    return oc.JobManager(jobs=jobs, locks=locks, state=state)


_HOUR = 3_600_000
_LONG_AGO = 1_700_000_000_000


def record(number: int) -> dict[str, Any]:
    """Return the record of a past run of one of twenty jobs."""
    start = _LONG_AGO + number * 1000
    return {
        "name": f"job-{number % 20}",
        "startTime": start,
        "startDate": "2023-11-14T22:13:20.000Z",
        "endTime": start + 500,
        "endDate": "2023-11-14T22:13:20.500Z",
        "duration": 500,
        "inError": False,
        "runId": f"{number:032x}",
        "status": "completed",
        "host": "server-1",
        "pid": 4711,
        "fence": start * 1000,
        "timeout": _HOUR,
        "args": {"batchId": number},
    }


@contextmanager
def filled_manager(type: str, workspace: Workspace, records: int) -> Iterator[oc.JobManager]:
    """Open a manager with that many records, while three jobs are running."""
    with open_manager(type, workspace, f"-{records}") as manager:
        for start in range(0, records, _BATCH):
            batch = [record(number) for number in range(start, min(start + _BATCH, records))]
            manager.jobs.set_all(
                ({"name": r["name"], "startTime": r["startTime"]}, r) for r in batch
            )
        running = [manager.start(f"long-{number}", timeout=3600) for number in range(3)]
        yield manager
        for run in running:
            run.end()
        manager.jobs.destroy()
