"""Validates a job file against the model, job by job, so that no error hides another one."""

import re
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.schema.base import Spec
from ojobchannels.ojob.schema.fields import Field, all_specs, field_at
from ojobchannels.ojob.schema.located import INVALID, FileSpecs, Located, S
from ojobchannels.ojob.schema.model import FileSpec, JobSpec, Shortcuts, TodoSpec
from ojobchannels.ojob.yaml.source import DocumentPath, Source, diagnostic_at
from ojobchannels.suggestions import did_you_mean

_ATTEMPTS: Final = 4
_KINDS: Final[Mapping[type, str]] = {
    type(None): "nothing",
    bool: "a boolean",
    str: "a string",
    dict: "a map",
    list: "a list",
}
_PARTS: Final[Mapping[str, type[Spec]]] = {"jobs": JobSpec, "todo": TodoSpec}


class Validator:
    """Validates one file.

    What is not valid is left out of the specs, and the rest is validated again: so the checks that
    follow see as much of the file as possible.
    """

    def __init__(self, source: Source) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._source = source
        self._lists: dict[str, list[Any]] = {}

    def file(self) -> FileSpecs:
        """Return the specs of the file, without its todo: for that, shortcuts must be known."""
        data = self._source.data
        if data is None:
            hint = "write `jobs` and a `todo`"
            error = diagnostic_at(self._source.name, (1, 1), (), "the file is empty", hint)
            self.diagnostics.append(error)
            return FileSpecs(self._source, FileSpec())
        if isinstance(data, dict):
            self._lists = {key: data[key] for key in _PARTS if isinstance(data.get(key), list)}
            data = {key: value for key, value in data.items() if key not in self._lists}
        spec = self._valid(FileSpec, data, ()) or FileSpec()
        return FileSpecs(self._source, spec, self._located("jobs", JobSpec, None))

    def todo(self, shortcuts: Shortcuts) -> list[Located[TodoSpec]]:
        """Return the entries of the todo, in which all `shortcuts` of the run may be used."""
        return self._located("todo", TodoSpec, shortcuts)

    def _located(self, key: str, model: type[S], context: Any) -> list[Located[S]]:
        found = []
        for at, data in enumerate(self._lists.get(key, ())):
            spec = self._valid(model, data, (key, at), context)
            if spec is not None:
                found.append(Located(spec, self._source, (key, at)))
        return found

    def _valid(
        self, model: type[S], data: Any, path: DocumentPath, context: Any = None
    ) -> S | None:
        """Return the spec of some data; None if nothing of it is valid."""
        for attempt in range(_ATTEMPTS):
            try:
                return model.model_validate(data, context=context)
            except ValidationError as error:
                errors = error.errors(include_url=False)
            if attempt == 0:
                self.diagnostics += [self._diagnostic(path, one) for one in errors]
            if not isinstance(data, dict):
                return None
            data = _without_errors(data, errors)
        return None

    def _diagnostic(self, above: DocumentPath, error: ErrorDetails) -> Diagnostic:
        path, value = _in_the_file(self._source.data, (*above, *error["loc"])), error["input"]
        field, source = field_at(FileSpec, path), self._source
        match error["type"]:
            case "extra_forbidden":
                return self._unknown_key(path)
            case "missing":
                message = f"`{error['loc'][-1]}` is missing"
                hint = f"write `{error['loc'][-1]}: …`"
                return source.diagnostic(path, message, hint, at_key=True)
            case "literal_error":
                key = next(step for step in reversed(path) if isinstance(step, str))
                return source.diagnostic(path, f"unknown {key} {value!r}", field.hint)
            case "string_too_short":
                return source.diagnostic(path, "the name is empty", "write a name")
            case "string_unicode":
                message = "the string contains a lone surrogate"
                return source.diagnostic(path, message, "write the character itself")
            case "greater_than_equal" | "less_than_equal":
                return source.diagnostic(path, f"{value} is out of range", field.hint)
            case kind if kind.endswith(("_type", "_from_float")):
                return _wrong_type(source, path, field, value)
            case _:
                return source.diagnostic(path, error["msg"])

    def _unknown_key(self, path: DocumentPath) -> Diagnostic:
        *above, key = path
        spec = field_at(FileSpec, tuple(above)).spec or FileSpec
        message, hint = _about_key(str(key), spec)
        if spec is TodoSpec and key in self._job_names():
            hint = f"write `- name: {key}`, and below it `args` and the other keys"
        return self._source.diagnostic(path, message, hint, at_key=True)

    def _job_names(self) -> list[Any]:
        return [one.get("name") for one in self._lists.get("jobs", ()) if isinstance(one, dict)]


