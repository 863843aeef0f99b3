"""From a path to a checked job file: nothing of it runs before all of it is known to be right."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from ojobchannels.errors import JobFileError, Problem
from ojobchannels.ojob.arguments import Layer, merged
from ojobchannels.ojob.checking import Check
from ojobchannels.ojob.code import Block
from ojobchannels.ojob.exclusion import Exclusion, exclusion_of
from ojobchannels.ojob.expectations import Rule, rules_of
from ojobchannels.ojob.faults import check_model
from ojobchannels.ojob.graphs import in_order, reach
from ojobchannels.ojob.helping import Help, help_of
from ojobchannels.ojob.includes import gather
from ojobchannels.ojob.languages import Languages
from ojobchannels.ojob.managing import INIT, START
from ojobchannels.ojob.model import FileSpec, JobSpec, TodoSpec, TypeArgsSpec
from ojobchannels.ojob.places import DocumentPath
from ojobchannels.ojob.settings import LogToFileSpec, SettingsSpec
from ojobchannels.ojob.shortcuts import written_out
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
        exclusion: What it must have to itself while it works.
        quiet: Whether its start and its end are not told, as long as all goes well.
        beside: Whether the todo goes on while it is at work.
        when: The states of the run in which it runs; none for all.
        each: The jobs that its code may call side by side.
        each_threads: How many of these calls run at the same time, if it says so.
        rules_in: What its args have to be before its code.
        rules_out: What they have to be after it.
        file: The job file that it is, in place of code.
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
    exclusion: Exclusion | None
    quiet: bool
    beside: bool
    when: tuple[str, ...]
    each: tuple[str, ...]
    each_threads: int | None
    rules_in: tuple[Rule, ...] = field(repr=False)
    rules_out: tuple[Rule, ...] = field(repr=False)
    file: str | None

    @property
    def is_for_now(self) -> bool:
        """Whether the todo runs it when it comes to it."""
        return self.timing is None and self.watched is None and not self.at_end


@dataclass(frozen=True)
class Todo:
    """One entry of the todo: a job, and one map of arguments for each call of it.

    Attributes:
        job: The name of the job.
        variant: The job as this entry has it run.
        calls: The args of each call.
        where: The file and line of the entry.
    """

    job: str
    variant: Job
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
        init: What every job finds in `args.init`, templates and all.
        modules: The modules that code can import, by name.
        help: What it says of itself.
        daemon: Whether the run goes on after the todo.
        id: What tells its runs from those of other files, or None.
        unique: The file by which one run of it keeps others out, or None.
        beside: Whether the calls of the todo are made side by side.
        deps_timeout: How many milliseconds a call waits for those that it depends on.
        zone: The name of the time zone of its schedules.
        log_files: The log files to which it also tells what happens.
        on_console: Whether it tells on the console what happens.
    """

    name: str
    files: tuple[str, ...]
    jobs: Mapping[str, Job] = field(repr=False)
    todo: tuple[Todo, ...] = field(repr=False)
    init: Mapping[str, Any] = field(repr=False)
    modules: Mapping[str, CodeType] = field(repr=False)
    help: Help = field(repr=False)
    threads: int
    daemon: bool
    id: str | None
    unique: str | None
    beside: bool
    deps_timeout: int | None
    zone: str
    log_files: LogToFileSpec | None
    on_console: bool

    @property
    def base(self) -> list[Layer]:
        """The args of every job, before all others."""
        return [Layer({"init": self.init}, True)] if self.init else []

    def parts_of(self, name: str) -> list[str]:
        """Returns a job and all that are part of it, by the `from` and `to` of one another."""
        return reach(self._parts, name)

    def opens_manager(self, name: str) -> bool:
        """Tells whether a job says where the manager's channels are, rather than only use them."""
        return INIT in reach({**self._parts, START: ()}, name)

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


class _Common(NamedTuple):
    """What the settings of the files say of their jobs."""

    catch: tuple[str, ...]
    handler: Block | None
    log_jobs: bool
    ignore_no_log: bool

    @classmethod
    def of(cls, specs: list[tuple[Source, FileSpec]], check: Check) -> _Common:
        last = next((one for one in reversed(specs) if one[1].ojob.catch), None)
        handler = check.blocks.get((last[0].name, ("ojob", "catch"))) if last else None
        catch = last[1].ojob.catch if last and handler is None else ()
        told = _setting(specs, "log_jobs"), _setting(specs, "ignore_no_log")
        return cls(tuple(catch), handler, *told)

    def is_quiet(self, spec: TypeArgsSpec) -> bool:
        """Tells whether the start and the end of a job are not told."""
        return not self.log_jobs or (spec.no_log and not self.ignore_no_log)


