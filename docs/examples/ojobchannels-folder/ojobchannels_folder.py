"""The channel type ``folder``: a folder with a JSON file for each entry and each lock."""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ojobchannels as oc
from ojobchannels.hookspecs import Adopted, Busy, Compared, Granted, LeaseRequest
from ojobchannels.host.clock import HOST_CLOCK, Clock

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

hookimpl = oc.hookimpl


def operation(method: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a hook, and convert errors of the system to errors of ojobchannels."""

    @functools.wraps(method)
    def converted(self: FolderBackend, *arguments: Any) -> Any:
        try:
            return method(self, *arguments)
        except oc.ChannelError:  # some of them are OSErrors, too
            raise
        except OSError as error:
            raise failure(self.channel, error) from error

    return hookimpl(converted)


def failure(channel: str, error: OSError) -> oc.ChannelError:
    """Return the error of ojobchannels for an error of the system."""
    if error.errno in FULL:
        return oc.StorageFull(channel, str(error), "free some space, then try again")
    return oc.ChannelUnavailable(channel, str(error), "use a folder that is writable")


class FolderBackend:
    """One handle. A file lock protects each access to the folder that must be atomic."""

    def __init__(self, channel: str, folder: str, clock: Clock) -> None:
        self.channel = channel
        self.clock = clock
        self.path = Path(folder) / digest(channel)
        self.closed = threading.Event()
        for part in ("entries", "locks"):
            (self.path / part).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def flock(self, how: int = fcntl.LOCK_EX) -> Iterator[None]:
        """Exclude other threads and processes; the kernel frees the lock if this process dies."""
        descriptor = os.open(self.path / "flock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked child may still have the file open
            os.close(descriptor)

    # Documents

    @operation
    def get(self, key: oc.Key) -> oc.Document:
        return read(self.entry(key)).get("value", oc.MISSING)

    @operation
    def set(self, key: oc.Key, value: oc.Document, fence: int | None) -> bool:
        with self.flock():
            self.put(key, value, self.mark(key, fence))
        return True

    @operation
    def unset(self, key: oc.Key, fence: int | None) -> bool:
        with self.flock():
            mark = self.mark(key, fence)
            was_there = self.get(key) is not oc.MISSING
            self.remove(self.entry(key), mark)
            return was_there

    @operation
    def get_all(self, match: oc.Document) -> list[oc.Document]:
        return [value for _, value in self.matching(match)]

    @operation
    def items(
        self, match: oc.Document, limit: int, newest_first: bool, after: int | None
    ) -> list[oc.Item]:
        page = self.matching(match)
        if newest_first:
            page.reverse()
        if after is not None:
            page = [
                item
                for item in page
                if (item.position < after if newest_first else item.position > after)
            ]
        return page[:limit]

    @operation
    def get_keys(self) -> list[oc.Document]:
        return [key for key, _ in self.matching(None)]

    @operation
    def size(self) -> int:
        return len(self.matching(None))

    @operation
    def set_all(self, items: list[tuple[oc.Key, oc.Document]]) -> bool:
        # At most one entry: `atomic_batches` is not claimed, as files cannot be replaced together.
        return all(self.set(key, value, None) for key, value in items)

    @operation
    def unset_all(self, keys: list[oc.Key]) -> int:
        return sum(self.unset(key, None) for key in keys)

    @operation
    def get_set(
        self, match: oc.Document, key: oc.Key, value: oc.Document, fence: int | None
    ) -> Compared:
        with self.flock():
            present = self.get(key)
            if match is oc.ABSENT:
                matched = present is oc.MISSING
            else:
                matched = present is not oc.MISSING and oc.matches(match, present)
            if matched:
                self.put(key, value, self.mark(key, fence))
            return Compared(matched, present)

    @operation
    def pop(self) -> oc.Document:
        return self.take(-1)

    @operation
    def shift(self) -> oc.Document:
        return self.take(0)

    # Locks. Times are milliseconds in the hooks and microseconds in the files.

    @operation
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        with self.flock():
            if self.closed.is_set():
                raise oc.ChannelClosed(self.channel)
            old = self.record(name)
            left = self.remaining(old)
            if left and old["token"] == token:
                return Granted(old["fence"], None)
            if left:
                return Busy(old["fence"], old["holder"], -(-left // 1000))
            fence = max(old.get("fence", 0) + 1, self.clock.wall())
            new = {"name": name, "fence": fence, "token": token, "holder": holder}
            self.write_lock(new | {"since": self.clock.wall()} | self.until(ttl))
            unlocked = "holder" not in old
            return Granted(fence, None if unlocked else {**old["holder"], "fence": old["fence"]})

    @operation
    def unlock(self, name: str, token: str) -> bool:
        with self.flock():
            record = self.record(name)
            held = self.holds(record, token)
            if held:
                self.write_lock({"name": name, "fence": record["fence"]})
            return held

    @operation
    def extend(self, name: str, token: str, ttl: int) -> bool:
        with self.flock():
            record = self.record(name)
            held = self.holds(record, token)
            if held:
                self.write_lock(record | self.until(ttl))
            return held

    @operation
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        return [self.extend(*lease) for lease in leases]

    @operation
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        with self.flock():
            record = self.record(name)
            if not self.holds(record, token):
                return False
            self.write_lock(record | {"holder": holder or record["holder"]})
            return Adopted(record["fence"], record["ttl"], self.remaining(record) // 1000)

    @operation
    def lock_info(self, name: str) -> oc.LockInfo | None:
        return self.info_of(self.record(name))

    @operation
    def locks(self) -> list[oc.LockInfo]:
        records = map(read, (self.path / "locks").glob("*.json"))
        return [info for record in records if (info := self.info_of(record))]

    @operation
    def force_unlock(self, name: str) -> oc.LockInfo | None:
        with self.flock():
            record = self.record(name)
            evicted = self.info_of(record)
            if evicted:
                kept = {part: record[part] for part in ("name", "fence", "holder")}
                self.write_lock(kept)
            return evicted

    @operation
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        """Poll every 20 ms, so that no release is missed and no process needs to be woken."""
        deadline = None if timeout is None else HOST_CLOCK.now() + timeout * 1000
        while not self.closed.is_set():
            record = self.record(name)
            pause = min(self.remaining(record), 20_000)
            if deadline is not None:
                pause = min(pause, deadline - HOST_CLOCK.now())
            if pause <= 0 or record["fence"] != seen_fence:
                return True
            self.closed.wait(pause / 1e6)
        raise oc.ChannelClosed(self.channel)

    @operation
    def share(self, name: str, token: str) -> list[int] | bool:
        return [] if self.holds(self.record(name), token) else False

    # The channel itself

    @operation
    def close(self) -> bool:
        self.closed.set()
        return True

    @operation
    def destroy(self) -> bool:
        with self.flock():
            for path in (self.path / "entries").glob("*.json"):
                self.remove(path, read(path).get("fence"))
        return True

    # Helpers; those that write are called with the file lock held

    def entry(self, key: oc.Key) -> Path:
        return self.path / "entries" / f"{digest(key)}.json"

    def put(self, key: oc.Key, value: oc.Document, mark: int | None) -> None:
        position = read(self.path / "last.json").get("position", 0) + 1
        write(self.path / "last.json", {"position": position})
        row = {"position": position, "key": key.document, "value": value}
        write(self.entry(key), row if mark is None else row | {"fence": mark})

    def remove(self, path: Path, mark: int | None) -> None:
        if mark is None:
            path.unlink(missing_ok=True)
        else:
            write(path, {"fence": mark})

    def mark(self, key: oc.Key, fence: int | None) -> int | None:
        """Return the mark of the key after a write with this fence, or raise StaleFence."""
        mark: int | None = read(self.entry(key)).get("fence")
        if fence is not None and mark is not None and fence < mark:
            raise oc.StaleFence(self.channel, key.document, fence, mark)
        return mark if fence is None else fence

    def matching(self, match: oc.Document) -> list[oc.Item]:
        with self.flock(fcntl.LOCK_SH):
            rows = [read(path) for path in (self.path / "entries").glob("*.json")]
        items = [oc.Item(row["key"], row["value"], row["position"]) for row in rows if "key" in row]
        items.sort(key=lambda item: item.position)
        return [item for item in items if match is None or oc.matches(match, item[1])]

    def take(self, which: int) -> oc.Document:
        with self.flock():
            rows = [(path, read(path)) for path in (self.path / "entries").glob("*.json")]
            stored = [(row["position"], path, row) for path, row in rows if "key" in row]
            if not stored:
                return oc.MISSING
            _, path, row = sorted(stored, key=lambda entry: entry[0])[which]
            self.remove(path, row.get("fence"))
            return row["value"]

    def record(self, name: str) -> dict[str, Any]:
        return read(self.path / "locks" / f"{digest(name)}.json")

    def write_lock(self, record: Mapping[str, Any]) -> None:
        write(self.path / "locks" / f"{digest(record['name'])}.json", record)

    def until(self, ttl: int) -> dict[str, Any]:
        """Return the end of a lease of `ttl` ms, also by the wall clock, for use after a reboot."""
        now, wall, length = self.clock.now(), self.clock.wall(), ttl * 1000
        return {
            "ttl": ttl,
            "until": now + length,
            "wall_until": wall + length,
            "epoch": self.clock.epoch,
        }

    def remaining(self, record: Mapping[str, Any]) -> int:
        """Return the remaining microseconds of a lease; 0 for a free lock."""
        if "until" not in record:
            return 0
        if record["epoch"] == self.clock.epoch:
            return max(int(record["until"]) - self.clock.now(), 0)
        return max(int(record["wall_until"]) - self.clock.wall(), 0)

    def holds(self, record: Mapping[str, Any], token: str) -> bool:
        return self.remaining(record) > 0 and record["token"] == token

    def info_of(self, record: Mapping[str, Any]) -> oc.LockInfo | None:
        left = self.remaining(record)
        if not left:
            return None
        until = (self.clock.wall() + left) // 1000
        since = record["since"] // 1000
        return oc.LockInfo(record["name"], record["fence"], record["holder"], since, until)


def digest(text: str) -> str:
    """Return a file name for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def read(path: Path) -> dict[str, Any]:
    """Return the content of a file; an empty map if it does not exist."""
    with suppress(FileNotFoundError):
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return content
    return {}


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file atomically: after a kill it is either the old or the new one."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    draft.replace(path)


# The plugin


def open_backend(channel: str, options: Mapping[str, Any]) -> FolderBackend:
    """Open a channel; convert errors of the system, as the operations do."""
    try:
        return FolderBackend(channel, **options)
    except OSError as error:
        raise failure(channel, error) from error


@hookimpl
def ojobchannels_channel_types() -> Iterable[oc.ChannelType]:
    """Return the channel type ``folder``."""
    opener: Callable[[str, Mapping[str, Any]], object] = open_backend
    return [
        oc.ChannelType(
            name="folder",
            summary="a folder with a JSON file for each entry, on one host",
            open=opener,
            options=(
                oc.Option("folder", str, "path of the folder", required=True, is_path=True),
                oc.Option("clock", object, "clock that decides when leases expire", HOST_CLOCK),
            ),
            capabilities=frozenset({"clock", "durable", "processes"}),
        )
    ]
