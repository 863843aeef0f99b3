"""The run records that have changed since a position, for a reader that comes again and again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from ojobchannels.channels.channel import Channel

Record: TypeAlias = Mapping[str, Any]
Cursor: TypeAlias = dict[str, Any]
"""Where a reader is: ``after`` and ``reached`` in the channel of records, ``skipsAfter`` among the
records of runs that did not begin, ``latest``, the latest end of a run, ``seen``, the changes that
were handled last."""

_BATCH: Final = 500
_MOST_SEEN: Final = 600
_NO_RECORDS: Final = 0
_CHECK_AGAIN_SECONDS: Final = 10.0


class Runs(Protocol):
    """The records; a job manager has them."""

    jobs: Channel

    @property
    def state(self) -> Channel:
        """The channel of everything else."""

    def _is_readable(self, key: object, document: object) -> bool:
        """Return whether an entry of the jobs channel is a run record."""


class RunChanges:
    """Reads what has changed, and moves a cursor.

    A reading begins where the one before the last ended, because storages may show changes that
    happen at the same time in another order. What was seen before is left out.

    Attributes:
        is_behind: Whether the last reading left changes for the next one.
    """

    def __init__(self, runs: Runs) -> None:
        self.is_behind = False
        self._runs = runs
        self._read_again_until = 0.0

    def begin(self, now: int, backlog: int = 0) -> Cursor:
        """Return the cursor of a new reader.

        Args:
            now: The time, in milliseconds since 1970.
            backlog: The number of earlier changes to read, too.
        """
        jobs, skips = (_start(part, backlog) for part in (self._runs.jobs, self._runs.state))
        latest = 0 if backlog else now
        return {"after": jobs, "reached": jobs, "skipsAfter": skips, "latest": latest, "seen": []}

    def read(self, cursor: Cursor, *, skips: bool) -> list[Record]:
        """Return the latest version of each changed record, in the order of their ends.

        Args:
            cursor: Where the reader is; it is moved.
            skips: Whether to read runs that did not begin, too.
        """
        self.is_behind = False
        found = self._begun(cursor)
        if skips:
            found += self._skipped(cursor)
        seen = set(cursor["seen"])
        fresh = {_mark(each): each for each in found if _mark(each) not in seen}
        cursor["seen"] = [*cursor["seen"], *fresh][-_MOST_SEEN:]
        for record in fresh.values():
            cursor["latest"] = max(cursor["latest"], record.get("endTime", 0))
        return sorted(fresh.values(), key=moment_of)

    def _begun(self, cursor: Cursor) -> list[Record]:
        jobs, reached = self._runs.jobs, cursor["reached"]
        newest = _newest(jobs)
        earliest = 0
        if newest < reached:  # the newest record was removed, or all of them
            cursor["after"] = reached = cursor["reached"] = _NO_RECORDS
            earliest = cursor["latest"]
        if newest > reached:
            self._read_again_until = time.monotonic() + _CHECK_AGAIN_SECONDS
        elif time.monotonic() > self._read_again_until:
            return []
        found: list[Record] = []
        number = 0
        for item in jobs.items(after=cursor["after"] or None, limit=_BATCH):
            number += 1
            reached = max(reached, item.position)
            if self._runs._is_readable(*item) and item[1].get("endTime", earliest) >= earliest:
                found.append(item[1])
        self.is_behind |= number == _BATCH
        if reached > cursor["reached"]:
            cursor["after"], cursor["reached"] = cursor["reached"], reached
        elif number == _BATCH:  # all of them were seen before: do not read them once more
            cursor["after"] = reached
        return found

    def _skipped(self, cursor: Cursor) -> list[Record]:
        found: list[Record] = []
        after = cursor["skipsAfter"] or None
        match = {"inError": False}  # all of them, and nothing else there
        for item in self._runs.state.items(match=match, after=after, limit=_BATCH):
            cursor["skipsAfter"] = item.position
            if "status" in item[1]:
                found.append(item[1])
        self.is_behind |= len(found) == _BATCH
        return found


def moment_of(record: Record) -> tuple[int, int]:
    """Return the end of a run, or the start of one that is running; for the order of changes."""
    return int(record.get("endTime", record["startTime"])), int(record["startTime"])


def _mark(record: Record) -> str:
    return f"{str(record.get('runId'))[:16]} {record['status']}"


def _newest(channel: Channel) -> int:
    newest = next(iter(channel.items(limit=1, newest_first=True)), None)
    return newest.position if newest else _NO_RECORDS


def _start(channel: Channel, backlog: int) -> int:
    """Return the position before the latest changes."""
    if not backlog:
        return _newest(channel)
    last = _NO_RECORDS
    for number, item in enumerate(channel.items(limit=backlog + 1, newest_first=True)):
        last = item.position if number == backlog else _NO_RECORDS
    return last
