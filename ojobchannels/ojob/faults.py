"""What pydantic found wrong with a document, in the words of a job file's author."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ojobchannels.errors import Problem
from ojobchannels.ojob.model import FileSpec, JobSpec, SettingsSpec, Spec, TodoSpec, TypeArgsSpec
from ojobchannels.ojob.places import DocumentPath
from ojobchannels.ojob.source import Source

_MAPS: Final[dict[str, type[Spec]]] = {
    "jobs": JobSpec,
    "ojob": SettingsSpec,
    "todo": TodoSpec,
    "typeArgs": TypeArgsSpec,
}
_EXPECTED: Final = {
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
}
_OTHER_TYPES: Final = ("jobs", "shutdown", "periodic", "subscribe")


def check_model(source: Source) -> FileSpec | list[Problem]:
    """Checks a document against the model; returns the checked one, or all its faults."""
    if source.data is None:
        return [source.problem((), "the file is empty", "write `jobs` and a `todo`")]
    try:
        return FileSpec.model_validate(source.data)
    except ValidationError as error:
        return [_problem(source, one) for one in error.errors(include_url=False)]


def closest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word that was probably meant."""
    form = word.casefold()
    by_form = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(form, by_form)
    found.sort(key=lambda one: one[:1] != form[:1])  # of two as close, the one that begins alike
    return by_form[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns a hint at the closest known word, or lists all of them if none comes close."""
    known = list(known)
    meant = closest(word, known)
    if meant is not None:
        return f"did you mean `{meant}`?"
    listed = ", ".join(f"`{one}`" for one in known)
    return f"known here: {listed}" if known else ""


def _problem(source: Source, error: ErrorDetails) -> Problem:
    path, found = error["loc"], error["input"]
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(source, path)
        case "missing":
            return source.problem(path[:-1], f"`{path[-1]}` is missing")
        case "literal_error":
            return _unknown_choice(source, path, found)
        case "string_too_short":
            return source.problem(path, "it is empty", "write a name")
        case "one_job":
            return source.problem(path, "expected either `name` or `job`", "write one of them")
        case "greater_than_equal" | "less_than_equal":
            return source.problem(path, f"{found} is out of range", "write 1 to 1000")
        case kind:
            expected = _EXPECTED.get(kind)
            said = f"expected {expected}, found {_kind(found)}" if expected else error["msg"]
            quote = expected == "text" and not isinstance(found, dict | list)
            return source.problem(path, said, "put quotes around it" if quote else "")


def _unknown_key(source: Source, path: DocumentPath) -> Problem:
    key = str(path[-1])
    around = [step for step in path[:-1] if isinstance(step, str)]
    spec = _MAPS[around[-1]] if around else FileSpec
    if key in spec.not_yet:
        said, hint = f"this version does not support `{key}`", spec.not_yet[key] or "take it out"
    elif key.startswith("("):
        said, hint = (
            f"this version does not support the shortcut `{key}`",
            "write `name` and `args`",
        )
    else:
        said, hint = f"unknown key `{key}`", did_you_mean(key, spec.keys())
    return source.problem(path, said, hint, at_key=True)


def _unknown_choice(source: Source, path: DocumentPath, found: Any) -> Problem:
    key = path[-1]
    if key == "lang":
        return source.problem(
            path, f"this version does not support `lang: {found}`", "it runs Python only"
        )
    if found in _OTHER_TYPES:
        hint = "jobs run once for each todo entry; leave `type` out"
        return source.problem(path, f"this version does not support `type: {found}`", hint)
    return source.problem(path, f"unknown type {found!r}", "leave `type` out")


def _kind(thing: object) -> str:
    match thing:
        case None:
            return "nothing"
        case bool():
            return "a boolean"
        case int() | float():
            return f"the number {thing}"
        case str():
            return "text"
        case dict():
            return "a map"
        case _:
            return "a list"
