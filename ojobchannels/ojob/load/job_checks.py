"""Checks files, jobs and todo entries, each by itself."""

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from ojobchannels.documents import check_value
from ojobchannels.errors import Diagnostic, InvalidValue
from ojobchannels.ojob.args.rules import InvalidRule, Rule
from ojobchannels.ojob.args.templates import invalid_templates
from ojobchannels.ojob.load.specs import Specs, args_of_calls
from ojobchannels.ojob.schema.base import key_of
from ojobchannels.ojob.schema.located import INVALID, FileSpecs, Located
from ojobchannels.ojob.schema.model import JobSpec, TodoSpec
from ojobchannels.ojob.yaml.source import DocumentPath, Source
from ojobchannels.suggestions import did_you_mean

_TIMES: Final = ("cron", "time_interval")
_FOR_TIMES: Final = (
    *("misfire", "jitter", "overdue_after", "once", "stop_when"),
    "wait_for_finish",
)
_OF_THE_JOB: Final = ("lang", "pwd", "each_threads", "file", "stop_when")
"""What a todo entry cannot change."""

_CLOSING: Final = {"${": "}", "{{": "}}"}
_REMOVE_ONE: Final = "remove one of them"


def check_files(specs: Specs) -> Iterator[Diagnostic]:
    """Yield what is wrong with files, apart from their jobs and todos."""
    for file in specs.files:
        yield from _of_timezone(file)
        yield from _of_shortcuts(file)
        yield from _of_args(file.root, ("init",), file.spec.init)
        yield from _of_names(file)


def check_jobs(specs: Specs) -> Iterator[Diagnostic]:
    """Yield what is wrong with jobs, apart from their code and the names of other jobs."""
    for job in specs.jobs:
        yield from _of_rules(job)
        yield from _of_other_file(job)
        yield from _of_args(job, ("args",), job.spec.args)
        yield from _of_times(job, job.spec)
        yield from _of_args(job, ("typeArgs", "lock"), job.spec.type_args.lock)


def check_todo(specs: Specs) -> Iterator[Diagnostic]:
    """Yield what is wrong with todo entries: their arguments, and how they change their job."""
    for entry in specs.todo:
        for steps, args in args_of_calls(entry):
            yield from _of_args(entry, steps, args)
        yield from _of_args(entry, ("typeArgs", "lock"), entry.spec.type_args.lock)
        called = specs.by_name.get(entry.spec.called)
        if called is not None and entry.spec.has("type", "type_args"):
            yield from _of_changes(entry, called.spec)


def _of_names(file: FileSpecs) -> Iterator[Diagnostic]:
    expects = enumerate(file.spec.help.expects if file.spec.help else ())
    arguments = ((one.name, ("help", "expects", at, "name")) for at, one in expects)
    yield from _duplicates(file.source, "argument", arguments, _REMOVE_ONE)
    names = ((job.spec.name, (*job.path, "name")) for job in file.jobs)
    yield from _duplicates(file.source, "job", names, "rename one of them")


def _of_changes(entry: Located[TodoSpec], job: JobSpec) -> Iterator[Diagnostic]:
    """Yield what is wrong with how a todo entry changes its job."""
    for key in (key_of(name) for name in _OF_THE_JOB if entry.spec.type_args.has(name)):
        message = f"`{key}` belongs to the job, and is the same for all its calls"
        hint = "write it in the `typeArgs` of the job"
        yield entry.diagnostic(("typeArgs", key), message, hint, at_key=True)
    if entry.spec.type == "jobs" and job.type != "jobs":
        message = f"{job.name!r} is not a job of `type: jobs`, and a call cannot change that"
        hint = "write `type: jobs`, with `typeArgs.file`, in a job"
        yield entry.diagnostic(("type",), message, hint)
    yield from _of_times(entry, entry.spec.applied_to(job))


def _of_other_file(job: Located[JobSpec]) -> Iterator[Diagnostic]:
    """Yield what is wrong with the job file that a job is."""
    name = job.spec.type_args.file
    steps = ("typeArgs", "file")
    if job.spec.type != "jobs":
        if name is not None:
            message = "`file` only applies to jobs of `type: jobs`"
            yield job.diagnostic(steps, message, "write `type: jobs`, or remove it", at_key=True)
        return
    if name is None:
        hint = "name it in `typeArgs`: `file: other.yaml`"
        yield job.diagnostic(("type",), "a job of `type: jobs` needs a file", hint)
    elif not os.path.isfile(job.source.path.parent / name):  # noqa: PTH113  also takes NULs and long names
        at = os.path.normpath((job.source.path.parent / name).absolute())
        hint = "write the path of a job file, relative to this file"
        yield job.diagnostic(steps, f"there is no file {at}", hint)
    for key in filter(job.spec.has, ("exec", "each")):
        message = f"a job of `type: jobs` runs a job file and has no `{key}`"
        yield job.diagnostic((key,), message, "write it in a job under `from` or `to`", at_key=True)


