"""From a path to a checked job file: nothing runs before the whole file is known to be valid."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import starmap
from pathlib import Path
from typing import Any, Final, TypeAlias

from ojobchannels.errors import Diagnostic, JobFileError
from ojobchannels.ojob.args.layers import merged
from ojobchannels.ojob.args.pack_jobs import PACK_JOBS
from ojobchannels.ojob.args.rules import Rule
from ojobchannels.ojob.code.resolver import Languages
from ojobchannels.ojob.load.alert_checks import check_alert_secrets, check_alerts
from ojobchannels.ojob.load.arg_checks import check_args
from ojobchannels.ojob.load.channel_configs import check_channels
from ojobchannels.ojob.load.code_checks import check_code, check_modules
from ojobchannels.ojob.load.file_help import help_of
from ojobchannels.ojob.load.includes import gather
from ojobchannels.ojob.load.job_checks import check_files, check_jobs, check_todo
from ojobchannels.ojob.load.job_file import LOCKS, Job, JobFile, LockSpec, ScheduleSpec, Todo
from ojobchannels.ojob.load.order import check_order
from ojobchannels.ojob.load.references import check_calls, check_names
from ojobchannels.ojob.load.specs import Specs
from ojobchannels.ojob.schema.located import Located
from ojobchannels.ojob.schema.model import JobSpec, TodoSpec, TypeArgsSpec
from ojobchannels.ojob.schema.settings import SettingsSpec
from ojobchannels.ojob.yaml.source import Source

Check: TypeAlias = Callable[[Specs], Iterator[Diagnostic]]

_CURRENT_FOLDER: Final = Path()

_EACH: Final[tuple[Check, ...]] = (
    check_files,
    check_jobs,
    check_todo,
    check_modules,
    check_code,
)
_TOGETHER: Final[tuple[Check, ...]] = (check_names, check_calls, check_order, check_alerts)
"""The checks that need all files: without one that is missing, every name in it is unknown."""


def load(
    path: str | Path,
    *,
    locations: bool = True,
    lang: str | None = None,
    code: bool = True,
    secrets: bool = False,
    above: frozenset[str] = frozenset(),
    folder: Path = _CURRENT_FOLDER,
) -> JobFile:
    """Read and check a job file and all files that it includes.

    Args:
        path: The job file.
        locations: Whether the file says where the manager's channels are; if so, that is checked.
        lang: The default language of code.
        code: Whether the code is needed, and checked.
        secrets: Whether the secrets of alerts are needed now, and must be there.
        above: The files that are being loaded, of which this one is a job.
        folder: The folder against which relative paths count; by default the current one.

    Raises:
        JobFileError: Something is wrong; the error has all diagnostics.
        InvalidOption: The language `lang` is unknown.
    """
    files, complete, diagnostics = gather(folder / path, str(Path(path)))
    specs = Specs(files, Languages(files, lang) if code else None)
    more = [check_channels] if locations else []
    if secrets:
        more.append(check_alert_secrets)
    if not diagnostics:  # with an invalid key, it is not known what jobs read
        more.append(check_args)
    for check in (*_EACH, *((*_TOGETHER, *more) if complete else ())):
        diagnostics += check(specs)
    if code:
        diagnostics += _in_other_files(
            specs, lang, above | {os.path.realpath(folder / path)}, folder
        )
    if diagnostics:
        raise JobFileError(_unique(diagnostics))
    return replace(_Loading(specs).job_file(str(path)), folder=folder)


def _in_other_files(
    specs: Specs, lang: str | None, above: frozenset[str], folder: Path
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the job files that jobs of `type: jobs` run."""
    for job in specs.jobs:
        if job.spec.type != "jobs" or not (file := job.spec.type_args.file):
            continue
        name = _beside(job.source, file)
        if os.path.realpath(folder / name) in above:
            message = f"{name} would run itself through this job, endlessly"
            yield job.diagnostic(("typeArgs", "file"), message, "name another file")
        elif os.path.isfile(folder / name):  # noqa: PTH113  also takes NULs and long names
            try:
                load(name, lang=lang, above=above, folder=folder)
            except JobFileError as error:
                yield from error.diagnostics


