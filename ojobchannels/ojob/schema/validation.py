"""What pydantic found wrong with a document, in the words of a job file's author."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.schema.base import Spec
from ojobchannels.ojob.schema.model import (
    CheckSpec,
    ExpectSpec,
    FileSpec,
    HelpSpec,
    JobSpec,
    ShortcutSpec,
    TodoSpec,
    TypeArgsSpec,
)
from ojobchannels.ojob.schema.settings import LogToFileSpec, SettingsSpec, UniqueSpec
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source
from ojobchannels.suggestions import did_you_mean

_MAPS: Final[dict[str, type[Spec]]] = {
    "jobs": JobSpec,
    "ojob": SettingsSpec,
    "todo": TodoSpec,
    "typeArgs": TypeArgsSpec,
    "logToFile": LogToFileSpec,
    "unique": UniqueSpec,
    "help": HelpSpec,
    "expects": ExpectSpec,
    "check": CheckSpec,
    "shortcut": ShortcutSpec,
}
_HOMES: Final[dict[type[Spec], str]] = {
    FileSpec: "to the whole file: write it at the left edge",
    JobSpec: "to a job: write it below `jobs`, behind `- name: …`",
    TypeArgsSpec: "below `typeArgs`",
    SettingsSpec: "below `ojob`",
    LogToFileSpec: "below `ojob.logToFile`",
    UniqueSpec: "below `ojob.unique`",
}
_WRONG_SHAPES: Final = {
    "dict_type",
    "model_type",
    "model_attributes_type",
    "list_type",
    "string_type",
    "int_type",
    "int_from_float",
    "float_type",
    "bool_type",
}
_RANGES: Final = {
    "numThreads": "write 1 to 1000",
    "eachThreads": "write 1 to 1000",
    "timeInterval": "write 1 or more milliseconds",
    "timeout": "write 1 or more milliseconds",
    "depsTimeout": "write 1 or more milliseconds",
    "HKhowLongAgoInMinutes": "write 1 or more minutes",
}


class _Shape(NamedTuple):
    """What has to stand under a key: as a whole, and as an element of a list there."""

    whole: str
    element: str
    hint: str = ""


_PAIRS: Final = "write `key: value` below it"
_YES_OR_NO: Final = _Shape("true or false", "", "write `true` or `false`")
_NAMES: Final = _Shape("a name or a list of names", "a name")
_PLAIN: Final = "text, a number, true or false"
_SHAPES: Final = {
    "": _Shape("a map", "", "a job file has `jobs` and a `todo`"),
    "jobs": _Shape("a list", "a map", "write each job as `- name: …`"),
    "todo": _Shape("a list", "a name or a map", "write the name of each job behind a dash"),
    "include": _NAMES,
    "jobsInclude": _NAMES,
    "init": _Shape("a map", "", _PAIRS),
    "code": _Shape("a map", "", "write `name.py: |` below it, and the module below that"),
    "shortcut": _Shape("a map", "", "write `name: …` and `keyArg: …` below it"),
    "help": _Shape("a map", "", "write `text: …` and `expects` below it"),
    "expects": _Shape("a list", "a map", "write each argument as `- name: …`"),
    "mandatory": _YES_OR_NO,
    "example": _Shape(_PLAIN, "", "write one of these"),
    "options": _Shape("a list", _PLAIN),
    "moptions": _Shape("a list", _PLAIN),
    "deps": _NAMES,
    "each": _NAMES,
    "when": _NAMES,
    "check": _Shape("a map", "", "write `in:` below it, and `name: isString` below that"),
    "in": _Shape("a map", "", "write `name: isString` below it"),
    "out": _Shape("a map", "", "write `name: isString` below it"),
    "eachThreads": _Shape("a whole number", "", _RANGES["numThreads"]),
    "from": _NAMES,
    "to": _NAMES,
    "catch": _Shape("a job, a list of jobs, or code", "a name", "write code below `catch: |`"),
    "exec": _Shape("text", "", "write `exec: |` and the code below it"),
    "args": _Shape("a map", "a map", _PAIRS),
    "typeArgs": _Shape("a map", "", _PAIRS),
    "ojob": _Shape("a map", "", _PAIRS),
    "numThreads": _Shape("a whole number", "", _RANGES["numThreads"]),
    "timeInterval": _Shape("a whole number", "", "write milliseconds, such as 60000"),
    "timeout": _Shape("a whole number", "", "write milliseconds, such as 60000"),
    "depsTimeout": _Shape("a whole number", "", "write milliseconds, such as 60000"),
    "daemon": _YES_OR_NO,
    "once": _YES_OR_NO,
    "single": _YES_OR_NO,
    "logJobs": _YES_OR_NO,
    "ignoreNoLog": _YES_OR_NO,
    "killPrevious": _YES_OR_NO,
    "async": _YES_OR_NO,
    "sequential": _YES_OR_NO,
    "noLog": _YES_OR_NO,
    "waitForFinish": _YES_OR_NO,
    "logToConsole": _YES_OR_NO,
    "dontCompress": _YES_OR_NO,
    "setLogOff": _YES_OR_NO,
    "HKhowLongAgoInMinutes": _Shape(
        "a whole number", "", "write minutes, such as 10080 for a week"
    ),
    "logToFile": _Shape("a map", "", "write `logFolder: ./logs` below it"),
    "unique": _Shape("a map", "", "write `pidFile: ojob.pid` below it"),
    "stopWhen": _Shape("text", "", "write code"),
}
_TEXT: Final = _Shape("text", "text")


def check_model(source: Source) -> FileSpec | list[Diagnostic]:
    """Checks a document against the model; returns the checked one, or all its faults."""
    if source.data is None:
        return [source.diagnostic((), "the file is empty", "write `jobs` and a `todo`")]
    try:
        return FileSpec.model_validate(source.data)
    except ValidationError as error:
        return [_diagnostic(source, one) for one in error.errors(include_url=False)]


def _diagnostic(source: Source, error: ErrorDetails) -> Diagnostic:
    path, found = _in_the_file(source.data, error["loc"]), error["input"]
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(source, path)
        case "missing":
            key = error["loc"][-1]
            hint = f"write `{key}: …`"
            return source.diagnostic(path, f"`{key}` is missing", hint, at_key=True)
        case "literal_error":
            return _unknown_choice(source, path, found)
        case "string_too_short":
            return source.diagnostic(path, "it is empty", "write a name")
        case "string_unicode":
            said = "the text contains a lone surrogate"
            return source.diagnostic(path, said, "write the character itself")
        case "one_job":
            return source.diagnostic(path, "expected either `name` or `job`", "write one of them")
        case "greater_than_equal" | "less_than_equal":
            hint = _RANGES.get(str(path[-1]), "")
            return source.diagnostic(path, f"{found} is out of range", hint)
        case kind if kind in _WRONG_SHAPES:
            return _wrong_shape(source, path, found)
        case _:
            return source.diagnostic(path, error["msg"])


def _in_the_file(data: Any, path: DocumentPath) -> DocumentPath:
    """Leaves out the steps of a path that stand for what a short form leaves out."""
    for at, step in enumerate(path):
        in_list = isinstance(data, list) and isinstance(step, int)
        if not in_list and not (isinstance(data, dict) and step in data):
            return path[:at]
        data = data[step]
    return path


def _wrong_shape(source: Source, path: DocumentPath, found: Any) -> Diagnostic:
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    shape = _SHAPES.get(key, _TEXT)
    expected = shape.element if path and isinstance(path[-1], int) else shape.whole
    hint = shape.hint if expected == shape.whole else ""
    if key == "args" and path[0] == "todo":
        expected = "a map" if isinstance(path[-1], int) else "a map or a list of maps"
    if expected == "a map" and isinstance(found, str) and re.search(r"\w:\S", found):
        hint = "put a space behind the colon"
    elif not hint:
        hint = _advice(key, expected, found, in_list=isinstance(path[-1], int))
    return source.diagnostic(path, f"expected {expected}, found {_kind(found)}", hint)


def _advice(key: str, expected: str, found: Any, *, in_list: bool) -> str:
    match found:
        case int() | float():
            return "put quotes around it"
        case None:
            return f"write one, or take the {'dash' if in_list else 'key'} out"
        case _ if in_list and key in ("jobs", "args", "expects"):
            return "write `key: value` behind the dash"
        case _ if expected == _TEXT.whole and key != "name":
            return f"write `{key}: …`, with quotes around what YAML would take for more"
        case _ if expected == _PLAIN:
            return "write one of these"
        case _ if in_list or key == "name":
            return "write one name"
        case _:
            return f"write `{key}: [one, another]`"


def _unknown_key(source: Source, path: DocumentPath) -> Diagnostic:
    key = str(path[-1])
    around = [step for step in path[:-1] if isinstance(step, str)]
    spec = _MAPS[around[-1]] if around else FileSpec
    said, hint = _about_key(key, spec)
    if spec is TodoSpec and key in _job_names(source.data):
        hint = f"write `- name: {key}`, and below it `args` and what belongs to them"
    return source.diagnostic(path, said, hint, at_key=True)


def _about_key(key: str, spec: type[Spec]) -> tuple[str, str]:
    """What is wrong with a key, and what to do."""
    said = f"unknown key `{key}`"
    if key in spec.unsupported:
        return f"there is no `{key}` here", spec.unsupported[key]
    if key.startswith("("):
        return f"no job declares the shortcut `{key}`", "call a job by its `name`, with `args`"
    if odd := next((one for one in key if not one.isprintable()), None):
        return f"the key has the character U+{ord(odd):04X} in it", "write it anew"
    if key.startswith("-"):
        return said, "put a space behind the dash"
    for other, home in _HOMES.items():
        known = other.keys()
        if key in known:
            return f"`{key}` does not belong here", f"it belongs {home}"
    if elsewhere := next((one for one in _HOMES if key in one.unsupported), None):
        return f"there is no `{key}` here", elsewhere.unsupported[key]
    return said, did_you_mean(key, spec.keys())


def _job_names(data: dict[str, Any]) -> list[Any]:
    jobs = data.get("jobs")
    return [one.get("name") for one in jobs if isinstance(one, dict)] if jobs else []


def _unknown_choice(source: Source, path: DocumentPath, found: Any) -> Diagnostic:
    key = path[-1]
    if key == "misfire":
        return source.diagnostic(
            path, f"unknown misfire {found!r}", "write `latest`, `all` or `none`"
        )
    hint = "write `simple`, `periodic`, `subscribe`, `shutdown` or `jobs`"
    return source.diagnostic(path, f"unknown type {found!r}", hint)


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
