"""From a path to a checked job file: nothing of it runs before all of it is known to be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ojobchannels.errors import JobFileError, Problem
from ojobchannels.ojob.checking import Check
from ojobchannels.ojob.code import Block
from ojobchannels.ojob.faults import check_model
from ojobchannels.ojob.graphs import in_order, reach
from ojobchannels.ojob.includes import gather
from ojobchannels.ojob.languages import Languages
from ojobchannels.ojob.model import FileSpec, JobSpec, LogToFileSpec, SettingsSpec, TodoSpec
from ojobchannels.ojob.places import DocumentPath
from ojobchannels.ojob.source import Source
from ojobchannels.ojob.timing import Timing, timing_of


@dataclass(frozen=True)
class Job:
    """A job as a file declares it, its code compiled.

    Attributes:
        name: Its name.
        deps: The jobs that it waits for.
        args: Its own arguments, templates and all.
        before: The jobs under `from`.
        body: The code under `exec`.
        after: The jobs under `to`.
        catch: The jobs under `catch`, or none where code stands there.
        handler: The code under `catch`.
        where: The file and line that declare it.
        bundled: Whether it comes from a bundled pack.
        timing: When it runs, if that is at times.
        watched: The channel for whose changes it runs, if it does.
        at_end: Whether it runs when the run ends.
        timeout: Seconds after which its code is ended, where the language can be.
    """

    name: str
    deps: tuple[str, ...]
    args: Mapping[str, Any] = field(repr=False)
    before: tuple[str, ...]
    body: Block | None = field(repr=False)
    after: tuple[str, ...]
    catch: tuple[str, ...]
    handler: Block | None = field(repr=False)
    where: str
    bundled: bool
    timing: Timing | None
    watched: str | None
    at_end: bool
    timeout: float | None

    @property
    def is_for_now(self) -> bool:
        """Whether the todo runs it when it comes to it."""
        return self.timing is None and self.watched is None and not self.at_end


@dataclass(frozen=True)
class Todo:
    """One entry of the todo: a job, and one map of arguments for each call of it."""

    job: str
    calls: tuple[Mapping[str, Any], ...]
    where: str


@dataclass(frozen=True)
class JobFile:
    """A job file and all that it includes, checked.

    Attributes:
        name: The file, as it was asked for.
        files: The names of all files, in the order in which their jobs count.
        jobs: The jobs by name.
        todo: What to run.
        threads: How many launched jobs run at the same time.
        daemon: Whether the run goes on after the todo.
        zone: The name of the time zone of its schedules.
        log_files: The log files to which it also tells what happens.
        on_console: Whether it tells on the console what happens.
    """

    name: str
    files: tuple[str, ...]
    jobs: Mapping[str, Job] = field(repr=False)
    todo: tuple[Todo, ...] = field(repr=False)
    threads: int
    daemon: bool
    zone: str
    log_files: LogToFileSpec | None
    on_console: bool

    def parts_of(self, name: str) -> list[str]:
        """Returns a job and all that are part of it, by the `from` and `to` of one another."""
        return reach(self._parts, name)

    @cached_property
    def _parts(self) -> dict[str, tuple[str, ...]]:
        return {job.name: (*job.before, *job.after) for job in self.jobs.values()}

    def deps_of(self, name: str) -> list[str]:
        """Returns what a job waits for, itself or by one of its parts."""
        found = (dep for part in self.parts_of(name) for dep in self.jobs[part].deps)
        return list(dict.fromkeys(found))

    def ordered_todo(self) -> list[Todo]:
        """Returns the todo in its order, but for entries that have to wait for others behind."""
        deps = [set(self.deps_of(entry.job)) for entry in self.todo]
        waits = {
            at: [other for other, entry in enumerate(self.todo) if entry.job in deps[at]]
            for at in range(len(self.todo))
        }
        return [self.todo[at] for at in in_order(waits)]


def load(
    path: str | Path, *, places: bool = True, lang: str | None = None, code: bool = True
) -> JobFile:
    """Reads and checks a job file and all that it includes.

    Args:
        path: The job file.
        places: Whether what it says of the manager's channels counts, and is checked.
        lang: The language of code for which no file says one.
        code: Whether its code is needed, and checked.

    Raises:
        JobFileError: Something is wrong; the error tells all of it.
        InvalidOption: There is no language `lang`.
    """
    sources, problems = gather(Path(path))
    languages = Languages(sources, lang) if code else None
    check = Check(sources, whole=not problems, places=places, languages=languages)
    problems += check.problems
    specs: list[tuple[Source, FileSpec]] = []
    for source in sources:
        checked = check_model(source)
        if isinstance(checked, list):
            problems += checked
        else:
            specs.append((source, checked))
    if problems:
        raise JobFileError(_once_each(problems))
    return JobFile(
        name=str(path),
        files=tuple(source.name for source in sources),
        jobs={
            spec.name: _job(spec, source, ("jobs", at), check)
            for source, file in specs
            for at, spec in enumerate(file.jobs)
        },
        todo=tuple(
            _todo(spec, source, ("todo", at))
            for source, file in specs
            for at, spec in enumerate(file.todo)
        ),
        threads=_setting(specs, "num_threads"),
        daemon=_setting(specs, "daemon"),
        zone=_setting(specs, "timezone"),
        log_files=(log_files := _setting(specs, "log_to_file")),
        on_console=_setting(specs, "log_to_console") and not (log_files and log_files.set_log_off),
    )


def _once_each(problems: list[Problem]) -> tuple[Problem, ...]:
    """Sorts faults by their places; one behind an anchor is not told again for each alias."""
    told: dict[tuple[object, ...], Problem] = {}
    for one in sorted(problems):
        told.setdefault((one.file, one.line, one.column, one.message), one)
    return tuple(told.values())


def _job(spec: JobSpec, source: Source, path: DocumentPath, check: Check) -> Job:
    handler = check.blocks.get((source.name, (*path, "catch")))
    return Job(
        name=spec.name,
        deps=tuple(spec.deps),
        args=spec.args,
        before=tuple(spec.from_),
        body=check.blocks.get((source.name, (*path, "exec"))),
        after=tuple(spec.to),
        catch=() if handler else tuple(spec.catch),
        handler=handler,
        where=_where(source, (*path, "name")),
        bundled=source.bundled,
        timing=timing_of(
            spec.type_args, check.blocks.get((source.name, (*path, "typeArgs", "stopWhen")))
        ),
        watched=spec.type_args.ch_subscribe,
        at_end=spec.type == "shutdown",
        timeout=spec.type_args.timeout and spec.type_args.timeout / 1000,
    )


def _todo(spec: TodoSpec, source: Source, path: DocumentPath) -> Todo:
    return Todo(spec.name or spec.job or "", tuple(spec.args), _where(source, path))


def _setting(specs: list[tuple[Source, FileSpec]], name: str) -> Any:
    """Returns a setting of the whole run: what the last file says that says something."""
    given = [file.ojob for _, file in specs if name in file.ojob.model_fields_set]
    return getattr(given[-1] if given else SettingsSpec(), name)


def _where(source: Source, path: DocumentPath) -> str:
    return f"{source.name}:{source.place(path).line}"
