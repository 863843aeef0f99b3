"""The locks of a job: what a file says about them, and the checks of that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.schema.located import Located
from ojobchannels.ojob.schema.model import TypeArgsSpec

LOCKS: Final = "oJob::locks"
"""The default channel of locks, in the memory of this process."""

TURNS: Final = "oJob::single"
"""The channel, in the same memory, of the locks of `single` jobs."""


@dataclass(frozen=True)
class LockSpec:
    """The locks that a call of a job holds while it runs.

    Attributes:
        single: Whether other calls of the job in this run wait.
        lock: The name of a lock, with templates; None for no lock.
        channel: The channel of that lock.
    """

    single: bool
    lock: str | None
    channel: str


def locks_of(spec: TypeArgsSpec) -> LockSpec | None:
    """Return the locks of a job, or None if it needs none."""
    if not spec.single and spec.lock is None:
        return None
    return LockSpec(spec.single, spec.lock, spec.lock_ch or LOCKS)


def lock_diagnostics(where: Located[Any], spec: TypeArgsSpec) -> Iterator[Diagnostic]:
    """Yield what is wrong with the lock of a job, or of a todo entry."""
    if spec.lock_ch is not None and spec.lock is None:
        message = "`lockCh` is the channel of a lock, but `lock` is missing"
        hint = "write `lock: name` beside it, or remove it"
        yield where.diagnostic(("typeArgs", "lockCh"), message, hint, at_key=True)
