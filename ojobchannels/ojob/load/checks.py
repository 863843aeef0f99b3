"""All checks of a job file beyond its model: of jobs, code, names, order, and channels.

They work on the valid specs of the files, so that an error in one of them hides no other.
"""

from collections.abc import Container, Iterator
from itertools import chain
from types import CodeType
from typing import Final

from ojobchannels.errors import Diagnostic, JobFileError
from ojobchannels.ojob.args.known_args import KnownArgs
from ojobchannels.ojob.code.modules import compile_module, module_name
from ojobchannels.ojob.code.python import Block, Call
from ojobchannels.ojob.code.resolver import Languages, Owner
from ojobchannels.ojob.load import job_checks
from ojobchannels.ojob.load.arg_checks import ArgChecks
from ojobchannels.ojob.load.channel_configs import config_errors, diagnostics_in_args
from ojobchannels.ojob.load.graph import reach, reverse
from ojobchannels.ojob.load.job_file import INIT
from ojobchannels.ojob.load.references import References
from ojobchannels.ojob.schema.located import INVALID, FileSpecs, Located, Reference
from ojobchannels.ojob.schema.model import JobSpec
from ojobchannels.ojob.yaml.source import DocumentPath

_STOP_WHEN: Final = ("typeArgs", "stopWhen")


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
        self._args = ArgChecks(files, self.jobs, self._references.parts, languages)

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
        named = (owner for owner in self._owners if not self.code.is_handler(owner))
        handlers = (owner.references("catch") for owner in named)
        called = map(self._references.called, self._todo)
        yield from self._references.names(chain(*names, *handlers, called))
        for owner in self._owners:
            for path, call in self.code.calls(owner):
                if call.job in self.jobs:
                    continue
                message, hint = self._references.unknown(call.job, owner.source)
                found = owner.source.diagnostic(path, message, hint)
                yield found._replace(line=call.line, column=call.column)
        yield from self._references.order()

    def args(self) -> Iterator[Diagnostic]:
        """Yield args that no job reads; with an invalid key, it is not known what jobs read."""
        for job in self.jobs.values():
            yield from self._args.of_job(job)
        for entry in self._todo:
            yield from self._args.of_entry(entry)
        for owner in self._owners:
            for path, call in self.code.calls(owner):
                if call.job in self.jobs:
                    yield from self._args.of_call(call, owner, path)

    def args_in_todo(self) -> KnownArgs:
        """Return the args that a run of the files knows."""
        return self._args.in_todo(self._todo)

    def channels(self) -> Iterator[Diagnostic]:
        """Yield what is wrong with the channels of the manager, in the args of what opens them."""
        opening = set(reach(reverse(self._references.parts), INIT))
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


class CodeChecks:
    """Compiles code: `blocks` by file and path, `modules` by the names to import them."""

    def __init__(self, languages: Languages | None, jobs: Container[str]) -> None:
        self.blocks: dict[tuple[str, DocumentPath], Block] = {}
        self.modules: dict[str, CodeType] = {}
        self._languages = languages
        self._jobs = jobs

    def of_file(self, file: FileSpecs) -> Iterator[Diagnostic]:
        """Compile the modules of a file, and the code under `ojob.catch`; yield what is wrong."""
        yield from self._modules(file)
        if self._languages is not None:
            yield from self._languages.file_diagnostics(file)
        yield from self._handler(file.settings, "catch")

    def of_job(self, job: Located[JobSpec]) -> Iterator[Diagnostic]:
        """Compile the code of a job; yield what is wrong with it."""
        if self._languages is None:
            return
        yield from self._languages.job_diagnostics(job)
        title = job.spec.name
        if job.spec.has("exec"):
            yield from self._compile(job, ("exec",), job.spec.exec, title)
        yield from self._handler(job, title)
        if (text := job.spec.type_args.stop_when) is not None:
            yield from self._compile(job, _STOP_WHEN, text, title, is_value=True)

    def is_handler(self, owner: Owner) -> bool:
        """Return whether the text under `catch` is code, rather than the name of a job."""
        text = owner.code_under_catch()
        if text is None or text in self._jobs:
            return False
        return self._languages is None or self._languages.is_code(owner, text)

    def calls(self, owner: Owner) -> Iterator[tuple[DocumentPath, Call]]:
        """Yield the calls of jobs in the code of a job."""
        for steps in (("exec",), ("catch",), _STOP_WHEN):
            path = (*owner.path, *steps)
            block = self.blocks.get((owner.source.name, path))
            for call in block.calls if block else ():
                yield path, call

    def _handler(self, owner: Owner, title: str) -> Iterator[Diagnostic]:
        if (text := owner.code_under_catch()) is not None and self.is_handler(owner):
            yield from self._compile(owner, ("catch",), text, title)

    def _modules(self, file: FileSpecs) -> Iterator[Diagnostic]:
        for name_of_file, text in file.spec.code.items():
            path = ("code", name_of_file)
            name = module_name(name_of_file)
            if name is None:
                message = f"`{name_of_file}` is not the file name of a Python module"
                hint = "name it like `helpers.py`, or put code of other languages under `exec`"
                yield file.root.diagnostic(path, message, hint, at_key=True)
            elif self._languages is not None:
                try:
                    self.modules[name] = compile_module(file.source, path, text)
                except JobFileError as error:
                    yield from error.diagnostics

    def _compile(
        self, owner: Owner, steps: DocumentPath, text: str, title: str, *, is_value: bool = False
    ) -> Iterator[Diagnostic]:
        if self._languages is None:
            return
        try:
            block = self._languages.block(owner, steps, text, title, is_value=is_value)
        except JobFileError as error:
            yield from error.diagnostics
            return
        if block is None:
            return
        self.blocks[owner.source.name, (*owner.path, *steps)] = block
        for opening in block.openings:
            for wrong in config_errors(opening.config):
                if not wrong.local:  # the code may be prepared for what this host lacks
                    found = owner.diagnostic(steps, wrong.message, wrong.hint)
                    yield found._replace(line=opening.line, column=opening.column)
