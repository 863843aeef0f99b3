"""From a path to a checked job file: nothing of it runs before all of it is known to be right."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ojobchannels.errors import Diagnostic, JobFileError
from ojobchannels.ojob.args.layers import merged
from ojobchannels.ojob.args.rules import rules_of
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.code.resolver import Languages
from ojobchannels.ojob.load.checks import Check
from ojobchannels.ojob.load.file_help import help_of
from ojobchannels.ojob.load.includes import gather
from ojobchannels.ojob.load.job_file import Job, JobFile, Todo
from ojobchannels.ojob.load.lock_spec import locks_of
from ojobchannels.ojob.load.schedule_spec import schedule_of
from ojobchannels.ojob.load.shortcuts import written_out
from ojobchannels.ojob.schema.model import FileSpec, JobSpec, TodoSpec, TypeArgsSpec
from ojobchannels.ojob.schema.settings import SettingsSpec
from ojobchannels.ojob.schema.validation import check_model
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source


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
    found, diagnostics = gather(Path(path))
    sources = written_out(found)
    languages = Languages(sources, lang) if code else None
    check = Check(sources, whole=not diagnostics, places=places, languages=languages)
    diagnostics += check.diagnostics
    specs: list[tuple[Source, FileSpec]] = []
    for source in sources:
        checked = check_model(source)
        if isinstance(checked, list):
            diagnostics += checked
        else:
            specs.append((source, checked))
    above |= {os.path.realpath(path)}
    for other, source, at_file in check.other_files if code else ():
        name = _beside_file(source, other)
        if os.path.realpath(name) in above:
            said = f"{name} would run itself, by this job, without end"
            diagnostics.append(source.diagnostic(at_file, said, "name another file"))
            continue
        try:
            load(name, lang=lang, above=above)
        except JobFileError as error:
            diagnostics += error.diagnostics
    if diagnostics:
        raise JobFileError(_once_each(diagnostics))
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
        is_async=_beside(specs),
        deps_timeout=_setting(specs, "deps_timeout"),
        timezone=_setting(specs, "timezone"),
        log_files=(log_files := _setting(specs, "log_to_file")),
        log_to_console=_setting(specs, "log_to_console")
        and not (log_files and log_files.set_log_off),
    )


def _once_each(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorts faults by their places; one behind an anchor is not told again for each alias."""
    told: dict[tuple[object, ...], Diagnostic] = {}
    for one in sorted(diagnostics):
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
        "schedule": schedule_of(given, stop_when),
        "watched": given.ch_subscribe,
        "at_end": kind == "shutdown",
        "timeout": given.timeout and given.timeout / 1000,
        "locks": locks_of(given),
        "is_async": given.async_,
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
    stop_when = job.schedule.stop_when if job.schedule else None
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
    return f"{source.name}:{source.position(path).line}"
