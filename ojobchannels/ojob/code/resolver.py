"""The languages of code in job files: those that are installed, and that of each block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from ojobchannels.errors import CodeFault, Diagnostic, InvalidOption, JobFileError
from ojobchannels.ojob.code.python import Block, as_body, compile_block, has_no_effect
from ojobchannels.ojob.code.shell import SHELL
from ojobchannels.ojob.code.source_map import CodeLines
from ojobchannels.ojob.languages import Code, Language, ProvidedLanguage, plugin_languages
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source
from ojobchannels.plugins import registry
from ojobchannels.suggestions import did_you_mean

PYTHON: Final = "python"
NO_TIMEOUT: Final = (
    "`timeout` ends code of other languages; Python code cannot be ended from outside",
    "remove it, and check the time in the code",
)
_OUR_DISTRIBUTION: Final = "ojobchannels"
_DISTRIBUTIONS: Final = dict.fromkeys(("js", "javascript", "oaf"), "ojobchannels-js")
_NAME: Final = re.compile(r"[^\n;(){}'\"`$|<>&]+")
"""Matches text that may be a job name: it has none of the characters that code consists of."""


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

    def __init__(self, sources: list[Source], default: str | None = None) -> None:
        if default is not None and isinstance(unknown := find_language(default), Unknown):
            raise InvalidOption(f"language {default!r}", unknown.message, unknown.hint)
        names = [name for source in sources if (name := _setting(source)) and not source.bundled]
        self._default = default or (names[-1] if names else PYTHON)

    def faults(self, source: Source) -> Iterator[Diagnostic]:
        """Yield a diagnostic for each unknown language that a file names."""
        for path, name in _named(source):
            if isinstance(language := find_language(name), Unknown):
                yield source.diagnostic(path, *language)

    def process_faults(
        self, source: Source, path: DocumentPath, job: Mapping[str, Any]
    ) -> Iterator[Diagnostic]:
        """Yield diagnostics for two languages in one job, and for options of a separate process."""
        type_args, name = _map(job.get("typeArgs")), self.of(source, job)
        if job.get("lang") and type_args.get("lang") and job["lang"] != type_args["lang"]:
            message = "`lang` and `typeArgs.lang` name different languages"
            yield source.diagnostic((*path, "lang"), message, "remove one of them")
        if type_args.get("timeout") is not None and name == PYTHON:
            yield source.diagnostic((*path, "typeArgs", "timeout"), *NO_TIMEOUT, at_key=True)
        language = find_language(name)
        takes_folder = not isinstance(language, Language) or language.takes_folder
        if type_args.get("pwd") is not None and (language is None or not takes_folder):
            message = f"`pwd` is for commands, as of `lang: shell`; {name} runs in this process"
            hint = "remove it, and use absolute paths"
            yield source.diagnostic((*path, "typeArgs", "pwd"), message, hint, at_key=True)

    def of(self, source: Source, job: Mapping[str, Any]) -> str:
        """Return the language of a job's code."""
        if source.bundled:
            return PYTHON
        names = (_map(job.get("typeArgs")).get("lang"), job.get("lang"), _setting(source))
        return next((name for name in names if isinstance(name, str) and name), self._default)

    def is_code(self, source: Source, job: Mapping[str, Any], text: str) -> bool:
        """Return whether a text cannot be the name of a job."""
        if self.of(source, job) == PYTHON:
            return not has_no_effect(text)
        return _NAME.fullmatch(text.strip()) is None

    def block(
        self,
        source: Source,
        path: DocumentPath,
        job: Mapping[str, Any],
        title: str,
        *,
        is_value: bool = False,
    ) -> Block | None:
        """Compile the code at `path`; None for an unknown language, which `faults` reports.

        Raises:
            JobFileError: The code has errors.
        """
        text = _at(source.data, path)
        language = find_language(self.of(source, job))
        if isinstance(language, Unknown):
            return None
        if language is None:
            return compile_block(source, path, as_body(text) if is_value else text, title)
        lines = CodeLines(source, path, text)
        folder = _map(job.get("typeArgs")).get("pwd")
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
    offered = [ProvidedLanguage(SHELL, _OUR_DISTRIBUTION), *plugin_languages()]
    matching = [each for each in offered if name in (each.language.name, *each.language.aliases)]
    if len(matching) == 1:
        return matching[0].language
    if matching:
        by = " and by ".join(each.distribution for each in matching)
        return Unknown(f"the language {name!r} is offered by {by}", "uninstall one of them")
    for failure in registry().failures:
        if failure.name == name:
            message = f"the plugin of {failure.distribution} could not be loaded: {failure.error!r}"
            return Unknown(message, f"pip install --upgrade {failure.distribution}")
    if name in _DISTRIBUTIONS:
        return Unknown(
            f"the language {name!r} is not installed", f"pip install {_DISTRIBUTIONS[name]}"
        )
    known = (PYTHON, *(each.language.name for each in offered))
    return Unknown(f"unknown language {name!r}", did_you_mean(name.lower(), known))


def _named(source: Source) -> Iterator[tuple[DocumentPath, str]]:
    names: list[tuple[DocumentPath, Any]] = [(("ojob", "lang"), _setting(source))]
    jobs = _map(source.data).get("jobs")
    for index, job in enumerate(jobs if isinstance(jobs, list) else []):
        names.append((("jobs", index, "lang"), _map(job).get("lang")))
        type_args = _map(_map(job).get("typeArgs"))
        names.append((("jobs", index, "typeArgs", "lang"), type_args.get("lang")))
    yield from ((path, name) for path, name in names if isinstance(name, str) and name)


def _setting(source: Source) -> Any:
    return _map(_map(source.data).get("ojob")).get("lang")


def _at(data: Any, path: DocumentPath) -> str:
    for step in path:
        data = data[step]
    return str(data)


def _map(data: Any) -> Mapping[str, Any]:
    return data if isinstance(data, dict) else {}