def _in_the_file(data: Any, path: DocumentPath) -> DocumentPath:
    """Return the part of a path that the file has: pydantic adds steps to it for short forms."""
    for at, step in enumerate(path):
        in_list = isinstance(data, list) and isinstance(step, int)
        if not in_list and not (isinstance(data, dict) and step in data):
            return path[:at]
        data = data[step]
    return path


def _without_errors(data: dict[str, Any], errors: list[ErrorDetails]) -> Any:
    """Return the data without what is not valid; None if that is all of it."""
    rest: Any = deepcopy(data)
    places = {_in_the_file(data, error["loc"]): error for error in errors}
    for path in sorted(places, key=len, reverse=True):
        if not path and places[path]["type"] == "missing":
            rest[places[path]["loc"][-1]] = INVALID
        elif not path:
            return None
        elif isinstance(path[-1], str):
            del _at(rest, path[:-1])[path[-1]]
        elif _at(data, path) != INVALID:
            _at(rest, path[:-1])[path[-1]] = INVALID  # what follows keeps its index
        else:
            rest.pop(path[0], None)
    return rest


def _at(data: Any, path: DocumentPath) -> Any:
    for step in path:
        data = data[step]
    return data


def _wrong_type(source: Source, path: DocumentPath, field: Field, value: Any) -> Diagnostic:
    if field.expected == "a map" and isinstance(value, str) and re.search(r"\w:\S", value):
        hint = "put a space after the colon"
    else:
        hint = _advice(path, field, value)
    return source.diagnostic(path, f"expected {field.expected}, found {_kind(value)}", hint)


def _advice(path: DocumentPath, field: Field, value: Any) -> str:
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    in_list = bool(path) and isinstance(path[-1], int)
    match value:
        case None if path:
            return f"write one, or remove the {'dash' if in_list else 'key'}"
        case _ if in_list and field.expected == "a map":
            return "write `key: value` after the dash"
        case int() | float() if field.expected.startswith(("a string", "a name")):
            return "quote it"
        case _ if field.hint:
            return field.hint
        case _ if field.expected == "a name" or key == "name":
            return "write one name"
        case _ if field.expected == "a string":
            return f"write `{key}: …`, and quote what YAML would take for something else"
        case _ if field.expected.endswith(("names", "a list")):
            return f"write `{key}: [one, another]`"
        case _:
            return "write one of these"


def _about_key(key: str, spec: type[Spec]) -> tuple[str, str]:
    """Return what is wrong with a key, and what to do."""
    if key in spec.unsupported:
        return f"`{key}` is not supported here", spec.unsupported[key]
    if key.startswith("("):
        return f"no job declares the shortcut `{key}`", "call a job by its `name`, with `args`"
    if hidden := next((one for one in key if not one.isprintable()), None):
        return f"the key contains the character U+{ord(hidden):04X}", "type the key again"
    if key.startswith("-"):
        return f"unknown key `{key}`", "put a space after the dash"
    for other in _homes():
        if key in other.keys():  # noqa: SIM118  the keys of the model
            return f"`{key}` does not belong here", f"it belongs {other.home}"
    for other in _homes():
        if key in other.unsupported:
            return f"`{key}` is not supported here", other.unsupported[key]
    return f"unknown key `{key}`", did_you_mean(key, spec.keys())


@cache
def _homes() -> list[type[Spec]]:
    return list(dict.fromkeys(one for one in all_specs() if one.home))


def _kind(value: object) -> str:
    return _KINDS.get(type(value)) or f"the number {value}"
