"""Compiles the code of job files, and checks what it names."""

from __future__ import annotations

from collections.abc import Container, Iterator
from types import CodeType
from typing import Final

from ojobchannels.errors import Diagnostic, JobFileError
from ojobchannels.ojob.code.modules import compile_module, module_name
from ojobchannels.ojob.code.python import Block, Call
from ojobchannels.ojob.code.resolver import Languages, Owner
from ojobchannels.ojob.load.channel_configs import config_errors
from ojobchannels.ojob.schema.located import FileSpecs, Located
from ojobchannels.ojob.schema.model import JobSpec
from ojobchannels.ojob.yaml.positions import DocumentPath

_STOP_WHEN: Final = ("typeArgs", "stopWhen")


class CodeChecks:
    """Compiles code.

    Attributes:
        blocks: The compiled code, by file and path.
        modules: The compiled modules under `code`, by the names by which they are imported.
    """

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

    def unknown_calls(self, owner: Owner) -> Iterator[tuple[DocumentPath, Call]]:
        """Yield the calls in the code of a job that name a job that does not exist."""
        for steps in (("exec",), ("catch",), _STOP_WHEN):
            path = (*owner.path, *steps)
            block = self.blocks.get((owner.source.name, path))
            for call in block.calls if block else ():
                if call.job not in self._jobs:
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
