"""The stacks of all threads and child processes, for a report of what hangs."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

_HIDDEN: Final = ("threading.py", "_pytest", "pluggy", "xdist", "execnet")
_FRAMES: Final = 12

sources: dict[int, Callable[[], str]] = {}
"""Functions that return the stacks of a child process, by its id."""


def all_stacks() -> str:
    """Return the stacks of this process and of the child processes that a test has started."""
    parts = [_of_this_process()]
    for stacks in list(sources.values()):
        with suppress(OSError):
            parts.append(stacks())
    return "\n".join(parts)


def _of_this_process() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines = ["stacks of this process:"]
    for ident, frame in sys._current_frames().items():
        stack = traceback.extract_stack(frame)
        shown = [
            f"    {Path(entry.filename).name}:{entry.lineno} {entry.name}"
            for entry in stack
            if not any(part in entry.filename for part in _HIDDEN)
        ]
        lines += [f"  {names.get(ident, ident)}:", *shown[-_FRAMES:]]
    return "\n".join(lines)
