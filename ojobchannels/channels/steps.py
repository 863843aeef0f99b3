"""The steps of an acquisition that an event loop performs in its own way: its waits.

The other steps are requests. So the rules of acquiring a lock are written once, for threads and for
`ojobchannels.aio`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(eq=False, repr=False)  # each method takes time at each start
class Queue:
    """Wait behind the callers of this handle that wait already, at most `timeout` milliseconds.

    A thread need not: the backend has a queue of threads.
    """

    name: str
    timeout: int | None

    def __call__(self) -> None:
        """Do nothing on a thread."""


@dataclass(eq=False, repr=False)  # each method takes time at each start
class Wait:
    """Wait until the lock may be granted; `hook.wait` describes the other arguments."""

    hook: Any
    name: str
    seen_fence: int
    token: str
    timeout: int | None

    def __call__(self) -> None:
        """Wait on this thread."""
        self.hook.wait(
            name=self.name, seen_fence=self.seen_fence, token=self.token, timeout=self.timeout
        )
