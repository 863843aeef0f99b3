"""Checks of single jobs, todo entries and files, each by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ojobchannels.documents import check_value
from ojobchannels.errors import Diagnostic, InvalidValue
from ojobchannels.ojob.args.rules import rule_error
from ojobchannels.ojob.args.templates import invalid_templates
from ojobchannels.ojob.load.file_help import help_diagnostics
from ojobchannels.ojob.load.lock_spec import lock_diagnostics
from ojobchannels.ojob.load.schedule_spec import (
    file_diagnostics,
    schedule_diagnostics,
    timezone_diagnostics,
    watch_diagnostics,
)
from ojobchannels.ojob.schema.located import INVALID, FileSpecs, Located
from ojobchannels.ojob.schema.model import JobSpec, TodoSpec
from ojobchannels.ojob.yaml.positions import DocumentPath

_CLOSING: Final = {"${": "}", "{{": "}}"}


def of_file(file: FileSpecs) -> Iterator[Diagnostic]:
    """Yield what is wrong with a file, apart from its jobs and its todo."""
    yield from timezone_diagnostics(file)
    yield from help_diagnostics(file)
    yield from _duplicate_names(file)
    yield from _shortcuts(file)
    yield from _of_args(file.root, ("init",), file.spec.init)


def of_job(job: Located[JobSpec]) -> Iterator[Diagnostic]:
    """Yield what is wrong with a job, apart from its code and the names of other jobs."""
    spec, type_args = job.spec, job.spec.type_args
    yield from _of_rules(job)
    yield from file_diagnostics(job)
    yield from _of_args(job, ("args",), spec.args)
    yield from schedule_diagnostics(job, spec.type, type_args)
    yield from watch_diagnostics(job, spec.type, type_args)
    yield from lock_diagnostics(job, type_args)
    yield from _of_args(job, ("typeArgs", "lock"), type_args.lock)


def of_entry(entry: Located[TodoSpec]) -> Iterator[Diagnostic]:
    """Yield what is wrong with the arguments of a todo entry."""
    in_list = (*entry.path, "args", 0) in entry.source.positions
    for at, args in enumerate(entry.spec.args):
        yield from _of_args(entry, ("args", at) if in_list else ("args",), args)
    yield from _of_args(entry, ("typeArgs", "lock"), entry.spec.type_args.lock)


def _duplicate_names(file: FileSpecs) -> Iterator[Diagnostic]:
    first: dict[str, Located[JobSpec]] = {}
    for job in file.jobs:
        name = job.spec.name
        if name != INVALID and first.setdefault(name, job) is not job:
            line = file.source.position(first[name].path).line
            message = f"duplicate job {name!r}; the first is on line {line}"
            yield job.diagnostic(("name",), message, "rename one of them")


def _shortcuts(file: FileSpecs) -> Iterator[Diagnostic]:
    steps: DocumentPath = ("typeArgs", "shortcut", "name")
    first: dict[str, Located[JobSpec]] = {}
    for job in file.jobs:
        if (shortcut := job.spec.type_args.shortcut) is None:
            continue
        name = shortcut.name
        if re.search(r"[()]|^\s|\s$", name):
            hint = "write a name without parentheses, and without spaces around it"
            yield job.diagnostic(steps, f"invalid name of a shortcut: {name!r}", hint)
        elif name in first:
            line = file.source.position((*first[name].path, *steps)).line
            message = f"duplicate shortcut {name!r}; the first is on line {line}"
            yield job.diagnostic(steps, message, "rename one of them")
        first.setdefault(name, job)


def _of_rules(job: Located[JobSpec]) -> Iterator[Diagnostic]:
    for key, rules in (("in", job.spec.check.in_), ("out", job.spec.check.out)):
        for name, text in rules.items():
            if error := rule_error(name, text):
                yield job.diagnostic(("check", key, name), error.reason, error.advice)


def _of_args(where: Located[Any], steps: DocumentPath, value: Any) -> Iterator[Diagnostic]:
    """Yield what is not JSON in a value, and templates that are not valid."""
    match value:
        case dict():
            for key, part in value.items():
                yield from _of_value(where, (*steps, key), {key: None}, at_key=True)
                yield from _of_args(where, (*steps, key), part)
        case list():
            for at, part in enumerate(value):
                yield from _of_args(where, (*steps, at), part)
        case str():
            yield from _of_value(where, steps, value)
            for template in invalid_templates(value):
                yield where.diagnostic(steps, *_about_template(template))
        case _:
            yield from _of_value(where, steps, value)


def _of_value(
    where: Located[Any], steps: DocumentPath, value: Any, *, at_key: bool = False
) -> Iterator[Diagnostic]:
    try:
        check_value(value)
    except InvalidValue as error:
        is_number = isinstance(value, int | float)
        hint = "quote it" if is_number else "remove it: args are JSON documents"
        yield where.diagnostic(steps, error.reason, hint, at_key=at_key)


def _about_template(template: str) -> tuple[str, str]:
    literally = "put a backslash before it to use it literally"
    if template in _CLOSING:
        message = f"the template that begins with `{template}` is not closed, or contains braces"
        return message, f"close it with `{_CLOSING[template]}`, or {literally}"
    message = f"`{template}` is not a valid template"
    return message, f"write {{{{name}}}} or ${{name:-default}}, or {literally}"
