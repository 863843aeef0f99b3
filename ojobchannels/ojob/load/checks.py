"""All checks of a job file beyond its model: of jobs, code, names, order, and channels.

They work on the valid specs of the files, so that an error in one of them hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.code.resolver import Languages, Owner
from ojobchannels.ojob.load import job_checks
from ojobchannels.ojob.load.channel_configs import diagnostics_in_args
from ojobchannels.ojob.load.code_checks import CodeChecks
from ojobchannels.ojob.load.graph import reach
from ojobchannels.ojob.load.job_file import INIT
from ojobchannels.ojob.load.references import References
from ojobchannels.ojob.schema.located import INVALID, FileSpecs, Located, Reference
from ojobchannels.ojob.schema.model import JobSpec


class Checks:
    """Checks some files as one.

    Attributes:
        code: The compiled code.
        jobs: The jobs by name; a later file counts before an earlier one.
    """

    def __init__(self, files: list[FileSpecs], languages: Languages | None) -> None:
        self._files = files
        self._languages = languages
        self._all = [job for file in files for job in file.jobs]
        self._todo = [entry for file in files for entry in file.todo]
        self._owners: list[Owner] = [*self._all, *(file.settings for file in files)]
        self.jobs: dict[str, Located[JobSpec]] = {
            job.spec.name: job for job in self._all if job.spec.name != INVALID
        }
        self.code = CodeChecks(languages, self.jobs)
        self._references = References(self.jobs, self._todo)

    def each(self) -> Iterator[Diagnostic]:
        """Yield what is wrong with files, jobs and entries, each by itself."""
        for file in self._files:
            yield from job_checks.of_file(file)
            yield from self.code.of_file(file)
        for job in self._all:
            yield from job_checks.of_job(job)
            yield from self.code.of_job(job)
        for entry in self._todo:
            called = self.jobs.get(entry.spec.called)
            yield from job_checks.of_entry(entry, called.spec if called else None)
            if called is not None and self._languages is not None:
                language = self._languages.of(called)
                type_args = entry.spec.type_args
                yield from self._languages.timeout_diagnostics(entry, type_args, language)

    def together(self) -> Iterator[Diagnostic]:
        """Yield names of jobs that do not exist, and an order that is not possible."""
        names = (job.references("deps", "from", "to", "each") for job in self._all)
        handlers = (
            owner.references("catch") for owner in self._owners if not self.code.is_handler(owner)
        )
        called = map(self._references.called, self._todo)
        yield from self._references.names(chain(*names, *handlers, called))
        for owner in self._owners:
            for path, call in self.code.unknown_calls(owner):
                message, hint = self._references.unknown(call.job, owner.source)
                found = owner.source.diagnostic(path, message, hint)
                yield found._replace(line=call.line, column=call.column)
        yield from self._references.order()

    def channels(self) -> Iterator[Diagnostic]:
        """Yield what is wrong with the channels of the manager, in the args of what opens them."""
        opening = {name for name in self.jobs if INIT in reach(self._references.parts, name)}
        for job in self._all:
            if job.spec.name in opening:
                yield from diagnostics_in_args(job, ("args",), job.spec.args)
        for entry in self._todo:
            if entry.spec.called in opening:
                for steps, args in job_checks.entry_args(entry):
                    yield from diagnostics_in_args(entry, steps, args)

    def other_files(self) -> Iterator[Reference]:
        """Yield the job files that jobs of `type: jobs` run, if they exist."""
        for job in self._all:
            name = job.spec.type_args.file
            if name is not None and next(job_checks.of_other_file(job), None) is None:
                yield Reference(name, job.source, (*job.path, "typeArgs", "file"))
