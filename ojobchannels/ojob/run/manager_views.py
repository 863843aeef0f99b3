"""The manager's channels as the code of job files sees them."""

from collections.abc import Iterator
from typing import Any

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.documents import DocumentStore
from ojobchannels.documents import Document, Item
from ojobchannels.hookspecs import LockInfo
from ojobchannels.manager import JobManager


class _View(DocumentStore):
    """A channel with some operations of its own; all others are those of the channel."""

    def __init__(self, manager: JobManager, channel: Channel) -> None:
        super().__init__(
            channel.name, channel.type, channel.capabilities, channel.hook, channel.clock
        )
        self._manager = manager
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def __repr__(self) -> str:
        return repr(self._channel)


class RunRecords(_View):
    """The run records: the latest start first, and none of a dead run without its end."""

    def __init__(self, manager: JobManager) -> None:
        super().__init__(manager, manager.jobs)

    def get(self, key: Document, default: Document = None) -> Document:
        """Return a record."""
        self._manager._before_reading()
        return super().get(key, default)

    def get_all(self, match: Document = None) -> list[Document]:
        """Return the records that match, the latest start first."""
        self._manager._before_reading()
        return sorted(super().get_all(match), key=_start, reverse=True)

    def get_keys(self) -> list[Document]:
        """Return the keys, the latest start first."""
        self._manager._before_reading()
        return sorted(super().get_keys(), key=_start, reverse=True)

    def items(
        self,
        match: Document = None,
        limit: int | None = None,
        newest_first: bool = False,
        after: int | None = None,
    ) -> Iterator[Item]:
        """Yield key and record, the latest start first; with `after`, as a `Channel` does."""
        self._manager._before_reading()
        if after is not None:
            yield from super().items(match, limit, newest_first, after)
            return
        yield from sorted(super().items(match), key=lambda item: _start(item[1]), reverse=True)[
            :limit
        ]


class ManagerLocks(_View):
    """The locks of the jobs; one that is force-released leaves a note in the record of its run."""

    def __init__(self, manager: JobManager) -> None:
        super().__init__(manager, manager.locks)

    def force_unlock(self, name: str, *, slot: int = 1) -> LockInfo | None:
        """Force-release a lock, and return the evicted holder, or None if the lock was free."""
        note = "its lock was force-released by a job file"
        return self._manager.force_unlock(name, note, slot=slot)


def _start(document: Document) -> float:
    """Return the start time of a record or a key; other documents come last."""
    start = document.get("startTime") if isinstance(document, dict) else None
    return start if isinstance(start, int | float) else float("-inf")