def _unique(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort diagnostics by position; one below an anchor is not repeated for each alias."""
    unique: dict[tuple[object, ...], Diagnostic] = {}
    for one in sorted(diagnostics):
        unique.setdefault((one.file, one.line, one.column, one.message), one)
    return tuple(unique.values())


def _beside(source: Source, name: str) -> str:
    return os.path.normpath(Path(source.name).parent / name)


def _digest(sources: Iterable[Source]) -> str:
    """Return a hash of the texts of some files, the same on every host."""
    return sha256("\0".join(source.text for source in sources).encode()).hexdigest()[:16]


def _settings(specs: list[SettingsSpec]) -> SettingsSpec:
    """Return the settings of a run: each key from the last file that has it."""
    last = {name: getattr(spec, name) for spec in specs for name in spec.model_fields_set}
    if orders := [spec.is_async for spec in specs if spec.has("sequential", "async_")]:
        last |= {"async_": orders[-1], "sequential": not orders[-1]}
    return SettingsSpec().model_copy(update=last)


class _Loading:
    """Makes jobs and entries of valid specs."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs
        files = specs.files
        last = next((file for file in reversed(files) if file.spec.ojob.catch), None)
        self._handler = specs.block(last.settings, "catch") if last else None
        self._catch = tuple(last.spec.ojob.catch) if last and self._handler is None else ()
        self._settings = _settings([file.spec.ojob for file in files])

    def job_file(self, name: str) -> JobFile:
        jobs = {job.spec.name: self._job(job) for file in self._specs.files for job in file.jobs}
        return JobFile(
            name=name,
            digest=_digest(file.source for file in self._specs.files),
            files=tuple(file.source.name for file in self._specs.files),
            jobs=jobs,
            todo=tuple(
                self._todo(entry.spec, jobs[entry.spec.called])
                for file in self._specs.files
                for entry in file.todo
            ),
            init=merged(file.spec.init for file in self._specs.files),
            modules=self._specs.modules,
            help=help_of(file.spec.help for file in self._specs.files),
            settings=self._settings,
            known_args=self._specs.known_args,
            catch=self._catch,
            handler=self._handler,
        )

    def _job(self, job: Located[JobSpec]) -> Job:
        spec, source = job.spec, job.source
        handler = self._specs.block(job, "catch")
        catch = () if handler else tuple(spec.catch)
        own = handler or not all(name in PACK_JOBS for name in catch)
        if not (own or source.bundled or spec.name in self._catch):
            catch, handler = (*catch, *self._catch), self._handler
        return Job(
            name=spec.name,
            deps=tuple(spec.deps),
            args=spec.args,
            before=tuple(spec.from_),
            body=self._specs.block(job, "exec"),
            after=tuple(spec.to),
            catch=catch,
            handler=handler,
            where=f"{source.name}:{source.position((*job.path, 'name')).line}",
            bundled=source.bundled,
            each=tuple(spec.each),
            each_threads=spec.type_args.each_threads,
            rules_in=tuple(starmap(Rule.read, spec.check.in_.items())),
            rules_out=tuple(starmap(Rule.read, spec.check.out.items())),
            file=spec.type_args.file and _beside(source, spec.type_args.file),
            **self._overridable(spec, job),
        )

    def _overridable(self, spec: JobSpec, declared: Located[JobSpec]) -> dict[str, Any]:
        """Return the attributes of a job that a todo entry may change."""
        type_args = spec.type_args
        silenced = type_args.no_log and not self._settings.ignore_no_log
        locks = LockSpec(type_args.single, type_args.lock, type_args.lock_ch or LOCKS)
        return {
            "schedule": self._schedule(type_args, declared),
            "watched": type_args.ch_subscribe,
            "at_end": spec.type == "shutdown",
            "timeout": type_args.timeout and type_args.timeout / 1000,
            "on_timeout": type_args.on_timeout,
            "locks": locks if locks.single or locks.lock is not None else None,
            "quiet": declared.source.bundled or not self._settings.log_jobs or silenced,
            "is_async": type_args.async_,
            "when": tuple(type_args.when),
        }

    def _schedule(self, spec: TypeArgsSpec, declared: Located[JobSpec]) -> ScheduleSpec | None:
        if spec.cron is None and spec.time_interval is None:
            return None
        stop_when = self._specs.block(declared, "typeArgs", "stopWhen")
        interval, overlaps = spec.time_interval or 0, not spec.wait_for_finish
        return ScheduleSpec(
            cron=spec.cron,
            interval=interval,
            misfire=spec.misfire,
            once=spec.once,
            overlaps=overlaps,
            jitter=spec.jitter or 0,
            overdue_after=spec.overdue_after,
            stop_when=stop_when,
        )

    def _todo(self, entry: TodoSpec, job: Job) -> Todo:
        if entry.has("type", "type_args") or entry.when:
            declared = self._specs.by_name[job.name]
            job = replace(job, **self._overridable(entry.applied_to(declared.spec), declared))
        return Todo(job.name, job, tuple(entry.args))