def _of_times(where: Located[Any], job: JobSpec) -> Iterator[Diagnostic]:
    """Yield what is wrong with the times, the watch and the lock of a job.

    Args:
        where: The job or a todo entry.
        job: The job, as the entry runs it.
    """
    kind, spec = job.type, job.type_args
    times = [key_of(name) for name in _TIMES if spec.has(name)]
    if spec.cron is not None:
        yield from _of_cron(where, spec.cron)

    def wrong(key: str, message: str, hint: str) -> Diagnostic:
        return where.diagnostic(("typeArgs", key), message, hint, at_key=True)

    if len(times) > 1:
        yield wrong(times[1], "`cron` and `timeInterval` both say when the job runs", _REMOVE_ONE)
    if kind == "periodic" and not times:
        hint = "write `cron` or `timeInterval` in `typeArgs`"
        yield where.diagnostic(("type",), "a periodic job needs a schedule", hint)
    if kind not in (None, "periodic") and times:
        message = f"a job of `type: {kind}` does not take `{times[0]}`"
        yield wrong(times[0], message, "remove `type`")
    for key in (key_of(name) for name in _FOR_TIMES if spec.has(name) and not times):
        message = f"`{key}` only applies to jobs with a schedule"
        yield wrong(key, message, "write `cron` or `timeInterval` beside it")
    if not spec.wait_for_finish and spec.misfire == "all":
        message = "`misfire: all` contradicts `waitForFinish: false`, with which runs may overlap"
        yield wrong("waitForFinish", message, _REMOVE_ONE)
    if kind == "subscribe" and spec.ch_subscribe is None:
        hint = "name it in `typeArgs`: `chSubscribe: orders`"
        yield where.diagnostic(("type",), "a job of `type: subscribe` needs a channel", hint)
    if kind != "subscribe" and spec.ch_subscribe is not None:
        message = "`chSubscribe` only applies to jobs of `type: subscribe`"
        yield wrong("chSubscribe", message, "write `type: subscribe`, or remove it")
    if spec.lock_ch is not None and spec.lock is None:
        message = "`lockCh` is the channel of a lock, but `lock` is missing"
        yield wrong("lockCh", message, "write `lock: name` beside it, or remove it")


def _of_cron(where: Located[Any], text: str) -> Iterator[Diagnostic]:
    from ojobchannels.manager.schedules.cron import Cron, CronError

    try:
        Cron(text)
    except CronError as error:
        found = where.diagnostic(("typeArgs", "cron"), error.reason, error.advice)
        lines = where.source.lines
        line = lines[found.line - 1] if found.line <= len(lines) else ""
        written = line[found.column - 1 :]
        quotes = len(written) - len(written.lstrip("'\""))
        is_literal = written[quotes:].startswith(text)
        shift = quotes + error.offset if is_literal else 0
        yield found._replace(column=found.column + shift)


def _of_timezone(file: FileSpecs) -> Iterator[Diagnostic]:
    name = file.spec.ojob.timezone
    if not file.spec.ojob.has("timezone"):
        return
    from zoneinfo import available_timezones

    from ojobchannels.manager.schedules.zones import zone_of

    try:
        zone_of(name)
    except LookupError:
        if name == "local":
            message = f"the time zone of this host is not known: TZ is {os.environ.get('TZ')!r}"
            hint = "correct the variable, or name a zone such as Europe/Berlin here"
            yield file.settings.diagnostic(("timezone",), message, hint)
            return
        hint = did_you_mean(name, ("UTC", "local", *sorted(available_timezones())))
        yield file.settings.diagnostic(("timezone",), f"unknown time zone {name!r}", hint)


def _of_shortcuts(file: FileSpecs) -> Iterator[Diagnostic]:
    names: list[tuple[str, DocumentPath]] = []
    for job in file.jobs:
        if shortcut := job.spec.type_args.shortcut:
            path = (*job.path, "typeArgs", "shortcut", "name")
            names.append((shortcut.name, path))
            if re.search(r"[()]|^\s|\s$", shortcut.name):
                message = f"invalid name of a shortcut: {shortcut.name!r}"
                hint = "write a name without parentheses, and without spaces around it"
                yield file.source.diagnostic(path, message, hint)
    yield from _duplicates(file.source, "shortcut", names, "rename one of them")


def _duplicates(
    source: Source, what: str, names: Iterable[tuple[str, DocumentPath]], hint: str
) -> Iterator[Diagnostic]:
    first: dict[str, DocumentPath] = {}
    for name, path in names:
        if name != INVALID and first.setdefault(name, path) != path:
            line = source.position(first[name]).line
            message = f"duplicate {what} {name!r}; the first is on line {line}"
            yield source.diagnostic(path, message, hint)


def _of_rules(job: Located[JobSpec]) -> Iterator[Diagnostic]:
    for key, rules in (("in", job.spec.check.in_), ("out", job.spec.check.out)):
        for name, text in rules.items():
            try:
                Rule.read(name, text)
            except InvalidRule as error:
                yield job.diagnostic(("check", key, name), *error.args)


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
