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
from ojobchannels.ojob.graphs import reach
from ojobchannels.ojob.includes import gather
from ojobchannels.ojob.model import DEFAULT_THREADS, FileSpec, JobSpec, TodoSpec
from ojobchannels.ojob.places import DocumentPath
from ojobchannels.ojob.source import Source


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
    """

    name: str
    files: tuple[str, ...]
    jobs: Mapping[str, Job] = field(repr=False)
    todo: tuple[Todo, ...] = field(repr=False)
    threads: int

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


def load(path: str | Path, *, places: bool = True) -> JobFile:
    """Reads and checks a job file and all that it includes.

    Args:
        path: The job file.
        places: Whether what it says of the manager's channels counts, and is checked.

    Raises:
        JobFileError: Something is wrong; the error tells all of it.
    """
    sources, problems = gather(Path(path))
    check = Check(sources, whole=not problems, places=places)
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
        threads=_threads([file for _, file in specs]),
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
    )


def _todo(spec: TodoSpec, source: Source, path: DocumentPath) -> Todo:
    return Todo(spec.name or spec.job or "", tuple(spec.args), _where(source, path))


def _threads(files: list[FileSpec]) -> int:
    given = [file.ojob.num_threads for file in files if "num_threads" in file.ojob.model_fields_set]
    return given[-1] if given else DEFAULT_THREADS


def _where(source: Source, path: DocumentPath) -> str:
    return f"{source.name}:{source.place(path).line}"
