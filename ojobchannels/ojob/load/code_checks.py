"""Compiles the code of job files."""

from collections.abc import Iterator
from typing import Final

from ojobchannels.errors import Diagnostic, JobFileError
from ojobchannels.ojob.code.modules import compile_module, module_name
from ojobchannels.ojob.code.resolver import Languages, Owner
from ojobchannels.ojob.load.channel_configs import config_errors
from ojobchannels.ojob.load.specs import Specs
from ojobchannels.ojob.schema.located import FileSpecs, Located
from ojobchannels.ojob.schema.model import JobSpec
from ojobchannels.ojob.yaml.source import DocumentPath

_STOP_WHEN: Final = ("typeArgs", "stopWhen")

CODE: Final[tuple[tuple[str, ...], ...]] = (("exec",), ("catch",), _STOP_WHEN)
"""Where a job has code."""


def check_modules(specs: Specs) -> Iterator[Diagnostic]:
    """Yield modules that cannot be imported by their name, or do not compile; keep the others."""
    for file in specs.files:
        for name_of_file, text in file.spec.code.items():
            path = ("code", name_of_file)
            name = module_name(name_of_file)
            if name is None:
                message = f"`{name_of_file}` is not the file name of a Python module"
                hint = "name it like `helpers.py`, or put code of other languages under `exec`"
                yield file.root.diagnostic(path, message, hint, at_key=True)
            elif specs.languages is not None:
                try:
                    specs.modules[name] = compile_module(file.source, path, text)
                except JobFileError as error:
                    yield from error.diagnostics


def check_code(specs: Specs) -> Iterator[Diagnostic]:
    """Yield what is wrong with the code of jobs and of settings; keep what compiles."""
    if specs.languages is not None:
        compiler = _Compiler(specs, specs.languages)
        for file in specs.files:
            yield from compiler.file(file)
        for job in specs.jobs:
            yield from compiler.job(job)


class _Compiler:
    def __init__(self, specs: Specs, languages: Languages) -> None:
        self._specs = specs
        self._languages = languages

    def file(self, file: FileSpecs) -> Iterator[Diagnostic]:
        yield from self._languages.file_diagnostics(file)
        yield from self._handler(file.settings, "catch")

    def job(self, job: Located[JobSpec]) -> Iterator[Diagnostic]:
        yield from self._languages.job_diagnostics(job)
        title = job.spec.name
        if job.spec.has("exec"):
            yield from self._compile(job, ("exec",), job.spec.exec, title)
        yield from self._handler(job, title)
        if (text := job.spec.type_args.stop_when) is not None:
            yield from self._compile(job, _STOP_WHEN, text, title, is_value=True)

    def _handler(self, owner: Owner, title: str) -> Iterator[Diagnostic]:
        text = owner.code_under_catch()
        if text is not None and self._specs.is_handler(owner):
            yield from self._compile(owner, ("catch",), text, title)

    def _compile(
        self, owner: Owner, steps: DocumentPath, text: str, title: str, *, is_value: bool = False
    ) -> Iterator[Diagnostic]:
        try:
            block = self._languages.block(owner, steps, text, title, is_value=is_value)
        except JobFileError as error:
            yield from error.diagnostics
            return
        if block is None:
            return
        self._specs.blocks[owner.source.name, (*owner.path, *steps)] = block
        for opening in block.openings:
            for wrong in config_errors(opening.config):
                if not wrong.local:  # the code may be prepared for what this host lacks
                    found = owner.diagnostic(steps, wrong.message, wrong.hint)
                    yield found._replace(line=opening.line, column=opening.column)
