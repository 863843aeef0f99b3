"""A durable queue on a channel: each message is worked on by one at a time, until it is done.

Messages are entries of the channel, ``{"id": …}`` to a map with ``job, data, status, attempts,
priority, added, notBefore, expires, error``. Who works on one holds the channel's lock of that
message; when a worker dies, its lock ends, and another one takes the message. What failed too often
stays, with status ``failed``, until somebody looks at it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.documents import Document
from ojobchannels.errors import InvalidOption, describe_holder

WAITING: Final = "waiting"
FAILED: Final = "failed"


@dataclass(frozen=True)
class RetryPolicy:
    """How often a message is tried, and how long it rests in between.

    Attributes:
        attempts: How often it is begun at most; then it is kept as failed.
        pause: Seconds before the second attempt; it doubles for each further one.
        longest_pause: Seconds that it rests at most.
    """

    attempts: int = 5
    pause: float = 1.0
    longest_pause: float = 300.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidOption("attempts", f"{self.attempts} is too few", "give 1 at least")
        if min(self.pause, self.longest_pause) < 0:
            raise InvalidOption("pause", "it is negative", "give seconds, 0 for none")

    def rest(self, attempts: int) -> float:
        """Returns the seconds to rest after so many attempts."""
        return float(min(self.pause * 2.0 ** min(attempts - 1, 64), self.longest_pause))


@dataclass
class Message:
    """One message, in the hands of a worker.

    Attributes:
        id: What names it.
        job: What is to be done with it.
        data: What it carries.
        attempts: How often it was begun, this time included.
    """

    id: str
    job: str
    data: Document
    attempts: int
    _queue: Queue = field(repr=False)
    _entry: dict[str, Any] = field(repr=False)
    _lease: Lease = field(repr=False)

    def done(self) -> None:
        """Removes it: its work is done.

        Raises:
            LockLost: Its lease was lost; another worker may be at it too.
        """
        with self._lease:
            self._queue.channel.unset({"id": self.id})

    def failed(self, error: BaseException | str) -> bool:
        """Puts it back to be tried again after a rest, and tells whether it will be."""
        with self._lease:
            self._entry = self._queue.put_back(self._entry, error)
        return bool(self._entry["status"] == WAITING)

    def give_back(self) -> None:
        """Puts it back as if it had not been begun."""
        with self._lease:
            self._queue.change(self._entry, {"attempts": self.attempts - 1})

    def check(self) -> None:
        """Raises LockLost if it is no longer in these hands."""
        self._lease.check()


class Queue:
    """Hands out messages: the lowest priority first, of equal ones the oldest.

    A message is handed out at least once: a worker that dies or loses its lease in the middle has
    it done again, so what is done with it should bear that.

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
        channel: Where the messages are; nothing else should be in it.
        retries: What happens to messages whose work fails.
        now: The clock that rests and expiries go by, in seconds since 1970.
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
        """Adds a message, and returns what names it.

        Args:
            job: What is to be done with it.
            data: What it carries.
            priority: Lower ones are handed out first.
            delay: Seconds before it may be handed out.
            ttl: Seconds after which it is dropped if nobody has begun it; None for never.
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
        """Hands out the next message, or None if none is due.

        Args:
            ttl: Seconds after which another may take it, if this process dies; while it lives, its
                hold on the message is renewed.
        """
        now = _ms(self._now())
        due = [one for one in self._listed(WAITING) if one["notBefore"] <= now]
        for seen in sorted(due, key=lambda one: (one["priority"], one["added"], one["id"])):
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
        """Returns in how many seconds the next message is due; None if there is none."""
        times = [one["notBefore"] for one in self._listed(WAITING)]
        return max(min(times) / 1000 - self._now(), 0.0) if times else None

    def listed(self) -> list[dict[str, Any]]:
        """Returns all messages: those at work tell by whom, under ``worker``."""
        held = {info.name: describe_holder(info.holder) for info in self.channel.locks()}
        found = self._listed(None)
        for one in found:
            if (name := _lock_of(one["id"])) in held:
                one["worker"] = held[name]
        return found

    def retry(self, id: str) -> bool:
        """Has a failed message tried again from the beginning; tells whether there was one."""
        entry = self.channel.get({"id": id})
        if not isinstance(entry, dict) or entry["status"] != FAILED:
            return False
        fresh = entry | {"status": WAITING, "attempts": 0, "notBefore": _ms(self._now())}
        return bool(self.channel.get_set(entry, {"id": id}, fresh) is not None)

    def delete(self, id: str) -> bool:
        """Removes a message, at work or not; tells whether there was one."""
        return self.channel.unset({"id": id})

    def put_back(self, entry: dict[str, Any], error: BaseException | str) -> dict[str, Any]:
        """Notes a failed attempt, for another one to follow or for people to see."""
        attempts = entry["attempts"]
        return self.change(
            entry,
            {
                "error": error if isinstance(error, str) else f"{type(error).__name__}: {error}",
                "status": FAILED if attempts >= self._retries.attempts else WAITING,
                "notBefore": _ms(self._now() + self._retries.rest(attempts)),
            },
        )

    def change(self, entry: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """Changes a message, unless another worker has begun it since: attempts only grow."""
        changed = entry | news
        as_it_was = {"attempts": entry["attempts"], "status": entry["status"]}
        self.channel.get_set(as_it_was, {"id": entry["id"]}, changed)
        return changed

    def _begin(self, id: str, lease: Lease) -> Message | None:
        """Counts an attempt before it is made, for a message may kill its worker."""
        entry = self.channel.get({"id": id})
        now = _ms(self._now())
        if not isinstance(entry, dict) or entry["status"] != WAITING or entry["notBefore"] > now:
            return None
        if "expires" in entry and entry["expires"] <= now and not entry["attempts"]:
            self.channel.unset({"id": id})
            return None
        if entry["attempts"] >= self._retries.attempts:
            self.put_back(entry, "its worker did not live to tell")
            return None
        begun = self.change(entry, {"attempts": entry["attempts"] + 1})
        return Message(id, entry["job"], entry["data"], begun["attempts"], self, begun, lease)

    def _listed(self, status: str | None) -> list[dict[str, Any]]:
        match = {"status": status} if status else None
        found = self.channel.get_all(match=match)
        return [one for one in found if isinstance(one, dict) and "notBefore" in one]


def _lock_of(id: str) -> str:
    return f"message {id}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
