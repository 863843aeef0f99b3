"""How a todo entry changes the way its job is run: what counts, and the checks of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.load.lock_spec import lock_diagnostics
from ojobchannels.ojob.load.schedule_spec import schedule_diagnostics, watch_diagnostics
from ojobchannels.ojob.schema.located import Located
from ojobchannels.ojob.schema.model import JobSpec, TodoSpec, TypeArgsSpec

_OF_THE_JOB: Final = {
    "lang": "lang",
    "pwd": "pwd",
    "each_threads": "eachThreads",
    "file": "file",
    "stop_when": "stopWhen",
}
"""What a todo entry cannot change, by field and key."""


def effective(entry: TodoSpec, job: JobSpec) -> tuple[str | None, TypeArgsSpec]:
    """Return the type and the `typeArgs` of a call: those of the entry, else those of its job."""
    own, changes = job.type_args, entry.type_args
    fields = {name: getattr(changes, name) for name in changes.model_fields_set}
    if entry.when:
        fields["when"] = entry.when
    return entry.type or job.type, own.model_copy(update=fields) if fields else own


def override_diagnostics(entry: Located[TodoSpec], job: JobSpec) -> Iterator[Diagnostic]:
    """Yield what is wrong with the `type` and the `typeArgs` of a todo entry."""
    if not entry.spec.has("type", "type_args"):
        return
    for name, key in _OF_THE_JOB.items():
        if entry.spec.type_args.has(name):
            message = f"`{key}` belongs to the job, and is the same for all its calls"
            hint = "write it in the `typeArgs` of the job"
            yield entry.diagnostic(("typeArgs", key), message, hint, at_key=True)
    if entry.spec.type == "jobs" and job.type != "jobs":
        message = f"{job.name!r} is not a job of `type: jobs`, and a call cannot change that"
        hint = "write `type: jobs`, with `typeArgs.file`, in a job"
        yield entry.diagnostic(("type",), message, hint)
    kind, type_args = effective(entry.spec, job)
    yield from schedule_diagnostics(entry, kind, type_args)
    yield from watch_diagnostics(entry, kind, type_args)
    yield from lock_diagnostics(entry, type_args)


def deferred_until(entry: TodoSpec, job: JobSpec) -> str | None:
    """Return when a call runs that the todo does not run at once; None if it does."""
    kind, type_args = effective(entry, job)
    if kind == "shutdown":
        return "at the end of the run"
    if type_args.ch_subscribe is not None:
        return "when a channel changes"
    if type_args.cron is not None or type_args.time_interval is not None:
        return "by its schedule"
    return None
