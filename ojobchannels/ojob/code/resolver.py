"""The languages of the code in job files: which there are, and which one a block is written in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from ojobchannels.errors import CodeFault, Diagnostic, InvalidOption, JobFileError
from ojobchannels.ojob.code.python import Block, as_body, compile_block, names_nothing_to_do
from ojobchannels.ojob.code.shell import SHELL
from ojobchannels.ojob.code.source_map import CodeLines
from ojobchannels.ojob.languages import Code, Language, ProvidedLanguage, plugin_languages
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source
from ojobchannels.plugins import registry
from ojobchannels.suggestions import did_you_mean

PYTHON: Final = "python"
NO_TIMEOUT: Final = (
    "`timeout` ends code of other languages; nothing can end Python from outside",
    "take it out, and have the code look at the time",
)
_OURS: Final = "ojobchannels"
_ELSEWHERE: Final = dict.fromkeys(("js", "javascript", "oaf"), "ojobchannels-js")
_NAME: Final = re.compile(r"[^\n;(){}'\"`$|<>&]+")
"""What stands under `catch` and has none of the signs that languages are made of."""


class Unknown(NamedTuple):
    """Why there is no such language, and what to do."""

    said: str
    hint: str


class Languages:
    """Tells the language of each block of code in some files.

    What the job says counts, else what its file says, else the `default` of the whole run, else
    what another of the files says.

    Raises:
        InvalidOption: There is no such language as the default.
    """

    def __init__(self, sources: list[Source], default: str | None = None) -> None:
        if default is not None and isinstance(unknown := find_language(default), Unknown):
            raise InvalidOption(f"language {default!r}", unknown.said, unknown.hint)
        said = [one for source in sources if (one := _setting(source)) and not source.bundled]
        self._default = default or (said[-1] if said else PYTHON)

    def faults(self, source: Source) -> Iterator[Diagnostic]:
        """Yields what is wrong with the languages that a file names."""
        for path, name in _named(source):
            if isinstance(found := find_language(name), Unknown):
                yield source.diagnostic(path, *found)

    def process_faults(
        self, source: Source, path: DocumentPath, job: Mapping[str, Any]
    ) -> Iterator[Diagnostic]:
        """Yields two languages for one job, and what only code in a process of its own can have."""
        given, name = _map(job.get("typeArgs")), self.of(source, job)
        if job.get("lang") and given.get("lang") and job["lang"] != given["lang"]:
            said = "`lang` and `typeArgs.lang` name two languages"
            yield source.diagnostic((*path, "lang"), said, "take one of them out")
        if given.get("timeout") is not None and name == PYTHON:
            yield source.diagnostic((*path, "typeArgs", "timeout"), *NO_TIMEOUT, at_key=True)
        language = find_language(name)
        takes_folder = not isinstance(language, Language) or language.takes_folder
        if given.get("pwd") is not None and (language is None or not takes_folder):
            said = f"`pwd` is for commands, as of `lang: shell`; {name} has no folder of its own"
            hint = "take it out, and write whole paths"
            yield source.diagnostic((*path, "typeArgs", "pwd"), said, hint, at_key=True)

    def of(self, source: Source, job: Mapping[str, Any]) -> str:
        """Returns the language of a job's code."""
        if source.bundled:
            return PYTHON
        given = (_map(job.get("typeArgs")).get("lang"), job.get("lang"), _setting(source))
        return next((one for one in given if isinstance(one, str) and one), self._default)

    def is_code(self, source: Source, job: Mapping[str, Any], text: str) -> bool:
        """Tells whether a text cannot be meant as the name of a job."""
        if self.of(source, job) == PYTHON:
            return not names_nothing_to_do(text)
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
        """Checks the code at `path`; None if there is no such language, which `faults` tells.

        Raises:
            JobFileError: The code is faulty.
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
        except CodeFault as fault:
            raise JobFileError((lines.foreign_diagnostic(fault, language.name),)) from None


@cache
def find_language(name: str) -> Language | Unknown | None:
    """Returns a language by one of its names; None stands for Python, which runs in the process."""
    if name == PYTHON:
        return None
    offered = [ProvidedLanguage(SHELL, _OURS), *plugin_languages()]
    found = [one for one in offered if name in (one.language.name, *one.language.aliases)]
    if len(found) == 1:
        return found[0].language
    if found:
        by = " and by ".join(one.distribution for one in found)
        return Unknown(f"the language {name!r} is offered by {by}", "uninstall one of them")
    for failure in registry().failures:
        if failure.name == name:
            said = f"the plugin of {failure.distribution} could not be loaded: {failure.error!r}"
            return Unknown(said, f"pip install --upgrade {failure.distribution}")
    if name in _ELSEWHERE:
        return Unknown(f"the language {name!r} is not installed", f"pip install {_ELSEWHERE[name]}")
    known = (PYTHON, *(one.language.name for one in offered))
    return Unknown(f"unknown language {name!r}", did_you_mean(name.lower(), known))


def _named(source: Source) -> Iterator[tuple[DocumentPath, str]]:
    found: list[tuple[DocumentPath, Any]] = [(("ojob", "lang"), _setting(source))]
    jobs = _map(source.data).get("jobs")
    for at, job in enumerate(jobs if isinstance(jobs, list) else []):
        found.append((("jobs", at, "lang"), _map(job).get("lang")))
        type_args = _map(_map(job).get("typeArgs"))
        found.append((("jobs", at, "typeArgs", "lang"), type_args.get("lang")))
    yield from ((path, name) for path, name in found if isinstance(name, str) and name)


def _setting(source: Source) -> Any:
    return _map(_map(source.data).get("ojob")).get("lang")


def _at(data: Any, path: DocumentPath) -> str:
    found = data
    for step in path:
        found = found[step]
    return str(found)


def _map(data: Any) -> Mapping[str, Any]:
    return data if isinstance(data, dict) else {}
