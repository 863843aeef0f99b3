"""The durable launches in their channels: those that wait or run, and those that have ended.

A launch is a message of a queue. Its end is written into the message first, by compare-and-set, so
that only the worker that has it can end it; then it moves to the channel of those that have ended.
"""

from __future__ import annotations

import functools
import hashlib
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TypeGuard

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import (
    ChannelError,
    LaunchFailed,
    LockBusy,
    LockLost,
    ResultNotKept,
    StaleFence,
    UnknownLaunch,
    describe_holder,
)
from ojobchannels.hookspecs import LockInfo
from ojobchannels.manager import tracing
from ojobchannels.manager.durable_launches.info import (
    ENDED,
    LaunchEnd,
    LaunchInfo,
    args_of,
    begun_of,
    is_end,
    kept_result,
    of_ended,
    of_message,
)
from ojobchannels.masking import masked
from ojobchannels.recipes.queue import Message, Queue, RetryPolicy

KEPT: Final = 10_000
"""The number of launches that have ended which are kept; the oldest are removed."""

LEASE_SECONDS: Final = 60.0
"""The lease of a worker on the launch that it runs: that of a run."""

_KEYS: Final = "launches with keys "
_KEY_SECONDS: Final = 3.0
_TRIES: Final = 3
_TAKER: Final = "takes launches "
_TAKER_SECONDS: Final = 10.0
_MESSAGE: Final = {"id", "job", "data", "added", "notBefore", "priority", "attempts"}
_KEYED: Final = "keyed"
_ENDLESS: Final = RetryPolicy(attempts=2**53)
"""The worker counts the attempts: only it knows the job."""


class Channels(Protocol):
    """The channels of launches."""

    @property
    def launches(self) -> Channel:
        """The channel of those that have not ended."""

    @property
    def ended_launches(self) -> Channel:
        """The channel of those that have ended."""


