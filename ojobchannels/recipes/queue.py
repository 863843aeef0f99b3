"""A durable queue on a channel: one worker at a time processes a message, until it is done.

Messages are entries of the channel, with the key ``{"id": …}`` and the fields ``job, data, status,
attempts, priority, added, notBefore, changed, expires, error, claim``. A worker holds a lock while
it processes a message, and writes the name and the fence of that lock into the entry. The lock of a
dead worker is free, or has another fence: then another worker takes the message. So there are as
many locks as messages in progress, not as many as messages. A message that failed too often is kept
with the status ``failed``.
"""

import itertools
import time
import uuid
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.documents import Document, Item
from ojobchannels.errors import InvalidOption, LockLost, describe_holder, summary
from ojobchannels.printable import storable
from ojobchannels.recipes import certain_writes
from ojobchannels.recipes.due import by_due
from ojobchannels.recipes.messages import FAILED, WAITING, Entry, malformed, name_of, read
from ojobchannels.recipes.retry_policy import RetryPolicy as RetryPolicy
from ojobchannels.recipes.waiting import WaitingMessages

_LOCK: Final = "worker "
_MAX_SECONDS: Final = 100 * 365.25 * 86_400
"""A hundred years: a longer delay is the same to everybody."""


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
    _is_released: bool = field(default=False, repr=False)

    def done(self) -> None:
        """Remove the message, since it was processed.

        Raises:
            LockLost: Its lease was lost; another worker may be processing it too.
        """
        with self._released():
            self._queue.remove(self.id)

    def failed(self, error: BaseException | str, pause: float | None = None) -> bool:
        """Put it back for another attempt after a pause; return whether there will be one.

        Args:
            error: The error of this attempt.
            pause: The pause in seconds; by default that of the queue.
        """
        with self._released():
            changed = self._queue.put_back(self._entry, error, pause)
        return bool(changed["status"] == WAITING)

    def give_back(self, pause: float = 0, **fields: Document) -> None:
        """Put it back without counting this attempt.

        Args:
            pause: The seconds after which it is due again.
            fields: Fields to add to its entry.
        """
        with self._released():
            self._queue.give_back(self._entry, pause, fields)

    @property
    def entry(self) -> Mapping[str, Any]:
        """Its entry, as this worker has last read or written it."""
        return self._entry

    def note(self, **fields: Document) -> None:
        """Add fields to its entry.

        Raises:
            LockLost: Another worker may have taken it; nothing was written.
        """
        self.check()
        changed = self._queue.change(self._entry, fields)
        if changed is None:
            lease, reason = self._lease, "another worker has taken the message, or removed it"
            raise LockLost(lease.channel.name, lease.name, lease.fence, reason)
        self._entry = changed

    def end(self, **fields: Document) -> bool:
        """Keep it without further attempts, and add fields to its entry; repeat it after an error.

        Returns:
            False, with nothing written, if another worker has taken it since.
        """
        ended = {**fields, "status": FAILED, "claim": None}
        changed = self._queue.change(self._entry, ended)
        self.leave()
        return changed is not None

    def leave(self) -> None:
        """Leave it as it is, as if this process had died; nothing if it was put back or ended."""
        with self._released():
            pass

    def check(self) -> None:
        """Raise LockLost if another worker may have taken it."""
        self._lease.check()

    @contextmanager
    def _released(self) -> Iterator[None]:
        """Release its lease after the block, the first time; after an error it may be repeated."""
        was_released, self._is_released = self._is_released, True
        with nullcontext() if was_released else self._lease:
            yield


