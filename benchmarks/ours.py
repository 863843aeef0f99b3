"""The project's own contestants: what users write, with the defaults that they get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import ojobchannels as oc
from benchmarks.measure import Place
from ojobchannels.channels.lease import Lease

NAME = "ojobchannels"
Key = dict[str, Any]
Value = dict[str, Any]
_BATCH = 1000


def config(type: str, place: Place) -> dict[str, Any]:
    """Returns how a channel of that type is configured."""
    args: dict[str, Any] = {}
    match type:
        case "file":
            args = {"file": str(place.folder / "ours.json")}
        case "db":
            args = {"file": str(place.folder / "ours.db")}
        case "redis":
            args = {"url": place.server(place.redis)}
        case "mongo":
            args = {"url": place.server(place.mongo)}
        case "mongo-w1":
            args = {"url": place.server(place.mongo_alone)}
    return {"type": type.partition("-")[0], "args": args}


class ChannelLock:
    """A lock of a channel; the class of each type says which."""

    type: ClassVar[str]
    lease: Lease

    def __init__(self, place: Place, name: str) -> None:
        self._channel = oc.open_channel("locks", config(self.type, place))
        self._name = name

    def lock(self) -> None:
        """Takes it, free."""
        self.lease = self._channel.lock(self._name, ttl=30)

    def wait(self) -> None:
        """Waits for it."""
        self.lease = self._channel.lock(self._name, ttl=30, wait=None)

    def unlock(self) -> None:
        """Gives it back."""
        self.lease.release()

    def close(self) -> None:
        """Closes the channel."""
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


LOCKERS: dict[str, type[ChannelLock]] = {
    locker.type: locker
    for locker in (SimpleLock, FileLock, DatabaseLock, RedisLock, MongoLock, MongoLockW1)
}


class ChannelStore:
    """The documents of a channel."""

    def __init__(self, type: str, place: Place, name: str) -> None:
        configuration = config(type, place)
        if type == "file":  # its cost is that of the whole file
            configuration["args"]["file"] = str(place.folder / f"ours-{name}.json")
        self._channel = oc.open_channel(name, configuration)

    def get(self, key: Key) -> Any:
        """Reads an entry."""
        return self._channel.get(key)

    def set(self, key: Key, value: Value) -> None:
        """Writes an entry."""
        self._channel.set(key, value)

    def unset(self, key: Key) -> None:
        """Removes an entry."""
        self._channel.unset(key)

    def get_all(self) -> Any:
        """Reads all."""
        return self._channel.get_all()

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """Writes several in one step."""
        self._channel.set_all(items)

    def close(self) -> None:
        """Removes and closes."""
        self._channel.destroy()
        self._channel.close()


def open_manager(type: str, place: Place, suffix: str = "") -> oc.JobManager:
    """Returns a job manager whose three channels are of that type.

    Managers with different suffixes share nothing.
    """
    jobs, locks, state = (config(type, place) for _ in range(3))
    match type:
        case "file" | "db":
            for part, configuration in (("jobs", jobs), ("locks", locks), ("state", state)):
                configuration["args"]["file"] = str(place.folder / f"{part}{suffix}.{type}")
        case "redis" | "mongo":
            for configuration in (jobs, locks, state):
                configuration["args"]["prefix"] = f"bench{suffix}"
        case "simple":
            return oc.JobManager()
    return oc.JobManager(jobs=jobs, locks=locks, state=state)


_HOUR = 3_600_000
_LONG_AGO = 1_700_000_000_000


def record(number: int) -> dict[str, Any]:
    """Returns the record of a run that ended long ago, one of twenty jobs'."""
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
def filled_manager(type: str, place: Place, records: int) -> Iterator[oc.JobManager]:
    """Opens a manager whose jobs channel holds so many records, and three jobs that run."""
    with open_manager(type, place, f"-{records}") as manager:
        for start in range(0, records, _BATCH):
            batch = [record(number) for number in range(start, min(start + _BATCH, records))]
            manager.jobs.set_all(
                ({"name": one["name"], "startTime": one["startTime"]}, one) for one in batch
            )
        running = [manager.start(f"long-{number}", timeout=3600) for number in range(3)]
        yield manager
        for run in running:
            run.end()
        manager.jobs.destroy()
