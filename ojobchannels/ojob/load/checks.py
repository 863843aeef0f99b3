"""All checks of a job file beyond its model: of jobs, code, names, order, and channels.

They work on the valid specs of the files, so that an error in one of them hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.code.resolver import Languages
from ojobchannels.ojob.load import job_checks
from ojobchannels.ojob.load.channel_configs import diagnostics_in_args
from ojobchannels.ojob.load.code_checks import CodeChecks
from ojobchannels.ojob.load.graph import reach
from ojobchannels.ojob.load.manager_jobs import INIT
from ojobchannels.ojob.load.references import References
from ojobchannels.ojob.load.schedule_spec import file_diagnostics
from ojobchannels.ojob.load.todo_overrides import override_diagnostics
from ojobchannels.ojob.schema.located import INVALID, FileSpecs, Located, Reference
from ojobchannels.ojob.schema.model import JobSpec, TodoSpec


class Checks:
    """Checks some files as one.

    Attributes:
        code: The compiled code.
        jobs: The jobs by name; a later file counts before an earlier one.
    """

    def __init__(self, files: list[FileSpecs], languages: Languages | None) -> None:
        self.code = CodeChecks(languages)
        self._files = files
        self._languages = languages
        self._all = [job for file in files for job in file.jobs]
        self._todo = [entry for file in files for entry in file.todo]
        self.jobs: dict[str, Located[JobSpec]] = {
            job.spec.name: job for job in self._all if job.spec.name != INVALID
        }
        self._references = References(self.jobs, self._todo)

    def each(self) -> Iterator[Diagnostic]:
        """Yield what is wrong with files, jobs and entries, each by itself."""
        for file in self._files:
            yield from job_checks.of_file(file)
            yield from self.code.of_file(file, self._is_job)
        for job in self._all:
            yield from job_checks.of_job(job)
            yield from self.code.of_job(job, self._is_job)
        for entry in self._todo:
            yield from job_checks.of_entry(entry)
            yield from self._overrides(entry)

    def together(self) -> Iterator[Diagnostic]:
        """Yield names of jobs that do not exist, and an order that is not possible."""
        names = (job.references("deps", "from", "to", "each") for job in self._all)
        called = map(self._references.called, self._todo)
        references = chain(chain.from_iterable(names), self._handlers(), called)
        yield from self._references.names(references)
        for job in self._all:
            yield from self.code.unknown_jobs(job, self._is_job, self._references.unknown)
        for file in self._files:
            yield from self.code.unknown_jobs(file.settings, self._is_job, self._references.unknown)
        yield from self._references.order()

    def channels(self) -> Iterator[Diagnostic]:
        """Yield what is wrong with the channels of the manager, in the args of what opens them."""
        opening = {name for name in self.jobs if INIT in reach(self._references.parts, name)}
        for job in self._all:
            if job.spec.name in opening:
                yield from diagnostics_in_args(job, ("args",), job.spec.args)
        for entry in self._todo:
            if entry.spec.called not in opening:
                continue
            in_list = (*entry.path, "args", 0) in entry.source.positions
            for at, args in enumerate(entry.spec.args):
                yield from diagnostics_in_args(entry, ("args", at) if in_list else ("args",), args)

    def other_files(self) -> Iterator[Reference]:
        """Yield the job files that jobs of `type: jobs` run, if they exist."""
        for job in self._all:
            name = job.spec.type_args.file
            if name is not None and next(file_diagnostics(job), None) is None:
                yield Reference(name, job.source, (*job.path, "typeArgs", "file"))

    def _is_job(self, name: str) -> bool:
        return name in self.jobs

    def _handlers(self) -> Iterator[Reference]:
        """Yield the jobs that are named under `catch`."""
        for job in self._all:
            if not self.code.is_handler(job, self._is_job):
                yield from job.references("catch")
        for file in self._files:
            if not self.code.is_handler(file.settings, self._is_job):
                yield from file.settings.references("catch")

    def _overrides(self, entry: Located[TodoSpec]) -> Iterator[Diagnostic]:
        job = self.jobs.get(entry.spec.called)
        if job is None:
            return
        yield from override_diagnostics(entry, job.spec)
        if self._languages is not None:
            language = self._languages.of(job)
            type_args = entry.spec.type_args
            yield from self._languages.timeout_diagnostics(entry, type_args, language)