class Queue:
    """Delivers messages to workers: the lowest priority first, and the oldest of equal ones.

    Any number of threads may use it.

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
        self._waiting = WaitingMessages(channel, self._corrected)
        self._slot = 1

    def add(
        self,
        job: str,
        data: Document = None,
        *,
        priority: int = 1,
        delay: float = 0,
        ttl: float | None = None,
        id: str | None = None,
        fence: int | None = None,
    ) -> str:
        """Add a message, and return its identifier.

        Args:
            job: The job to run for it.
            data: The content.
            priority: Messages with a lower priority are delivered first.
            delay: Seconds before its first delivery.
            ttl: Seconds after which it is dropped if no worker has started it; None for never.
            id: Its identifier, by default a new one. If there is a message with it, none is added.
            fence: The fence of a lease, for an `id` that is used again; see `Channel.add`.

        Raises:
            InvalidOption: An argument is not valid; such a message would never be delivered.
        """
        now, name = self._now(), uuid.uuid4().hex if id is None else id
        entry = {
            "id": name,
            "job": job,
            "data": data,
            "status": WAITING,
            "priority": priority,
            "attempts": 0,
            "added": _ms(now),
            "notBefore": _ms(now + min(delay, _MAX_SECONDS)),
        }
        if ttl is not None:
            entry["expires"] = _ms(now + min(ttl, _MAX_SECONDS))
        reason = read(Item({"id": name}, entry, 0), _ms(now))
        if isinstance(reason, str):
            raise InvalidOption("message", reason, "pass a name as job, and a number as priority")
        self._waiting.prepare()
        certain_writes.add(self.channel, {"id": name}, entry, fence)  # a worker may have taken it
        self._waiting.expect()
        return name

    def take(self, ttl: float, jobs: Collection[str] | None = None) -> Message | None:
        """Return the next message, or None if none is due.

        It reads those that are due first if the backend has an index; otherwise the first call
        reads all messages, later ones what has changed. If more than a hundred are waiting, they
        read it once a second: so one that another process has just added with a lower priority may
        be delivered a second later.

        Args:
            ttl: Seconds after which another worker may take it, if this process dies; the lease is
                renewed as long as the process is alive.
            jobs: Take only messages for these jobs.
        """
        while (entry := self._waiting.next(jobs, _ms(self._now()))) is not None:
            try:
                message = self._begin(entry, ttl)
            except BaseException:
                self._waiting.distrust()
                raise
            if message is not None:
                return message
        return None

    @property
    def found_nothing(self) -> bool:
        """Whether the last `take` has found no message at all."""
        return self._waiting.found_nothing

    def next_due(self) -> float | None:
        """Return the seconds until the next waiting message is due; None if there is none."""
        now = self._now()
        for items in by_due(self.channel):
            times = [entry.due for entry in self._available(_ms(now), items)]
            if times:
                return max(min(times) / 1000 - now, 0.0)
        return None

    def messages(self) -> list[dict[str, Any]]:
        """Return all messages; those in progress have their worker under ``worker``.

        An entry that cannot be read has the status ``malformed``; it is never delivered.
        """
        locks = self.channel.locks()
        held = {(info.name, info.fence): describe_holder(info.holder) for info in locks}
        found = []
        for key, entry in self._entries(self.channel.items()):
            if isinstance(entry, str):
                found.append(malformed(key, entry))
                continue
            document = {name: value for name, value in entry.document.items() if name != "claim"}
            worker = held.get(entry.claim) if entry.claim else None
            found.append(document | ({"worker": worker} if worker else {}))
        return found

    def listed(self) -> list[dict[str, Any]]:
        """Return all messages, under the name of version 0.1; deprecated."""
        warnings.warn(
            "Queue.listed is now messages; the old name will be removed in version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.messages()

    def malformed(self) -> dict[str, str]:
        """Return the entries that cannot be read, by their ids, each with the reason."""
        found = self._entries(self.channel.items())
        return {name_of(key): reason for key, reason in found if isinstance(reason, str)}

    def retry(self, id: str) -> bool:
        """Reset a failed message for new attempts; return whether there was one."""
        document, now = self.channel.get({"id": id}), _ms(self._now())
        if not isinstance(document, dict) or document.get("status") != FAILED:
            return False
        fresh = document | {"status": WAITING, "attempts": 0, "notBefore": now, "changed": now}
        is_stored = self.channel.get_set(document, {"id": id}, fresh) is not None
        self._waiting.expect()
        return is_stored

    def delete(self, id: str) -> bool:
        """Remove a message, even one in progress; return whether there was one."""
        if self.channel.unset({"id": id}):
            return True
        key = next((key for key, _ in self.channel.items() if name_of(key) == id), None)
        return key is not None and self.channel.unset(key)

    def remove(self, id: str, fence: int | None = None) -> None:
        """Remove a message that this process has processed; the fence is that of `add`."""
        self.channel.unset({"id": id}, fence)
        self._waiting.forget_claim(id)

    def put_back(
        self, entry: dict[str, Any], error: BaseException | str, pause: float | None = None
    ) -> dict[str, Any]:
        """Store a failed attempt, and return the message: waiting for another one, or failed."""
        attempts, now = entry["attempts"], self._now()
        pause = self._retries.pause_after(attempts) if pause is None else pause
        text = error if isinstance(error, str) else summary(error)
        changes = {
            "error": storable(text),
            "status": FAILED if attempts >= self._retries.attempts else WAITING,
            "notBefore": _ms(now + min(pause, _MAX_SECONDS)),
            "changed": _ms(now),
            "claim": None,
        }
        changed = self.change(entry, changes)
        self._waiting.expect()
        return changed or entry | changes

    def give_back(self, entry: dict[str, Any], pause: float, fields: dict[str, Any]) -> None:
        """Store that an attempt was not made, and further fields."""
        now = self._now()
        times = {"notBefore": _ms(now + pause), "changed": _ms(now)} if pause else {}
        changes = {**fields, "attempts": entry["attempts"] - 1, "claim": None, **times}
        self.change(entry, changes)
        self._waiting.expect()

    def change(self, entry: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any] | None:
        """Change a message, unless another worker has started it since: attempts only grow.

        Returns:
            The changed message, or None if it was not changed.
        """
        changed = {name: value for name, value in (entry | changes).items() if value is not None}
        changed["data"] = entry.get("data")
        fields = ("attempts", "status", "claim")
        unchanged = {name: entry[name] for name in fields if entry.get(name) is not None}
        stored = certain_writes.swap(self.channel, unchanged, {"id": entry["id"]}, changed)
        return changed if stored else None

    def _available(self, now: int, items: Iterable[Item]) -> Iterator[Entry]:
        """Yield the waiting messages that no worker is processing."""
        all = (entry for _, entry in self._entries(items))
        waiting = (entry for entry in all if not isinstance(entry, str))
        found = [entry for entry in waiting if entry.document["status"] == WAITING]
        held = self._held() if any(entry.claim for entry in found) else set()
        for entry in found:
            if entry.claim not in held:
                yield entry if entry.stored else self._corrected(entry, now)

    def _corrected(self, entry: Entry, now: int) -> Entry:
        """Store a message whose producer's clock was far ahead as if it had been added now."""
        document = entry.corrected(now)
        self.change(entry.document, document)
        return replace(entry, document=document)

    def _entries(self, items: Iterable[Item]) -> Iterator[tuple[Document, Entry | str]]:
        """Yield entries; for one that cannot be read, the reason."""
        now, seen = _ms(self._now()), set[str]()
        for item in items:
            if (name := name_of(item[0])) not in seen:  # else it was changed between two pages
                seen.add(name)
                yield item[0], read(item, now)

    def _held(self) -> set[tuple[str, int]]:
        return {(info.name, info.fence) for info in self.channel.locks()}

    def _begin(self, entry: Entry, ttl: float) -> Message | None:
        """Count an attempt before it is made, since a message may crash its worker."""
        now = _ms(self._now())
        if entry.expires is not None and entry.expires <= now and not entry.attempts:
            self.channel.unset({"id": entry.id})
            return None
        if entry.attempts >= self._retries.attempts:
            self.put_back(entry.document, "the worker died while processing it")
            return None
        lease = self._lease(ttl)
        try:
            claim = {"lock": lease.name, "fence": lease.fence}
            started = self.change(entry.document, {"attempts": entry.attempts + 1, "claim": claim})
        except BaseException:
            lease.release()
            raise
        if started is None:
            lease.release()
            return None
        job, data = started["job"], started["data"]
        return Message(entry.id, job, data, started["attempts"], self, started, lease)

    def _lease(self, ttl: float) -> Lease:
        """Acquire the first lock of a worker that is free, beginning with the one used last."""
        for slot in itertools.chain((self._slot,), itertools.count(1)):
            lease = self.channel.try_lock(f"{_LOCK}{slot}", ttl=ttl, keep_alive=True)
            if lease is not None:
                self._slot = slot
                return lease
        raise AssertionError  # pragma: no cover  there is always a free number


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
