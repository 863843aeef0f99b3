"""Who is in a critical section, witnessed by files that the backend knows nothing of.

For each lock there is a ledger, changed under a flock for a moment only: which lease was in the
section last, until when its holder relies on it, and which keys were written. A process that finds
somebody in the section whose time is not over, or a later lease while its own lives, has caught the
backend. Beside it there is a counter that is read and written without any care: each section adds
one, and where two are in it at once one of them is lost.
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

_SIZE: Final = 1024  # of the ledger's text: one write, always in the same place
_PF_EXITING: Final = 0x4  # proc(5) and the kernel's sched.h


@dataclass
class Presence:
    """The lease that was in a section last.

    Attributes:
        fence: Its number.
        pid: Its process.
        born: When that process began, by which it is told from a later one of the same id.
        inside: Whether it is in the section still.
        until: Until when its holder relies on it, in microseconds since the boot.
        marks: The fence with which each key was last written for certain.
    """

    fence: int = 0
    pid: int = 0
    born: str = ""
    inside: bool = False
    until: int = 0
    marks: dict[str, int] = field(default_factory=dict)

    def lives(self) -> bool:
        """Tells whether its process still runs."""
        return _birth(self.pid) == self.born

    def __str__(self) -> str:
        return f"the lease with fence {self.fence} of process {self.pid}"


class Ledger:
    """The ledger and the counter of one lock.

    Args:
        folder: Where they are.
        number: Of the lock.
    """

    def __init__(self, folder: Path, number: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._ledger = os.open(folder / f"{number}.ledger", flags, 0o600)
        self._counter = os.open(folder / f"{number}.counter", flags, 0o600)
        self._pid = os.getpid()
        self._born = _birth(self._pid)

    def close(self) -> None:
        """Closes the files."""
        os.close(self._ledger)
        os.close(self._counter)

    def enter(self, fence: int, until: int, now: int) -> Presence | None:
        """Notes the presence of a lease; returns the one that is in its way, if there is one.

        That is a later one, which is a fault only if the caller's own lease lives, or one that is
        inside, lives and relies on its lease, which is a fault by itself.
        """
        with self._entry() as last:
            if last.fence >= fence:
                return last
            met = Presence(**asdict(last)) if last.inside and now < last.until else None
            last.fence, last.pid, last.born = fence, self._pid, self._born
            last.inside, last.until = True, until
        return met if met and met.lives() else None

    def look(self, fence: int, until: int, wrote: str | None = None) -> Presence | None:
        """Notes until when the lease is relied on, and a key; returns a later lease, if any."""
        with self._entry() as last:
            if wrote is not None:
                last.marks[wrote] = max(fence, last.marks.get(wrote, 0))
            if last.fence != fence:
                return last
            last.until = until
        return None

    def leave(self, fence: int) -> Presence:
        """Notes the end of a section; returns who was there last."""
        with self._entry() as last:
            if last.fence == fence:
                last.inside = False
        return last

    def count(self) -> int:
        """Reads the counter."""
        return int(os.pread(self._counter, 32, 0) or b"0")

    def write_count(self, count: int) -> None:
        """Writes the counter, whoever wrote it meanwhile."""
        os.pwrite(self._counter, b"%031d" % count, 0)

    @contextmanager
    def _entry(self) -> Iterator[Presence]:
        fcntl.flock(self._ledger, fcntl.LOCK_EX)
        try:
            text = os.pread(self._ledger, _SIZE, 0)
            last = Presence(**json.loads(text)) if text else Presence()
            before = asdict(last)
            yield last
            if asdict(last) != before:
                os.pwrite(self._ledger, json.dumps(asdict(last)).encode().ljust(_SIZE), 0)
        finally:
            fcntl.flock(self._ledger, fcntl.LOCK_UN)


def insiders(folder: Path) -> set[int]:
    """Returns the processes that are in a section, or were a moment ago."""
    found = set()
    for ledger in folder.glob("*.ledger"):
        with suppress(ValueError):  # read without a lock, it may be half written
            last = Presence(**json.loads(ledger.read_bytes() or b"{}"))
            if last.inside:
                found.add(last.pid)
    return found


def _birth(pid: int) -> str:
    """Returns when a process began, or an empty text if it is gone or about to be.

    One that was killed gives up its locks when it begins to exit, some time before it is gone.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return ""
    state, *numbers = text.rpartition(")")[2].split()
    return "" if state in "ZX" or int(numbers[5]) & _PF_EXITING else numbers[18]
