"""Checks that the jobs exist that are named under `deps`, `from`, `to`, `catch`, and in code."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.code.python import has_no_effect
from ojobchannels.ojob.load.code_checks import CODE
from ojobchannels.ojob.load.includes import NOT_BUNDLED, bundled_jobs
from ojobchannels.ojob.load.specs import Specs
from ojobchannels.ojob.schema.located import Located, Reference
from ojobchannels.ojob.schema.model import TodoSpec
from ojobchannels.ojob.yaml.source import Source
from ojobchannels.suggestions import closest, did_you_mean

_JOINED: Final = {
    ",": "write several names as a list",
    " - ": "YAML has joined two lines; begin them in the same column, or write a list",
}


def check_names(specs: Specs) -> Iterator[Diagnostic]:
    """Yield the names of jobs that do not exist."""
    names = (job.references("deps", "from", "to", "each") for job in specs.jobs)
    named = (owner for owner in specs.owners() if not specs.is_handler(owner))
    handlers = (owner.references("catch") for owner in named)
    for reference in chain(*names, *handlers, map(_called, specs.todo)):
        if reference.name in specs.by_name:
            continue
        message, hint = unknown_job(reference.name, reference.source, specs)
        if "catch" in reference.path and not has_no_effect(reference.name):
            hint = "write code under `catch` by itself, not in a list"
        yield reference.diagnostic(message, hint)


def check_calls(specs: Specs) -> Iterator[Diagnostic]:
    """Yield the calls in code that name a job that does not exist."""
    for owner in specs.owners():
        for steps in CODE:
            block = specs.block(owner, *steps)
            for call in block.calls if block else ():
                if call.job not in specs.by_name:
                    message, hint = unknown_job(call.job, owner.source, specs)
                    found = owner.diagnostic(steps, message, hint)
                    yield found._replace(line=call.line, column=call.column)


def _called(entry: Located[TodoSpec]) -> Reference:
    key = "name" if entry.spec.name else "job"
    path = (*entry.path, key)
    is_map = path in entry.source.positions
    return Reference(entry.spec.called, entry.source, path if is_map else entry.path)


def unknown_job(name: str, source: Source, specs: Specs) -> tuple[str, str]:
    """Return the message and the hint for a job that does not exist."""
    message = f"unknown job {name!r}"
    bundled = bundled_jobs()
    if name in NOT_BUNDLED:
        return f"the job {name!r} is not supported", NOT_BUNDLED[name]
    if name in bundled:
        return f"{message}: it is in a bundled pack", f"add {_include(bundled[name], source)}"
    hint = did_you_mean(name, specs.by_name) or "write it below `jobs`"
    for between, advice in _JOINED.items():
        names = [part.strip() for part in name.split(between)]
        if len(names) > 1 and all(one in specs.by_name or one in bundled for one in names):
            hint = f"{advice}: [{', '.join(names)}]"
    meant = closest(name, {**bundled, **specs.by_name})
    if meant in bundled and meant not in specs.by_name:
        hint = f"did you mean `{meant}`? To use it, add {_include(bundled[meant], source)}"
    return message, hint


def _include(pack: str, source: Source) -> str:
    """Return how to include a pack in a file, as the end of a sentence."""
    has_others = isinstance(source.data, dict) and source.data.get("include")
    return f"`{pack}` to `include`" if has_others else f"`include: [{pack}]`"
