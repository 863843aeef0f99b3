"""Checks that the jobs of a file can run in an order that exists."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.load.graph import accumulate
from ojobchannels.ojob.load.specs import Specs
from ojobchannels.ojob.schema.located import Reference
from ojobchannels.ojob.schema.model import JobSpec

_MAX_STEPS: Final = 10_000

_Deps: TypeAlias = dict[str, Reference]
_BY_SCHEDULE: Final = "by its schedule"
_BY_CHANGE: Final = "when a channel changes"


def check_order(specs: Specs) -> Iterator[Diagnostic]:
    """Yield circles, jobs with too many steps, and dependencies that the todo does not run."""
    yield from _circles(specs, specs.parts, ("from", "to"), "circular `from` or `to`", "runs")
    if next(circles(specs.parts), None) is None:
        yield from _sizes(specs)
    deps = _deps(specs)
    waits = {name: list(found) for name, found in deps.items()}
    keys = ("deps", "from", "to")
    yield from _circles(specs, waits, keys, "circular dependency", "depends on")
    yield from _missing_in_todo(specs, deps)
    yield from _never_run(specs)


def _circles(
    specs: Specs, graph: Mapping[str, list[str]], keys: tuple[str, ...], what: str, does: str
) -> Iterator[Diagnostic]:
    for circle in circles(graph):
        job = specs.by_name[circle[0]]
        references = {one.name: one for one in reversed(list(job.references(*keys)))}
        message, hint = f"{what}: {' -> '.join(circle)}", "remove one of them"
        if len(circle) == 2:
            by = "" if circle[1] in references else ", through one of its `from` or `to` jobs"
            message, hint = f"{job.spec.name!r} {does} itself{by}", "remove it"
        if circle[1] in references:
            yield references[circle[1]].diagnostic(message, hint)
        else:
            yield job.diagnostic(("name",), message, hint)


def _missing_in_todo(specs: Specs, deps: Mapping[str, _Deps]) -> Iterator[Diagnostic]:
    """Yield the dependencies of called jobs that the todo does not run, or not at once."""
    called: dict[str, str | None] = {}
    for entry in specs.todo:
        if (name := entry.spec.called) in specs.by_name:
            when = _deferred_until(entry.spec.applied_to(specs.by_name[name].spec))
            called[name] = when if called.get(name, when) is not None else None
    for name in sorted(called):
        for dep in deps[name].values():
            if dep.name in specs.by_name and dep.name not in called:
                message = f"{name!r} is in the todo, but its dependency {dep.name!r} is not"
                yield dep.diagnostic(message, f"add {dep.name!r} to the todo")
            elif when := called.get(dep.name):
                message = f"{name!r} depends on {dep.name!r}, which the todo only runs {when}"
                yield dep.diagnostic(message, "remove the dependency")


def _never_run(specs: Specs) -> Iterator[Diagnostic]:
    """Yield entries of the todo that wait for a time or a change in a run that ends before."""
    daemon = [file.spec.ojob.daemon for file in specs.files if file.spec.ojob.has("daemon")]
    if not daemon or daemon[-1]:
        return
    for entry in specs.todo:
        if (job := specs.by_name.get(entry.spec.called)) is None:
            continue
        when = _deferred_until(entry.spec.applied_to(job.spec))
        if when in (_BY_SCHEDULE, _BY_CHANGE):
            message = f"{job.spec.name!r} runs {when}, but with `daemon: false` the run ends before"
            hint = "remove `daemon: false`; or use `jobsInclude` to include jobs without their todo"
            yield entry.diagnostic((), message, hint)


def _sizes(specs: Specs) -> Iterator[Diagnostic]:
    """Yield jobs whose parts name each other so often that they would hardly ever end.

    Only the smallest of them are reported, not those that they are part of.
    """
    sizes = unfolded(specs.parts)
    for name, job in specs.by_name.items():
        if sizes[name] > _MAX_STEPS >= max(sizes[one] for one in specs.parts[name]):
            reference = next(job.references("from", "to"))
            count = f"{sizes[name]:,}" if sizes[name] < 10**12 else "over 10^12"
            message = f"{name!r} has {count} steps, with its `from` and `to` jobs and theirs"
            hint = f"the maximum is {_MAX_STEPS:,}: name each job less often"
            yield reference.diagnostic(message, hint)


def _deps(specs: Specs) -> dict[str, _Deps]:
    """Return the dependencies of each job and of the jobs that are parts of it, by name."""
    own = {
        name: {reference.name: reference for reference in job.references("deps")}
        for name, job in specs.by_name.items()
    }
    return accumulate(specs.parts, own, _joined)


def _joined(parts: list[_Deps]) -> _Deps:
    several = [part for part in parts if part]
    return {name: one for part in several[::-1] for name, one in part.items()}


def _deferred_until(job: JobSpec) -> str | None:
    """Return when a job runs that the todo does not run at once; None if it does."""
    if job.type == "shutdown":
        return "at the end of the run"
    if job.type_args.ch_subscribe is not None:
        return _BY_CHANGE
    has_times = job.type_args.cron is not None or job.type_args.time_interval is not None
    return _BY_SCHEDULE if has_times else None


def circles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield circles, each with its first node repeated at the end, and each once."""
    done: set[str] = set()
    for start in graph:
        trail: dict[str, None] = {}
        waiting = [iter((start,))]
        while waiting:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                if trail:
                    done.add(trail.popitem()[0])
            elif name in trail:
                path = list(trail)
                yield [*path[path.index(name) :], name]
            elif name not in done:
                trail[name] = None
                waiting.append(iter(graph.get(name, ())))


def unfolded(graph: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the sizes of the trees into which the nodes of a graph without circles unfold."""
    sizes: dict[str, int] = {}
    for start in graph:
        waiting = [start]
        while waiting:
            below = graph.get(waiting[-1], ())
            unknown = [node for node in below if node not in sizes]
            if unknown:
                waiting += unknown
            else:
                sizes[waiting.pop()] = 1 + sum(sizes[node] for node in below)
    return sizes
