"""The channel type ``folder``: a folder with a JSON file for every entry and every lock."""

from __future__ import annotations

import fcntl
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

hookimpl = oc.hookimpl


class FolderBackend:
    """One handle. Whatever it does to the folder, it does under the folder's gate."""

    def __init__(self, channel: str, folder: str, clock: Clock) -> None:
        self.channel = channel
        self.clock = clock
        self.place = Path(folder) / digest(channel)
        self.closed = threading.Event()
        for part in ("entries", "locks"):
            (self.place / part).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def gate(self, how: int = fcntl.LOCK_EX) -> Iterator[None]:
        """Keeps other threads and processes out; the kernel opens it if this process dies."""
        descriptor = os.open(self.place / "gate", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked may still have it open
            os.close(descriptor)

    # Documents

    @hookimpl
    def get(self, key: oc.Key) -> oc.Document:
        return read(self.entry(key)).get("value", oc.MISSING)

    @hookimpl
    def set(self, key: oc.Key, value: oc.Document, fence: int | None) -> bool:
        with self.gate():
            self.put(key, value, self.mark(key, fence))
        return True

    @hookimpl
    def unset(self, key: oc.Key, fence: int | None) -> bool:
        with self.gate():
            mark = self.mark(key, fence)
            was_there = self.get(key) is not oc.MISSING
            self.remove(self.entry(key), mark)
            return was_there

    @hookimpl
    def get_all(self, match: oc.Document) -> list[oc.Document]:
        return [value for _, value in self.matching(match)]

    @hookimpl
    def items(
        self, match: oc.Document, limit: int, newest_first: bool, after: int | None
    ) -> list[oc.Item]:
        found = self.matching(match)
        if newest_first:
            found.reverse()
        if after is not None:
            found = [
                item
                for item in found
                if (item.position < after if newest_first else item.position > after)
            ]
        return found[:limit]

    @hookimpl
    def get_keys(self) -> list[oc.Document]:
        return [key for key, _ in self.matching(None)]

    @hookimpl
    def size(self) -> int:
        return len(self.matching(None))

    @hookimpl
    def set_all(self, items: list[tuple[oc.Key, oc.Document]]) -> bool:
        # One at most: several files cannot be replaced at once, so `atomic_batches` is not claimed.
        return all(self.set(key, value, None) for key, value in items)

    @hookimpl
    def unset_all(self, keys: list[oc.Key]) -> int:
        return sum(self.unset(key, None) for key in keys)

    @hookimpl
    def get_set(
        self, match: oc.Document, key: oc.Key, value: oc.Document, fence: int | None
    ) -> Compared:
        with self.gate():
            present = self.get(key)
            if match is oc.ABSENT:
                fits = present is oc.MISSING
            else:
                fits = present is not oc.MISSING and oc.matches(match, present)
            if fits:
                self.put(key, value, self.mark(key, fence))
            return Compared(fits, present)

    @hookimpl
    def pop(self) -> oc.Document:
        return self.take(-1)

    @hookimpl
    def shift(self) -> oc.Document:
        return self.take(0)

    # Locks. Times come and go in milliseconds; on disk they are microseconds.

    @hookimpl
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Granted | Busy:
        with self.gate():
            if self.closed.is_set():
                raise oc.ChannelClosed(self.channel)
            old = self.record(name)
            left = self.left(old)
            if left and old["token"] == token:
                return Granted(old["fence"], None)
            if left:
                return Busy(old["fence"], old["holder"], -(-left // 1000))
            fence = max(old.get("fence", 0) + 1, self.clock.wall())
            new = {"name": name, "fence": fence, "token": token, "holder": holder}
            self.write_lock(new | {"since": self.clock.wall()} | self.until(ttl))
            unlocked = "holder" not in old
            return Granted(fence, None if unlocked else {**old["holder"], "fence": old["fence"]})

    @hookimpl
    def unlock(self, name: str, token: str) -> bool:
        with self.gate():
            record = self.record(name)
            held = self.holds(record, token)
            if held:
                self.write_lock({"name": name, "fence": record["fence"]})
            return held

    @hookimpl
    def extend(self, name: str, token: str, ttl: int) -> bool:
        with self.gate():
            record = self.record(name)
            held = self.holds(record, token)
            if held:
                self.write_lock(record | self.until(ttl))
            return held

    @hookimpl
    def extend_all(self, leases: list[LeaseRequest], timeout: int) -> list[bool]:
        return [self.extend(*lease) for lease in leases]

    @hookimpl
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        with self.gate():
            record = self.record(name)
            if not self.holds(record, token):
                return False
            self.write_lock(record | {"holder": holder or record["holder"]})
            return Adopted(record["fence"], record["ttl"], self.left(record) // 1000)

    @hookimpl
    def lock_info(self, name: str) -> oc.LockInfo | None:
        return self.told(self.record(name))

    @hookimpl
    def locks(self) -> list[oc.LockInfo]:
        records = map(read, (self.place / "locks").glob("*.json"))
        return [info for record in records if (info := self.told(record))]

    @hookimpl
    def force_unlock(self, name: str) -> oc.LockInfo | None:
        with self.gate():
            record = self.record(name)
            put_out = self.told(record)
            if put_out:
                kept = {part: record[part] for part in ("name", "fence", "holder")}
                self.write_lock(kept)
            return put_out

    @hookimpl
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        """Looks every 20 ms: no release is missed, and nobody has to be woken."""
        ends = None if timeout is None else HOST_CLOCK.now() + timeout * 1000
        while not self.closed.is_set():
            record = self.record(name)
            pause = min(self.left(record), 20_000)
            if ends is not None:
                pause = min(pause, ends - HOST_CLOCK.now())
            if pause <= 0 or record["fence"] != seen_fence:
                return True
            self.closed.wait(pause / 1e6)
        raise oc.ChannelClosed(self.channel)

    @hookimpl
    def share(self, name: str, token: str) -> list[int] | bool:
        return [] if self.holds(self.record(name), token) else False

    # The channel itself

    @hookimpl
    def close(self) -> bool:
        self.closed.set()
        return True

    @hookimpl
    def destroy(self) -> bool:
        with self.gate():
            for path in (self.place / "entries").glob("*.json"):
                self.remove(path, read(path).get("fence"))
        return True

    # Helpers; those that change something are called within the gate

    def entry(self, key: oc.Key) -> Path:
        return self.place / "entries" / f"{digest(key)}.json"

    def put(self, key: oc.Key, value: oc.Document, mark: int | None) -> None:
        position = read(self.place / "last.json").get("position", 0) + 1
        write(self.place / "last.json", {"position": position})
        row = {"position": position, "key": key.document, "value": value}
        write(self.entry(key), row if mark is None else row | {"fence": mark})

    def remove(self, path: Path, mark: int | None) -> None:
        if mark is None:
            path.unlink(missing_ok=True)
        else:
            write(path, {"fence": mark})

    def mark(self, key: oc.Key, fence: int | None) -> int | None:
        """Returns the mark that the key has after a write with this fence, or refuses it."""
        mark: int | None = read(self.entry(key)).get("fence")
        if fence is not None and mark is not None and fence < mark:
            raise oc.StaleFence(self.channel, key.document, fence, mark)
        return mark if fence is None else fence

    def matching(self, match: oc.Document) -> list[oc.Item]:
        with self.gate(fcntl.LOCK_SH):
            rows = [read(path) for path in (self.place / "entries").glob("*.json")]
        items = [oc.Item(row["key"], row["value"], row["position"]) for row in rows if "key" in row]
        items.sort(key=lambda item: item.position)
        return [item for item in items if match is None or oc.matches(match, item[1])]

    def take(self, which: int) -> oc.Document:
        with self.gate():
            rows = [(path, read(path)) for path in (self.place / "entries").glob("*.json")]
            stored = [(row["position"], path, row) for path, row in rows if "key" in row]
            if not stored:
                return oc.MISSING
            _, path, row = sorted(stored, key=lambda one: one[0])[which]
            self.remove(path, row.get("fence"))
            return row["value"]

    def record(self, name: str) -> dict[str, Any]:
        return read(self.place / "locks" / f"{digest(name)}.json")

    def write_lock(self, record: Mapping[str, Any]) -> None:
        write(self.place / "locks" / f"{digest(record['name'])}.json", record)

    def until(self, ttl: int) -> dict[str, Any]:
        """When a lease of so many milliseconds ends: after a reboot, by the wall clock."""
        now, wall, length = self.clock.now(), self.clock.wall(), ttl * 1000
        return {
            "ttl": ttl,
            "until": now + length,
            "wall_until": wall + length,
            "epoch": self.clock.epoch,
        }

    def left(self, record: Mapping[str, Any]) -> int:
        """The microseconds that a lease has left; none for a free lock."""
        if "until" not in record:
            return 0
        if record["epoch"] == self.clock.epoch:
            return max(int(record["until"]) - self.clock.now(), 0)
        return max(int(record["wall_until"]) - self.clock.wall(), 0)

    def holds(self, record: Mapping[str, Any], token: str) -> bool:
        return self.left(record) > 0 and record["token"] == token

    def told(self, record: Mapping[str, Any]) -> oc.LockInfo | None:
        left = self.left(record)
        if not left:
            return None
        until = (self.clock.wall() + left) // 1000
        since = record["since"] // 1000
        return oc.LockInfo(record["name"], record["fence"], record["holder"], since, until)


def digest(text: str) -> str:
    """A name of a file for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def read(path: Path) -> dict[str, Any]:
    """What a file holds, or nothing."""
    with suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return found
    return {}


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a file as a whole: a kill at any moment leaves the old one or the new one."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    draft.replace(path)


# What the plugin offers


def open_backend(channel: str, options: Mapping[str, Any]) -> FolderBackend:
    """Opens a channel; turns what the system says into an error of ours."""
    try:
        return FolderBackend(channel, **options)
    except OSError as error:
        raise oc.ChannelUnavailable(channel, str(error), "name a folder to write in") from error


@hookimpl
def ojobchannels_channel_types() -> Iterable[oc.ChannelType]:
    """Offers ``folder``."""
    opener: Callable[[str, Mapping[str, Any]], object] = open_backend
    return [
        oc.ChannelType(
            name="folder",
            summary="a folder with a JSON file for every entry, on one host",
            open=opener,
            options=(
                oc.Option("folder", str, "path of the folder", required=True),
                oc.Option("clock", object, "the clock that judges leases", HOST_CLOCK),
            ),
            capabilities=frozenset({"clock", "durable", "processes"}),
        )
    ]
