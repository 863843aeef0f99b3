"""What the system knows of the processes of servers."""

from __future__ import annotations

import os
import select
from pathlib import Path


def ended(process: int) -> bool:
    """Return whether a process ends within 20 seconds; close its descriptor."""
    try:
        return bool(select.select([process], [], [], 20)[0])
    finally:
        os.close(process)


def watcher_of(pid: int) -> int:
    """Return the process that ends the server `pid` with the test."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    watchers = [int(child) for child in children if b"launcher.py" in _start_of(child)]
    assert len(watchers) == 1
    return watchers[0]


def user_of(pid: int) -> int:
    """Return the number of the user of a process."""
    return Path("/proc", str(pid)).stat().st_uid


def listeners(port: int) -> set[str]:
    """Return the addresses with a listener on that port, in the notation of the kernel."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]
    ]
    wanted = f"{port:04X}"
    pairs = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {address for address, used in pairs if used == wanted}


def _start_of(process: str) -> bytes:
    """Return the command line of a process, and nothing if it has ended."""
    try:
        return Path("/proc", process, "cmdline").read_bytes()
    except OSError:
        return b""
