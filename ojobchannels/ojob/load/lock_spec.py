"""What a job must have to itself while it works: what a file says of it, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.schema.model import TypeArgsSpec
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source

LOCKS: Final = "oJob::locks"
"""The channel of locks for which a file names none: in the memory of this process."""

TURNS: Final = "oJob::single"
"""The channel, in that memory too, by which calls of a job take turns."""


@dataclass(frozen=True)
class LockSpec:
    """What a call of a job holds while it works.

    Attributes:
        single: Whether it keeps other calls of the job in this run waiting.
        lock: The name of a lock, templates and all, or None.
        channel: The channel where that lock is.
    """

    single: bool
    lock: str | None
    channel: str


def locks_of(spec: TypeArgsSpec) -> LockSpec | None:
    """Returns what a job must have to itself, if there is something."""
    if not spec.single and spec.lock is None:
        return None
    return LockSpec(spec.single, spec.lock, spec.lock_ch or LOCKS)


def lock_faults(source: Source, path: DocumentPath, job: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Yields what is wrong with what a job says of its lock, given as it was read."""
    given = job.get("typeArgs")
    given = given if isinstance(given, dict) else {}
    if given.get("lockCh") is not None and given.get("lock") is None:
        said = "`lockCh` is the channel of a lock, and there is none"
        hint = "write `lock: name` beside it, or take it out"
        yield source.diagnostic((*path, "typeArgs", "lockCh"), said, hint, at_key=True)
