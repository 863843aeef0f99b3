"""Records who is in a critical section, in files that are independent of the backend.

Each lock has a ledger file, changed under a short flock. It holds the lease that entered the
section last, the time until which its holder relies on it, and the keys that were written. A
process that enters has found a violation if another lease is inside and not expired, or if a later
lease has entered while its own is still valid. Each lock also has a counter file that is read and
written without locking: each section adds one, and an update is lost if two processes are inside at
once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

_SIZE: Final = 1024  # bytes of a ledger, so that each change is one write
_PF_EXITING: Final = 0x4  # proc(5) and the kernel's sched.h


@dataclass
class Entry:
    """The lease that entered a section last.

    Attributes:
        fence: Fence of the lease.
        pid: Process id of the holder.
        born: Start time of that process, to detect a reused process id.
        inside: Whether it is still in the section.
        until: Time until which its holder relies on it, in microseconds since the boot.
        marks: The fence of the last certain write of each key.
    """

    fence: int = 0
    pid: int = 0
    born: str = ""
    inside: bool = False
    until: int = 0
    marks: dict[str, int] = field(default_factory=dict)

    def is_alive(self) -> bool:
        """Return whether its process still runs."""
        return _start_time(self.pid) == self.born

    def __str__(self) -> str:
        return f"the lease with fence {self.fence} of process {self.pid}"


class Ledger:
    """The ledger and the counter of one lock.

    Args:
        folder: Folder of the files.
        number: Number of the lock.
    """

    def __init__(self, folder: Path, number: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._ledger = os.open(folder / f"{number}.ledger", flags, 0o600)
        self._counter = os.open(folder / f"{number}.counter", flags, 0o600)
        self._pid = os.getpid()
        self._born = _start_time(self._pid)

    def close(self) -> None:
        """Close the files."""
        os.close(self._ledger)
        os.close(self._counter)

    def enter(self, fence: int, until: int, now: int) -> Entry | None:
        """Record that a lease enters the section; return a conflicting entry, if any.

        A conflicting entry is either later, which is a violation only if the lease of the caller is
        still valid, or inside with a valid lease and a living holder, which always is a violation.
        """
        with self._entry() as last:
            if last.fence >= fence:
                return last
            other = Entry(**asdict(last)) if last.inside and now < last.until else None
            last.fence, last.pid, last.born = fence, self._pid, self._born
            last.inside, last.until = True, until
        return other if other and other.is_alive() else None

    def renew(self, fence: int, until: int, wrote: str | None = None) -> Entry | None:
        """Record a new deadline, and a key that was written; return a later entry, if any."""
        with self._entry() as last:
            if wrote is not None:
                last.marks[wrote] = max(fence, last.marks.get(wrote, 0))
            if last.fence != fence:
                return last
            last.until = until
        return None

    def leave(self, fence: int) -> Entry:
        """Record the end of a section; return the last entry."""
        with self._entry() as last:
            if last.fence == fence:
                last.inside = False
        return last

    def count(self) -> int:
        """Return the counter."""
        return int(os.pread(self._counter, 32, 0) or b"0")

    def write_count(self, count: int) -> None:
        """Overwrite the counter, without a check for other writes."""
        os.pwrite(self._counter, b"%031d" % count, 0)

    @contextmanager
    def _entry(self) -> Iterator[Entry]:
        fcntl.flock(self._ledger, fcntl.LOCK_EX)
        try:
            text = os.pread(self._ledger, _SIZE, 0)
            last = Entry(**json.loads(text)) if text else Entry()
            before = asdict(last)
            yield last
            if asdict(last) != before:
                os.pwrite(self._ledger, json.dumps(asdict(last)).encode().ljust(_SIZE), 0)
        finally:
            fcntl.flock(self._ledger, fcntl.LOCK_UN)


def processes_inside(folder: Path) -> set[int]:
    """Return the ids of the processes that are, or just were, in a section."""
    pids = set()
    for ledger in folder.glob("*.ledger"):
        with suppress(ValueError):  # may be incomplete, as it is read without the flock
            last = Entry(**json.loads(ledger.read_bytes() or b"{}"))
            if last.inside:
                pids.add(last.pid)
    return pids


def _start_time(pid: int) -> str:
    """Return the start time of a process, or "" if it has ended or is exiting.

    A killed process releases its locks when it begins to exit, some time before it disappears.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return ""
    state, *numbers = text.rpartition(")")[2].split()
    return "" if state in "ZX" or int(numbers[5]) & _PF_EXITING else numbers[18]
