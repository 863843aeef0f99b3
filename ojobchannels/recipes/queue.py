"""A durable queue on a channel: one worker at a time processes a message, until it is done.

Messages are entries of the channel, with the key ``{"id": …}`` and the fields ``job, data, status,
attempts, priority, added, notBefore, expires, error``. A worker holds the lock of its message; when
a worker dies, its lock expires and another worker takes the message. A message that failed too
often is kept with the status ``failed``.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.documents import Document, storable
from ojobchannels.errors import InvalidOption, describe_holder, summary

WAITING: Final = "waiting"
FAILED: Final = "failed"


@dataclass(frozen=True)
class RetryPolicy:
    """The number of attempts at a message, and the pauses between them.

    Attributes:
        attempts: The maximum number of attempts; after the last one the message is kept as failed.
        pause: Seconds before the second attempt, doubled for each further one.
        longest_pause: The longest pause, in seconds.
    """

    attempts: int = 5
    pause: float = 1.0
    longest_pause: float = 300.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidOption("attempts", f"{self.attempts} is too few", "pass at least 1")
        if min(self.pause, self.longest_pause) < 0:
            raise InvalidOption("pause", "it is negative", "pass seconds, 0 for none")

    def pause_after(self, attempts: int) -> float:
        """Return the pause after the given number of attempts, in seconds."""
        return float(min(self.pause * 2.0 ** min(attempts - 1, 64), self.longest_pause))


@dataclass
class Message:
    """One message that a worker is processing; `attempts` counts this attempt too."""

    id: str
    job: str
    data: Document
    attempts: int
    _queue: "Queue" = field(repr=False)
    _entry: dict[str, Any] = field(repr=False)
    _lease: Lease = field(repr=False)

    def done(self) -> None:
        """Remove the message, since it was processed.

        Raises:
            LockLost: Its lease was lost; another worker may be processing it too.
        """
        with self._lease:
            self._queue.channel.unset({"id": self.id})

    def failed(self, error: BaseException | str) -> bool:
        """Put it back for another attempt after a pause; return whether there will be one."""
        with self._lease:
            self._entry = self._queue.put_back(self._entry, error)
        return bool(self._entry["status"] == WAITING)

    def give_back(self) -> None:
        """Put it back without counting this attempt."""
        with self._lease:
            self._queue.change(self._entry, {"attempts": self.attempts - 1})

    def check(self) -> None:
        """Raise LockLost if another worker may have taken it."""
        self._lease.check()


class Queue:
    """Delivers messages to workers: the lowest priority first, and the oldest of equal ones.

    A message is delivered at least once. If a worker dies or loses its lease, the message is
    delivered again, so processing it twice should do no harm.

    Example:
        >>> import ojobchannels as oc
        >>> with oc.open_channel("docs-queue") as channel:
        ...     queue = Queue(channel)
        ...     queue.add("Send Letter", {"to": "Ada"}) != ""
        ...     message = queue.take(ttl=60)
        ...     message.job, message.data["to"], message.attempts
        ...     message.done()
        ...     queue.take(ttl=60) is None
        True
        ('Send Letter', 'Ada', 1)
        True

    Args:
        channel: The channel of the messages; it should contain nothing else.
        retries: The attempts and pauses for messages that fail.
        now: The clock for pauses and expiries, in seconds since 1970.
    """

    def __init__(
        self,
        channel: Channel,
        retries: RetryPolicy | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.channel = channel
        self._retries = retries or RetryPolicy()
        self._now = now

    def add(
        self,
        job: str,
        data: Document = None,
        *,
        priority: int = 1,
        delay: float = 0,
        ttl: float | None = None,
    ) -> str:
        """Add a message, and return its identifier.

        Args:
            job: The job to run for it.
            data: The content.
            priority: Messages with a lower priority are delivered first.
            delay: Seconds before its first delivery.
            ttl: Seconds after which it is dropped if no worker has started it; None for never.
        """
        now, name = self._now(), uuid.uuid4().hex
        entry = {
            "id": name,
            "job": job,
            "data": data,
            "status": WAITING,
            "priority": priority,
            "attempts": 0,
            "added": _ms(now),
            "notBefore": _ms(now + delay),
        }
        if ttl is not None:
            entry["expires"] = _ms(now + ttl)
        self.channel.set({"id": name}, entry)
        return name

    def take(self, ttl: float) -> Message | None:
        """Return the next message, or None if none is due.

        Args:
            ttl: Seconds after which another worker may take it, if this process dies; the lease is
                renewed as long as the process is alive.
        """
        now = _ms(self._now())
        due = [entry for entry in self._listed(WAITING) if entry["notBefore"] <= now]
        order = itemgetter("priority", "added", "id")
        for seen in sorted(due, key=order):
            lease = self.channel.try_lock(_lock_of(seen["id"]), ttl=ttl, keep_alive=True)
            if lease is None:
                continue
            try:
                message = self._begin(seen["id"], lease)
            except BaseException:
                lease.release()
                raise
            if message is not None:
                return message
            lease.release()
        return None

    def next_due(self) -> float | None:
        """Return the seconds until the next message is due; None if there is none."""
        times = [entry["notBefore"] for entry in self._listed(WAITING)]
        return max(min(times) / 1000 - self._now(), 0.0) if times else None

    def listed(self) -> list[dict[str, Any]]:
        """Return all messages; those in progress have their worker under ``worker``."""
        held = {info.name: describe_holder(info.holder) for info in self.channel.locks()}
        found = self._listed(None)
        for entry in found:
            if (name := _lock_of(entry["id"])) in held:
                entry["worker"] = held[name]
        return found

    def retry(self, id: str) -> bool:
        """Reset a failed message for new attempts; return whether there was one."""
        entry = self.channel.get({"id": id})
        if not isinstance(entry, dict) or entry["status"] != FAILED:
            return False
        fresh = entry | {"status": WAITING, "attempts": 0, "notBefore": _ms(self._now())}
        return bool(self.channel.get_set(entry, {"id": id}, fresh) is not None)

    def delete(self, id: str) -> bool:
        """Remove a message, even one in progress; return whether there was one."""
        return self.channel.unset({"id": id})

    def put_back(self, entry: dict[str, Any], error: BaseException | str) -> dict[str, Any]:
        """Store a failed attempt, and return the message: waiting for another one, or failed."""
        attempts = entry["attempts"]
        text = error if isinstance(error, str) else summary(error)
        changes = {
            "error": storable(text),
            "status": FAILED if attempts >= self._retries.attempts else WAITING,
            "notBefore": _ms(self._now() + self._retries.pause_after(attempts)),
        }
        return self.change(entry, changes)

    def change(self, entry: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        """Change a message, unless another worker has started it since: attempts only grow."""
        changed = entry | changes
        unchanged = {"attempts": entry["attempts"], "status": entry["status"]}
        self.channel.get_set(unchanged, {"id": entry["id"]}, changed)
        return changed

    def _begin(self, id: str, lease: Lease) -> Message | None:
        """Count an attempt before it is made, since a message may crash its worker."""
        entry = self.channel.get({"id": id})
        now = _ms(self._now())
        if not isinstance(entry, dict) or entry["status"] != WAITING or entry["notBefore"] > now:
            return None
        if "expires" in entry and entry["expires"] <= now and not entry["attempts"]:
            self.channel.unset({"id": id})
            return None
        if entry["attempts"] >= self._retries.attempts:
            self.put_back(entry, "the worker died while processing it")
            return None
        started = self.change(entry, {"attempts": entry["attempts"] + 1})
        return Message(id, entry["job"], entry["data"], started["attempts"], self, started, lease)

    def _listed(self, status: str | None) -> list[dict[str, Any]]:
        match = {"status": status} if status else None
        found = self.channel.get_all(match=match)
        return [entry for entry in found if isinstance(entry, dict) and "notBefore" in entry]


def _lock_of(id: str) -> str:
    return f"message {id}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
