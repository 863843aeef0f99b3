"""The languages of code in job files: those that are installed, and that of each block."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple, TypeAlias

from ojobchannels.errors import CodeFault, Diagnostic, InvalidOption, JobFileError
from ojobchannels.ojob.code.python import Block, as_body, compile_block, has_no_effect
from ojobchannels.ojob.code.source_map import CodeLines
from ojobchannels.ojob.languages import (
    Code,
    Language,
    Program,
    ProvidedLanguage,
    plugin_languages,
)
from ojobchannels.ojob.schema.located import FileSpecs, Located
from ojobchannels.ojob.schema.model import JobSpec
from ojobchannels.ojob.schema.settings import SettingsSpec
from ojobchannels.ojob.yaml.source import DocumentPath
from ojobchannels.plugins import registry
from ojobchannels.suggestions import did_you_mean


def _compile_shell(code: Code) -> Program:
    from ojobchannels.ojob.code.shell import compile_script  # as in plugins: most files have none

    return compile_script(code)


PYTHON: Final = "python"
_SHELL: Final = Language(
    "shell", "POSIX shell, run by /bin/sh", _compile_shell, ("sh",), takes_folder=True
)
_OUR_DISTRIBUTION: Final = "ojobchannels"
_DISTRIBUTIONS: Final = dict.fromkeys(("js", "javascript", "oaf"), "ojobchannels-js")
_NAME: Final = re.compile(r"[^\n;(){}'\"`$|<>&]+")
"""Matches text that may be a job name: it has none of the characters that code consists of."""


Owner: TypeAlias = Located[JobSpec] | Located[SettingsSpec]
"""The owner of code: a job, or the settings of a file, which may have some under `catch`."""


class Unknown(NamedTuple):
    """Why a language cannot be used, and what to do."""

    message: str
    hint: str


class Languages:
    """Finds the language of each block of code in the files of a run.

    It is that of the job, else that of its file, else the `default` of the run, else that of
    another of the files, else Python.

    Raises:
        InvalidOption: The language `default` is unknown.
    """

    def __init__(self, files: list[FileSpecs], default: str | None = None) -> None:
        if default is not None and isinstance(unknown := find_language(default), Unknown):
            raise InvalidOption(f"language {default!r}", unknown.message, unknown.hint)
        self._settings = {file.source.name: file.spec.ojob.lang for file in files}
        names = [file.spec.ojob.lang for file in files if not file.source.bundled]
        self._default = default or next(filter(None, reversed(names)), PYTHON)

    def file_diagnostics(self, file: FileSpecs) -> Iterator[Diagnostic]:
        """Yield a diagnostic for each unknown language that a file names."""
        yield from _unknown(file.settings, ("lang",), file.spec.ojob.lang)
        for job in file.jobs:
            yield from _unknown(job, ("lang",), job.spec.lang)
            yield from _unknown(job, ("typeArgs", "lang"), job.spec.type_args.lang)

    def job_diagnostics(self, job: Located[JobSpec]) -> Iterator[Diagnostic]:
        """Yield diagnostics for two languages in one job, and for what its language lacks."""
        type_args, name = job.spec.type_args, self.of(job)
        if job.spec.lang and type_args.lang and job.spec.lang != type_args.lang:
            message = "`lang` and `typeArgs.lang` name different languages"
            yield job.diagnostic(("lang",), message, "remove one of them")
        language = find_language(name)
        takes_folder = not isinstance(language, Language) or language.takes_folder
        if type_args.pwd is not None and (language is None or not takes_folder):
            message = f"`pwd` only applies to code such as `lang: shell`, not to {name}"
            hint = "remove it, and use absolute paths"
            yield job.diagnostic(("typeArgs", "pwd"), message, hint, at_key=True)
        if job.spec.each and name != PYTHON:
            message = f"`each` is for Python; the code of this job is {name}"
            hint = "write the job in Python, or launch the jobs"
            yield job.diagnostic(("each",), message, hint, at_key=True)

    def of(self, owner: Owner) -> str:
        """Return the language of the code of a job, or of that in the settings."""
        if owner.source.bundled:
            return PYTHON
        own = owner.spec.type_args.lang if isinstance(owner.spec, JobSpec) else None
        return own or owner.spec.lang or self._settings[owner.source.name] or self._default

    def is_code(self, owner: Owner, text: str) -> bool:
        """Return whether a text cannot be the name of a job."""
        if self.of(owner) == PYTHON:
            return not has_no_effect(text)
        return _NAME.fullmatch(text.strip()) is None

    def block(
        self, owner: Owner, steps: DocumentPath, text: str, title: str, *, is_value: bool = False
    ) -> Block | None:
        """Compile code; None for an unknown language, which `file_diagnostics` reports.

        Args:
            owner: What has the code.
            steps: Where the code is in its owner.
            text: The code.
            title: What stands for the name of the code in tracebacks.
            is_value: Whether the code is asked for a value, so that an expression is enough.

        Raises:
            JobFileError: The code has errors.
        """
        language = find_language(self.of(owner))
        if isinstance(language, Unknown):
            return None
        source, path = owner.source, (*owner.path, *steps)
        if language is None:
            return compile_block(source, path, as_body(text) if is_value else text, title)
        lines = CodeLines(source, path, text)
        folder = owner.spec.type_args.pwd if isinstance(owner.spec, JobSpec) else None
        code = Code(text, lines.name, lines.first, title, is_value, folder)
        try:
            return Block(language.compile(code))
        except CodeFault as error:
            raise JobFileError((lines.foreign_diagnostic(error, language.name),)) from None


@cache
def find_language(name: str) -> Language | Unknown | None:
    """Return a language by one of its names; None for Python, which runs in this process."""
    if name == PYTHON:
        return None
    offered = [ProvidedLanguage(_SHELL, _OUR_DISTRIBUTION), *plugin_languages()]
    matching = [each for each in offered if name in (each.language.name, *each.language.aliases)]
    if len(matching) == 1:
        return matching[0].language
    if matching:
        by = " and by ".join(each.distribution for each in matching)
        return Unknown(f"the language {name!r} is provided by {by}", "uninstall one of them")
    for failure in registry().failures:
        if failure.name == name:
            message = f"the plugin of {failure.distribution} could not be loaded: {failure.error!r}"
            return Unknown(message, f"pip install --upgrade {failure.distribution}")
    if name in _DISTRIBUTIONS:
        advice = f"pip install {_DISTRIBUTIONS[name]}"
        return Unknown(f"the language {name!r} is not installed", advice)
    known = (PYTHON, *(each.language.name for each in offered))
    return Unknown(f"unknown language {name!r}", did_you_mean(name.lower(), known))


def _unknown(owner: Owner, steps: DocumentPath, name: str | None) -> Iterator[Diagnostic]:
    if name is not None and isinstance(language := find_language(name), Unknown):
        yield owner.diagnostic(steps, *language)
