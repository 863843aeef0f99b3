"""How a todo entry has its job run: what is wrong with that, seen together with the job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.load.lock_spec import lock_faults
from ojobchannels.ojob.load.schedule_spec import timing_faults, watch_faults
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source

OF_THE_JOB: Final = ("lang", "pwd", "eachThreads", "file", "stopWhen")
"""What a todo entry cannot have otherwise than its job."""


def manner_faults(
    source: Source, path: DocumentPath, entry: Mapping[str, Any], job: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """Yields what is wrong with the `type` and the `typeArgs` of a todo entry.

    Args:
        source: The file of the entry.
        path: The place of the entry.
        entry: The entry, as it was read.
        job: Its job, as it was read.
    """
    given, own = _map(entry.get("typeArgs")), _map(job.get("typeArgs"))
    for key in OF_THE_JOB:
        if given.get(key) is not None:
            said = f"`{key}` is part of the job, and the same for all its calls"
            hint = "write it in the job's own `typeArgs`"
            yield source.diagnostic((*path, "typeArgs", key), said, hint, at_key=True)
    if entry.get("type") == "jobs" and job.get("type") != "jobs":
        said = f"{job.get('name')!r} is no job file, and a call cannot make it one"
        hint = "write `type: jobs`, with `typeArgs.file`, in a job"
        yield source.diagnostic((*path, "type"), said, hint)
    both = {"type": entry.get("type") or job.get("type"), "typeArgs": own | given}
    yield from timing_faults(source, path, both)
    yield from watch_faults(source, path, both)
    yield from lock_faults(source, path, both)


def put_off_to(entry: Any, job: Mapping[str, Any]) -> str | None:
    """Returns when a call runs that does not when the todo comes to it, else None.

    Args:
        entry: The entry of the todo, as it was read.
        job: Its job, as it was read.
    """
    said = _map(entry)
    given = _map(job.get("typeArgs")) | _map(said.get("typeArgs"))
    if (said.get("type") or job.get("type")) == "shutdown":
        return "at the end of the run"
    if given.get("chSubscribe") is not None:
        return "for changes"
    if given.get("cron") is not None or given.get("timeInterval") is not None:
        return "at its times"
    return None


def _map(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}
