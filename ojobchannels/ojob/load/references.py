"""Checks of what jobs name: other jobs, in an order that is possible."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.code.python import has_no_effect
from ojobchannels.ojob.load.graph import circles, reach, unfolded
from ojobchannels.ojob.load.includes import NOT_BUNDLED, bundled_jobs
from ojobchannels.ojob.schema.located import Located, Reference
from ojobchannels.ojob.schema.model import JobSpec, TodoSpec
from ojobchannels.ojob.yaml.source import Source
from ojobchannels.suggestions import closest, did_you_mean

_JOINED: Final = {
    ",": "write several names as a list",
    " - ": "YAML has joined two lines; begin them in the same column, or write a list",
}
_MAX_STEPS: Final = 10_000

Jobs = Mapping[str, Located[JobSpec]]


class References:
    """Checks the names of jobs; `parts` are the jobs under `from` and `to` of each job."""

    def __init__(self, jobs: Jobs, todo: Sequence[Located[TodoSpec]]) -> None:
        self._jobs = jobs
        self._todo = todo
        self.parts = {
            name: [reference.name for reference in job.references("from", "to")]
            for name, job in jobs.items()
        }

    def names(self, references: Iterator[Reference]) -> Iterator[Diagnostic]:
        """Yield the names of jobs that do not exist."""
        for reference in references:
            if reference.name in self._jobs:
                continue
            message, hint = self.unknown(reference.name, reference.source)
            if "catch" in reference.path and not has_no_effect(reference.name):
                hint = "write code under `catch` by itself, not in a list"
            yield reference.diagnostic(message, hint)

    def called(self, entry: Located[TodoSpec]) -> Reference:
        """Return the name of the job of a todo entry."""
        key = "name" if entry.spec.name else "job"
        path = (*entry.path, key)
        is_map = path in entry.source.positions
        return Reference(entry.spec.called, entry.source, path if is_map else entry.path)

    def unknown(self, name: str, source: Source) -> tuple[str, str]:
        """Return the message and the hint for a job that does not exist."""
        message = f"unknown job {name!r}"
        bundled = bundled_jobs()
        if name in NOT_BUNDLED:
            return f"the job {name!r} is not supported", NOT_BUNDLED[name]
        if name in bundled:
            return f"{message}: it is in a bundled pack", f"add {_include(bundled[name], source)}"
        hint = did_you_mean(name, self._jobs) or "write it below `jobs`"
        for between, advice in _JOINED.items():
            names = [part.strip() for part in name.split(between)]
            if len(names) > 1 and all(one in self._jobs or one in bundled for one in names):
                hint = f"{advice}: [{', '.join(names)}]"
        meant = closest(name, {**bundled, **self._jobs})
        if meant in bundled and meant not in self._jobs:
            hint = f"did you mean `{meant}`? To use it, add {_include(bundled[meant], source)}"
        return message, hint

    def order(self) -> Iterator[Diagnostic]:
        """Yield circles, jobs with too many steps, and dependencies that the todo does not run."""
        yield from self._circles(self.parts, ("from", "to"), "circular `from` or `to`", "runs")
        if next(circles(self.parts), None) is None:
            yield from self._sizes()
        waits = {name: [one.name for one in self._deps(name)] for name in self._jobs}
        keys = ("deps", "from", "to")
        yield from self._circles(waits, keys, "circular dependency", "depends on")
        yield from self._missing_in_todo()

    def _circles(
        self, graph: Mapping[str, list[str]], keys: tuple[str, ...], what: str, does: str
    ) -> Iterator[Diagnostic]:
        for circle in circles(graph):
            job = self._jobs[circle[0]]
            references = {one.name: one for one in reversed(list(job.references(*keys)))}
            message, hint = f"{what}: {' -> '.join(circle)}", "remove one of them"
            if len(circle) == 2:
                by = "" if circle[1] in references else ", through one of its `from` or `to` jobs"
                message, hint = f"{job.spec.name!r} {does} itself{by}", "remove it"
            if circle[1] in references:
                yield references[circle[1]].diagnostic(message, hint)
            else:
                yield job.diagnostic(("name",), message, hint)

    def _missing_in_todo(self) -> Iterator[Diagnostic]:
        """Yield the dependencies of called jobs that the todo does not run, or not at once."""
        called: dict[str, str | None] = {}
        for entry in self._todo:
            if (name := entry.spec.called) in self._jobs:
                when = _deferred_until(entry.spec.applied_to(self._jobs[name].spec))
                called[name] = when if called.get(name, when) is not None else None
        for name in sorted(called):
            for dep in self._deps(name):
                if dep.name in self._jobs and dep.name not in called:
                    message = f"{name!r} is in the todo, but its dependency {dep.name!r} is not"
                    yield dep.diagnostic(message, f"add {dep.name!r} to the todo")
                elif when := called.get(dep.name):
                    message = f"{name!r} depends on {dep.name!r}, which the todo only runs {when}"
                    yield dep.diagnostic(message, "remove the dependency")

    def _sizes(self) -> Iterator[Diagnostic]:
        """Yield jobs whose parts name each other so often that they would hardly ever end.

        Only the smallest of them are reported, not those that they are part of.
        """
        sizes = unfolded(self.parts)
        for name, job in self._jobs.items():
            if sizes[name] > _MAX_STEPS >= max(sizes[one] for one in self.parts[name]):
                reference = next(job.references("from", "to"))
                count = f"{sizes[name]:,}" if sizes[name] < 10**12 else "over 10^12"
                message = f"{name!r} has {count} steps, with its `from` and `to` jobs and theirs"
                hint = f"the maximum is {_MAX_STEPS:,}: name each job less often"
                yield reference.diagnostic(message, hint)

    def _deps(self, name: str) -> list[Reference]:
        """Return the dependencies of a job and of the jobs that are parts of it."""
        return [
            reference
            for part in reach(self.parts, name)
            if part in self._jobs
            for reference in self._jobs[part].references("deps")
        ]


def _deferred_until(job: JobSpec) -> str | None:
    """Return when a job runs that the todo does not run at once; None if it does."""
    if job.type == "shutdown":
        return "at the end of the run"
    if job.type_args.ch_subscribe is not None:
        return "when a channel changes"
    has_times = job.type_args.cron is not None or job.type_args.time_interval is not None
    return "by its schedule" if has_times else None


def _include(pack: str, source: Source) -> str:
    """Return how to include a pack in a file, as the end of a sentence."""
    has_others = isinstance(source.data, dict) and source.data.get("include")
    return f"`{pack}` to `include`" if has_others else f"`include: [{pack}]`"