class LaunchStore:
    """Adds, takes, ends and lists durable launches.

    Args:
        channels: The channels, opened at the first use.
        now: The clock for delays, in seconds since 1970.
    """

    def __init__(self, channels: Channels, now: Callable[[], float] = time.time) -> None:
        self._channels = channels
        self._now = now

    @functools.cached_property
    def _queue(self) -> Queue:
        return Queue(self._channels.launches, _ENDLESS, self._now)

    @property
    def channel(self) -> Channel:
        """The channel of the launches that wait or run."""
        return self._queue.channel

    @property
    def found_nothing(self) -> bool:
        """Whether the last `take` has found no launch that waits or runs."""
        return self._queue.found_nothing

    def now(self) -> float:
        """Return the time by which launches are due, in seconds since 1970."""
        return self._now()

    @property
    def _ended(self) -> Channel:
        return self._channels.ended_launches

    def add(
        self,
        name: str,
        args: Mapping[str, Any],
        *,
        delay: float,
        priority: float,
        retries: int | None,
        key: str | None,
    ) -> str:
        """Store a launch, and return its identifier; with a known `key`, that of the first one."""
        data: dict[str, Any] = {"args": dict(args)} | (
            {} if retries is None else {"retries": retries}
        )
        if (context := tracing.current()) is not None:
            data[tracing.FIELD] = context
        options: dict[str, Any] = {"priority": priority, "delay": delay}
        if key is None:
            return self._queue.add(name, data, **options)
        launch_id = hashlib.sha256(f"{name}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()
        launch_id = launch_id[:32]
        for tries_left in reversed(range(_TRIES)):
            try:
                if self._ended.get(_key(launch_id)) is None:
                    with self._lock_key(launch_id) as lease:
                        self._add_keyed(name, data, launch_id, lease.fence, options)
                break
            except (StaleFence, LockLost):  # it was suspended meanwhile
                if not tries_left:
                    raise
        return launch_id

    def _add_keyed(
        self, name: str, data: dict[str, Any], launch_id: str, fence: int, options: dict[str, Any]
    ) -> None:
        if self._ended.get(_key(launch_id)) is None:
            self._ended.unset(_key(launch_id), fence)  # refuses an older `_move`
            self._queue.add(name, {**data, _KEYED: True}, id=launch_id, fence=fence, **options)

    def take(self, jobs: Collection[str]) -> Message | None:
        """Return the next launch of one of these jobs, for this process alone."""
        return self._queue.take(LEASE_SECONDS, jobs)

    def _lock_key(self, launch_id: str) -> Lease:
        """Exclude others that add a launch with a key again, or move its end, by a fence.

        Keys share 256 locks: backends keep the fence of each lock for a day.

        Raises:
            LockBusy: Others had the lock for longer than its ttl.
        """
        group = f"{_KEYS}{launch_id[:2]}"
        return self.channel.lock(group, ttl=_KEY_SECONDS, wait=3 * _KEY_SECONDS)

    def announce(self, jobs: Collection[str]) -> Lease | None:
        """Make known that this process takes the launches of these jobs, while it holds a lease."""
        return self._queue.channel.try_lock(
            f"{_TAKER}{uuid.uuid4().hex}",
            ttl=_TAKER_SECONDS,
            keep_alive=True,
            holder={"takes": sorted(jobs)},
        )

    def end(
        self,
        message: Message,
        state: LaunchEnd,
        *,
        run_id: str | None,
        error: str | None = None,
        result: Any = None,
        omitted: str | None = None,
        secret: Collection[str] = (),
    ) -> bool:
        """End a launch, and keep its result, or why that is `omitted`.

        Args:
            message: The launch.
            state: How it ends.
            run_id: Its last run.
            error: Why it did not complete.
            result: Its result.
            omitted: Why that is not kept.
            secret: The names of arguments that are secrets, beside those that look like one.

        Returns:
            False, with nothing written, if another process has taken it since.

        Raises:
            LockLost: The lease was lost before another process took the launch; the end is written.
        """
        ended = self._ending(message.entry, state, error, secret)
        if run_id is not None:
            ended["run_id"] = run_id
        if state == "completed":
            ended |= kept_result(result) if omitted is None else {"omitted": omitted}
        written = False
        try:
            written = message.end(**{ENDED: ended})
        finally:
            if written:
                self._move(ended)
        return written

    def cancel(self, launch_id: str) -> bool:
        """End a launch that waits; return False if it is running or has ended."""
        document = self._queue.channel.get({"id": launch_id})
        if not _is_message(document) or ENDED in document or self._worker(document):
            return False
        ended = self._ending(document, "cancelled", "it was cancelled before it began")
        changed = self._queue.change(document, {"status": "failed", "claim": None, ENDED: ended})
        if changed is not None:
            self._move(ended)
        return changed is not None

    def find(self, launch_id: str) -> LaunchInfo:
        """Return a launch.

        Raises:
            UnknownLaunch: No launch with this identifier is stored.
        """
        document = self._queue.channel.get({"id": launch_id})
        if _is_message(document):
            worker = self._worker(document)
            takers = self._takers() if worker is None else {}
            return of_message(document, worker, takers.get(document["job"], ()))
        return of_ended(self._end_of(launch_id))

    def has_ended(self, launch_id: str) -> bool:
        """Return whether a launch has ended.

        Raises:
            UnknownLaunch: No launch with this identifier is stored.
        """
        document = self._queue.channel.get({"id": launch_id})
        if _is_message(document):
            return ENDED in document
        return bool(self._end_of(launch_id))

    def result(self, launch_id: str) -> Any:
        """Return the result of a launch that has ended; None if it was skipped.

        Raises:
            UnknownLaunch: No launch with this identifier is stored.
            LaunchFailed: It did not complete.
            ResultNotKept: The result is too large, or not JSON.
        """
        ended = self._end_of(launch_id)
        if ended["state"] not in ("completed", "skipped"):
            raise LaunchFailed(launch_id, ended["name"], ended["state"], ended.get("error") or "")
        if "omitted" in ended:
            raise ResultNotKept(launch_id, ended["name"], ended["omitted"])
        return ended.get("result")

    def listed(self, limit: int | None) -> list[LaunchInfo]:
        """Return the launches that wait or run, in the order in which they were added, then others.

        Those that have ended come last, the latest first.
        """
        found: dict[str, LaunchInfo] = {}
        locks = self._queue.channel.locks()
        held = {(lock.name, lock.fence): describe_holder(lock.holder) for lock in locks}
        takers = _takers(locks)
        for document in self._queue.channel.get_all():
            if _is_message(document):
                worker = held.get(_claim_of(document) or ("", 0))
                names = takers.get(document["job"], ())
                found[document["id"]] = of_message(document, worker, names)
        open_ones = sorted(found.values(), key=lambda info: (info.has_ended, info.added))
        left = None if limit is None else max(limit - len(open_ones), 0)
        for _, ended in self._ended.items(limit=left, newest_first=True) if left != 0 else ():
            if is_end(ended) and ended["id"] not in found:
                open_ones.append(of_ended(ended))
        return open_ones[:limit]

    def prune(self, cutoff: int) -> int:
        """Remove the launches that ended before a time, and return their number."""
        for document in self._queue.channel.get_all({"status": "failed"}):
            if isinstance(document, dict) and is_end(ended := document.get(ENDED)):
                self._move(ended)  # its process died at the end of it
        old = [end for _, end in self._ended.items() if is_end(end) and end["ended"] < cutoff]
        return sum(map(self._remove_end, old))

    def _remove_end(self, ended: Mapping[str, Any]) -> bool:
        """Remove an end, unless its key was launched again and has another end by now."""
        key = _key(ended["id"])
        if not _is_keyed(ended):
            return self._ended.unset(key)
        with suppress(StaleFence, LockLost, LockBusy), self._lock_key(ended["id"]) as lease:
            return self._ended.get(key) == ended and self._ended.unset(key, lease.fence)
        return False

    def _ending(
        self,
        document: Mapping[str, Any],
        state: LaunchEnd,
        error: str | None,
        secret: Collection[str] = (),
    ) -> dict[str, Any]:
        return {
            "id": document["id"],
            "name": document["job"],
            "state": state,
            "args": masked(args_of(document["data"]), secret),
            "added": round(document["added"]),
            "due": round(document["notBefore"]),
            "priority": document["priority"],
            "attempts": begun_of(document),
            "ended": round(self._now() * 1000),
            "run_id": document.get("run"),
            **({_KEYED: True} if _is_keyed(document["data"]) else {}),
            **({} if error is None else {"error": error}),
        }

    def _move(self, ended: Mapping[str, Any]) -> None:
        """Move a launch that has ended out of the queue.

        Another process may have done that, `prune` may have removed it, and it may have been
        launched again, with its key, also while this process is suspended: then its fence is stale.
        """
        message = self._ending_message(ended)
        if message is None:
            return
        if not _is_keyed(message["data"]):
            self._move_by(None, ended)
            return
        # If it stays where it is, `prune` moves it.
        with suppress(StaleFence, LockLost, LockBusy), self._lock_key(ended["id"]) as lease:
            if self._ending_message(ended) is not None:
                self._move_by(lease.fence, ended)

    def _ending_message(self, ended: Mapping[str, Any]) -> dict[str, Any] | None:
        message = self._queue.channel.get({"id": ended["id"]})
        return message if _is_message(message) and message.get(ENDED) == ended else None

    def _move_by(self, fence: int | None, ended: Mapping[str, Any]) -> None:
        self._ended.set(_key(ended["id"]), dict(ended), fence)
        self._queue.remove(ended["id"], fence)
        with suppress(ChannelError):  # the next end removes them
            while self._ended.size() > KEPT:
                self._ended.shift()

    def _end_of(self, launch_id: str) -> dict[str, Any]:
        document = self._queue.channel.get({"id": launch_id})
        ended = document.get(ENDED) if isinstance(document, dict) else None
        ended = ended or self._ended.get(_key(launch_id))
        if not is_end(ended):
            raise UnknownLaunch(launch_id)
        return ended

    def _worker(self, document: Mapping[str, Any]) -> str | None:
        """Return the process that runs a launch, if it does."""
        claim = _claim_of(document)
        held = None if claim is None else self._queue.channel.lock_info(claim[0])
        if held is None or (held.name, held.fence) != claim:
            return None
        return describe_holder(held.holder)

    def _takers(self) -> dict[str, tuple[str, ...]]:
        return _takers(self._queue.channel.locks())


def _takers(locks: Collection[LockInfo]) -> dict[str, tuple[str, ...]]:
    """Return the processes that take the launches of each job."""
    found: dict[str, tuple[str, ...]] = {}
    for lock in locks:
        names = lock.holder.get("takes") if lock.name.startswith(_TAKER) else None
        for name in names if isinstance(names, list) else ():
            found[name] = (*found.get(name, ()), describe_holder(lock.holder))
    return found


def _is_message(document: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(document, dict) and document.keys() >= _MESSAGE


def _claim_of(document: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return the lock of the worker that has taken a launch last, and its fence."""
    match document.get("claim"):
        case {"lock": str(name), "fence": int(fence)}:
            return name, fence
    return None


def _is_keyed(data: object) -> bool:
    """Return whether a launch has an idempotency key, by which it may be added again."""
    return isinstance(data, dict) and _KEYED in data


def _key(launch_id: str) -> dict[str, str]:
    return {"launch": launch_id}