def load(
    path: str | Path,
    *,
    places: bool = True,
    lang: str | None = None,
    code: bool = True,
    above: frozenset[str] = frozenset(),
) -> JobFile:
    """Reads and checks a job file and all that it includes.

    Args:
        path: The job file.
        places: Whether what it says of the manager's channels counts, and is checked.
        lang: The language of code for which no file says one.
        code: Whether its code is needed, and checked.
        above: The files that are being read, of which it is a job.

    Raises:
        JobFileError: Something is wrong; the error tells all of it.
        InvalidOption: There is no language `lang`.
    """
    found, problems = gather(Path(path))
    sources = written_out(found)
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
    above |= {os.path.realpath(path)}
    for other, source, at_file in check.other_files if code else ():
        name = _beside_file(source, other)
        if os.path.realpath(name) in above:
            said = f"{name} would run itself, by this job, without end"
            problems.append(source.problem(at_file, said, "name another file"))
            continue
        try:
            load(name, lang=lang, above=above)
        except JobFileError as error:
            problems += error.problems
    if problems:
        raise JobFileError(_once_each(problems))
    common = _Common.of(specs, check)
    declared = {spec.name: spec for _, file in specs for spec in file.jobs}
    jobs = {
        spec.name: _job(spec, source, ("jobs", at), check, common)
        for source, file in specs
        for at, spec in enumerate(file.jobs)
    }
    return JobFile(
        name=str(path),
        files=tuple(source.name for source in sources),
        jobs=jobs,
        todo=tuple(
            _todo(spec, source, ("todo", at), jobs, declared, common)
            for source, file in specs
            for at, spec in enumerate(file.todo)
        ),
        init=merged(file.init for _, file in specs),
        modules=check.modules,
        help=help_of(file.help for _, file in specs),
        threads=_setting(specs, "num_threads"),
        daemon=_setting(specs, "daemon"),
        id=_setting(specs, "id"),
        unique=(unique := _setting(specs, "unique")) and unique.pid_file,
        beside=_beside(specs),
        deps_timeout=_setting(specs, "deps_timeout"),
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


def _job(spec: JobSpec, source: Source, path: DocumentPath, check: Check, common: _Common) -> Job:
    handler = check.blocks.get((source.name, (*path, "catch")))
    catch = () if handler else tuple(spec.catch)
    if not (spec.catch or source.bundled or spec.name in common.catch):
        catch, handler = common.catch, common.handler
    return Job(
        name=spec.name,
        deps=tuple(spec.deps),
        args=spec.args,
        before=tuple(spec.from_),
        body=check.blocks.get((source.name, (*path, "exec"))),
        after=tuple(spec.to),
        catch=catch,
        handler=handler,
        where=_where(source, (*path, "name")),
        bundled=source.bundled,
        quiet=source.bundled or common.is_quiet(spec.type_args),
        each=tuple(spec.each),
        each_threads=spec.type_args.each_threads,
        rules_in=rules_of(spec.check.in_),
        rules_out=rules_of(spec.check.out),
        file=spec.type_args.file and _beside_file(source, spec.type_args.file),
        **_manner(
            spec.type,
            spec.type_args,
            check.blocks.get((source.name, (*path, "typeArgs", "stopWhen"))),
        ),
    )


def _manner(kind: str | None, given: TypeArgsSpec, stop_when: Block | None) -> dict[str, Any]:
    """Returns what a todo entry may have otherwise than its job."""
    return {
        "timing": timing_of(given, stop_when),
        "watched": given.ch_subscribe,
        "at_end": kind == "shutdown",
        "timeout": given.timeout and given.timeout / 1000,
        "exclusion": exclusion_of(given),
        "beside": given.async_,
        "when": tuple(given.when),
    }


def _beside_file(source: Source, name: str) -> str:
    return os.path.normpath(Path(source.name).parent / name)


def _todo(
    spec: TodoSpec,
    source: Source,
    path: DocumentPath,
    jobs: Mapping[str, Job],
    declared: Mapping[str, JobSpec],
    common: _Common,
) -> Todo:
    name = spec.name or spec.job or ""
    variant = _variant(spec, declared[name], jobs[name], common)
    return Todo(name, variant, tuple(spec.args), _where(source, path))


def _variant(entry: TodoSpec, own: JobSpec, job: Job, common: _Common) -> Job:
    """Returns a job as an entry of the todo has it run."""
    given = entry.type_args
    said = {name: getattr(given, name) for name in given.model_fields_set}
    if entry.when:
        said["when"] = entry.when
    if entry.type is None and not said:
        return job
    manner = own.type_args.model_copy(update=said)
    stop_when = job.timing.stop_when if job.timing else None
    quiet = job.bundled or common.is_quiet(manner)
    return replace(job, quiet=quiet, **_manner(entry.type or own.type, manner, stop_when))


def _setting(specs: list[tuple[Source, FileSpec]], name: str) -> Any:
    """Returns a setting of the whole run: what the last file says that says something."""
    given = [file.ojob for _, file in specs if name in file.ojob.model_fields_set]
    return getattr(given[-1] if given else SettingsSpec(), name)


def _beside(specs: list[tuple[Source, FileSpec]]) -> bool:
    """Tells whether the todo is gone through side by side, by whichever key says it last."""
    said = [file.ojob for _, file in specs if {"sequential", "async_"} & file.ojob.model_fields_set]
    return bool(said) and said[-1].is_async


def _where(source: Source, path: DocumentPath) -> str:
    return f"{source.name}:{source.place(path).line}"
