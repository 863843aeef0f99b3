"""All faults of a job file that a model of single files cannot see: code, names, order, templates.

It works on the data as it was read, faulty or not, so that one fault does not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final, NamedTuple

from ojobchannels.documents import check_value
from ojobchannels.errors import Diagnostic, InvalidValue, JobFileError
from ojobchannels.ojob.args.rules import rule_faults
from ojobchannels.ojob.args.templates import faulty_templates
from ojobchannels.ojob.code.modules import compile_module, module_name
from ojobchannels.ojob.code.python import Block, has_no_effect
from ojobchannels.ojob.code.resolver import NO_TIMEOUT, PYTHON, Languages
from ojobchannels.ojob.load.channel_configs import config_faults, faults_in_args
from ojobchannels.ojob.load.file_help import help_faults
from ojobchannels.ojob.load.graph import circles, reach, unfolded
from ojobchannels.ojob.load.includes import NOT_BUNDLED, bundled_jobs
from ojobchannels.ojob.load.lock_spec import lock_faults
from ojobchannels.ojob.load.manager_jobs import INIT
from ojobchannels.ojob.load.schedule_spec import (
    file_faults,
    timing_faults,
    watch_faults,
    zone_faults,
)
from ojobchannels.ojob.load.shortcuts import shortcut_faults
from ojobchannels.ojob.load.todo_overrides import manner_faults, put_off_to
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source
from ojobchannels.suggestions import closest, did_you_mean

_JOINED: Final = {
    ",": "write several names as a list",
    " - ": "YAML has joined two lines; begin them in the same column, or write a list",
}

_MOST_STEPS: Final = 10_000


class Mention(NamedTuple):
    """A place where one job names another, or a job file."""

    name: str
    source: Source
    path: DocumentPath


@dataclass(frozen=True)
class RawJob:
    """One job as it was read."""

    name: str
    source: Source
    path: DocumentPath
    data: Mapping[str, Any]

    def mentions(self, *keys: str) -> list[Mention]:
        """Returns the jobs that are named under some keys."""
        return [one for key in keys for one in self._under(key)]

    def _under(self, key: str) -> Iterator[Mention]:
        match self.data.get(key):
            case str(name) if name:
                yield Mention(name, self.source, (*self.path, key))
            case list(names):
                for at, name in enumerate(names):
                    if isinstance(name, str) and name:
                        yield Mention(name, self.source, (*self.path, key, at))

    def names(self, *keys: str) -> list[str]:
        """Returns the names of the jobs that are named under some keys."""
        return [mention.name for mention in self.mentions(*keys)]


class Check:
    """Checks some files as one.

    `whole` tells whether all that they include is among them, and `places` whether it is they that
    say where the manager keeps its channels. Without `languages`, code is not looked at.

    Attributes:
        diagnostics: All that is wrong.
        blocks: The compiled code, by file and path.
        other_files: The places of the job files that jobs of `type: jobs` name.
        modules: The compiled modules under `code`, by the names by which they are imported.
    """

    def __init__(
        self, sources: list[Source], *, whole: bool, places: bool, languages: Languages | None
    ) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.blocks: dict[tuple[str, DocumentPath], Block] = {}
        self.other_files: list[Mention] = []
        self.modules: dict[str, CodeType] = {}
        self._whole = whole
        self._languages = languages
        self._jobs: dict[str, RawJob] = {}
        self._all: list[RawJob] = []
        self._common = [
            RawJob("catch", source, ("ojob",), source.data["ojob"])
            for source in sources
            if isinstance(source.data, dict) and isinstance(source.data.get("ojob"), dict)
        ]
        for source in sources:
            self._read_jobs(source)
            self.diagnostics += zone_faults(source)
            self.diagnostics += shortcut_faults(source)
            self.diagnostics += help_faults(source)
            self.diagnostics += languages.faults(source) if languages else ()
            self._read_modules(source)
            self._check_args(source, ("init",), _map(source.data).get("init"))
        for job in self._all:
            self._check_job(job)
        for settings in self._common:
            if isinstance(settings.data.get("catch"), str) and self._is_handler(settings):
                self._compile(settings, ("ojob", "catch"))
        todo = [mention for source in sources for mention in self._read_todo(source)]
        if whole:
            self._check_names(todo)
            self._check_order(todo)
        if whole and places:
            self._check_configs(sources)

    def _is_handler(self, job: RawJob) -> bool:
        """Tells whether what stands under `catch` is code, rather than the name of a job."""
        text = job.data.get("catch")
        if not isinstance(text, str) or text in self._jobs:
            return False
        return self._languages is None or self._languages.is_code(job.source, job.data, text)

    def _read_jobs(self, source: Source) -> None:
        first: dict[str, RawJob] = {}
        for at, data in enumerate(_maps(source.data, "jobs")):
            name = data.get("name")
            job = RawJob(name if isinstance(name, str) else "", source, ("jobs", at), data)
            if job.name in first:
                line = source.position(first[job.name].path).line
                said = f"there is another job {job.name!r} in line {line}"
                self.diagnostics.append(
                    source.diagnostic((*job.path, "name"), said, "rename one of them")
                )
            self._all.append(job)
            if job.name:
                first.setdefault(job.name, job)
                self._jobs[job.name] = job

    def _read_modules(self, source: Source) -> None:
        given = _map(source.data).get("code")
        for file, text in given.items() if isinstance(given, dict) else ():
            name, path = module_name(file), ("code", file)
            if name is None:
                said = f"`{file}` is no module of Python"
                hint = "name it like `helpers.py`, or put code of other languages under `exec`"
                self.diagnostics.append(source.diagnostic(path, said, hint, at_key=True))
            elif isinstance(text, str) and self._languages is not None:
                try:
                    self.modules[name] = compile_module(source, path, text)
                except JobFileError as error:
                    self.diagnostics += error.diagnostics

    def _read_todo(self, source: Source) -> Iterator[Mention]:
        entries = source.data.get("todo") if isinstance(source.data, dict) else None
        for at, entry in enumerate(entries if isinstance(entries, list) else []):
            path: DocumentPath = ("todo", at)
            if isinstance(entry, str) and entry:
                yield Mention(entry, source, path)
            elif isinstance(entry, dict):
                self._check_args(source, (*path, "args"), entry.get("args"))
                self._check_manner(source, path, entry)
                for key in ("name", "job"):
                    if isinstance(entry.get(key), str) and entry[key]:
                        yield Mention(entry[key], source, (*path, key))

    def _check_manner(self, source: Source, path: DocumentPath, entry: Mapping[str, Any]) -> None:
        """Checks how a todo entry has its job run, together with what the job says of that."""
        given = _map(entry.get("typeArgs"))
        self._check_args(source, (*path, "typeArgs", "lock"), given.get("lock"))
        job = self._jobs.get(str(entry.get("name") or entry.get("job")))
        if job is None or (entry.get("type") is None and not given):
            return
        self.diagnostics += manner_faults(source, path, entry, job.data)
        if self._languages is None or given.get("timeout") is None:
            return
        if self._languages.of(job.source, job.data) == PYTHON:
            where = (*path, "typeArgs", "timeout")
            self.diagnostics.append(source.diagnostic(where, *NO_TIMEOUT, at_key=True))

    def _check_each(self, job: RawJob) -> None:
        if job.data.get("each") is None or self._languages is None:
            return
        if (name := self._languages.of(job.source, job.data)) != PYTHON:
            said = f"`each` is for Python; the code of this job is {name}"
            hint = "write the job in Python, or launch the jobs"
            diagnostic = job.source.diagnostic((*job.path, "each"), said, hint, at_key=True)
            self.diagnostics.append(diagnostic)

    def _check_job(self, job: RawJob) -> None:
        self.diagnostics += rule_faults(job.source, job.path, job.data)
        self._check_each(job)
        faults = list(file_faults(job.source, job.path, job.data))
        self.diagnostics += faults
        if job.data.get("type") == "jobs" and not faults:
            path: DocumentPath = (*job.path, "typeArgs", "file")
            self.other_files.append(Mention(_map(job.data["typeArgs"])["file"], job.source, path))
        self._check_args(job.source, (*job.path, "args"), job.data.get("args"))
        for key in ("exec", "catch"):
            if isinstance(job.data.get(key), str) and (key == "exec" or self._is_handler(job)):
                self._compile(job, (*job.path, key))
        self.diagnostics += timing_faults(job.source, job.path, job.data)
        self.diagnostics += watch_faults(job.source, job.path, job.data)
        self.diagnostics += lock_faults(job.source, job.path, job.data)
        if self._languages is not None:
            self.diagnostics += self._languages.process_faults(job.source, job.path, job.data)
        given = job.data.get("typeArgs")
        if isinstance(given, dict):
            self._check_args(job.source, (*job.path, "typeArgs", "lock"), given.get("lock"))
        stop_when = given.get("stopWhen") if isinstance(given, dict) else None
        if isinstance(stop_when, str):
            path = (*job.path, "typeArgs", "stopWhen")
            self._compile(job, path, is_value=True)

    def _compile(self, job: RawJob, path: DocumentPath, *, is_value: bool = False) -> None:
        if self._languages is None:
            return
        title = job.name or str(path[-1])
        try:
            block = self._languages.block(job.source, path, job.data, title, is_value=is_value)
        except JobFileError as error:
            self.diagnostics += error.diagnostics
            return
        if block is None:
            return
        self.blocks[job.source.name, path] = block
        for opening in block.openings:
            for fault in config_faults(opening.config):
                if fault.here:
                    continue  # code may be prepared for it
                diagnostic = job.source.diagnostic(path, fault.message, fault.hint)
                self.diagnostics.append(
                    diagnostic._replace(line=opening.line, column=opening.column)
                )
        for call in block.calls if self._whole else ():
            if call.job not in self._jobs:
                diagnostic = job.source.diagnostic(path, *self._unknown(call.job, job.source))
                self.diagnostics.append(diagnostic._replace(line=call.line, column=call.column))

    def _check_args(self, source: Source, path: DocumentPath, value: Any) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                self._check_scalar(source, (*path, key), key, at_key=True)
                self._check_args(source, (*path, key), part)
        elif isinstance(value, list):
            for at, part in enumerate(value):
                self._check_args(source, (*path, at), part)
        else:
            self._check_scalar(source, path, value)
            for template in faulty_templates(value) if isinstance(value, str) else ():
                self.diagnostics.append(source.diagnostic(path, *_about_template(template)))

    def _check_scalar(
        self, source: Source, path: DocumentPath, value: Any, *, at_key: bool = False
    ) -> None:
        try:
            check_value({value: None} if at_key else value)
        except InvalidValue as error:
            number = isinstance(value, int | float)
            hint = "put quotes around it" if number else "args are JSON documents: write it without"
            self.diagnostics.append(source.diagnostic(path, error.reason, hint, at_key=at_key))

    def _check_names(self, todo: list[Mention]) -> None:
        mentions = [one for job in self._all for one in job.mentions("deps", "from", "to", "each")]
        mentions += (
            one
            for job in (*self._all, *self._common)
            for one in job.mentions("catch")
            if not self._is_handler(job)
        )
        for name, source, path in mentions + todo:
            if name in self._jobs:
                continue
            said, hint = self._unknown(name, source)
            if "catch" in path and not has_no_effect(name):
                hint = "code under `catch` stands alone, not in a list"
            self.diagnostics.append(source.diagnostic(path, said, hint))

    def _unknown(self, name: str, source: Source) -> tuple[str, str]:
        """Says that there is no job of that name, and what to do: it may be a bundled one."""
        said = f"there is no job {name!r}"
        bundled = bundled_jobs()
        if name in NOT_BUNDLED:
            return f"this version has no job {name!r}", NOT_BUNDLED[name]
        if name in bundled:
            said += " in this file, but there is in a bundled pack"
            return said, f"add {_include(bundled[name], source)}"
        hint = did_you_mean(name, self._jobs) or "write it below `jobs`"
        for between, advice in _JOINED.items():
            names = [one.strip() for one in name.split(between)]
            if len(names) > 1 and all(one in self._jobs or one in bundled for one in names):
                hint = f"{advice}: [{', '.join(names)}]"
        meant = closest(name, {**bundled, **self._jobs})
        if meant in bundled and meant not in self._jobs:
            hint = f"did you mean `{meant}`? For it, add {_include(bundled[meant], source)}"
        return said, hint

    def _check_order(self, todo: list[Mention]) -> None:
        parts = {name: job.names("from", "to") for name, job in self._jobs.items()}
        waits = {name: [one.name for one in self._deps(name, parts)] for name in self._jobs}
        for graph, keys, what, alone in (
            (parts, ("from", "to"), "these jobs are parts of each other", "is part of itself"),
            (waits, ("deps", "from", "to"), "these jobs wait for each other", "waits for itself"),
        ):
            for circle in circles(graph):
                job = self._jobs[circle[0]]
                mentions = {one.name: one.path for one in reversed(job.mentions(*keys))}
                path = mentions.get(circle[1], (*job.path, "name"))
                said, hint = f"{what}: {' -> '.join(circle)}", "take one of them out"
                if len(circle) == 2:
                    by = "" if circle[1] in mentions else ", by one of its parts"
                    said, hint = f"{job.name!r} {alone}{by}", "take it out"
                self.diagnostics.append(job.source.diagnostic(path, said, hint))
        if next(circles(parts), None) is None:
            self._check_sizes(parts)
        called = {one.name: self._put_off_to(one) for one in todo if one.name in self._jobs}
        called |= {one.name: None for one in todo if self._put_off_to(one) is None}
        for name in sorted(called.keys() & self._jobs.keys()):
            for dep, source, path in self._deps(name, parts):
                if dep in self._jobs and dep not in called:
                    said = f"{name!r} is in the todo, but {dep!r}, for which it waits, is not"
                    self.diagnostics.append(
                        source.diagnostic(path, said, f"add {dep!r} to the todo")
                    )
                elif when := called.get(dep):
                    said = f"{name!r} waits for {dep!r}, which is not run by the todo, but {when}"
                    self.diagnostics.append(source.diagnostic(path, said, "take it out"))

    def _put_off_to(self, call: Mention) -> str | None:
        if call.name not in self._jobs:
            return None
        return put_off_to(call.source.data["todo"][call.path[1]], self._jobs[call.name].data)

    def _check_sizes(self, parts: Mapping[str, list[str]]) -> None:
        """Refuses jobs whose parts name each other so often that they would hardly come to an end.

        Told are the smallest of them, not those that they are part of.
        """
        sizes = unfolded(parts)
        for name, job in self._jobs.items():
            if sizes[name] > _MOST_STEPS >= max(sizes[one] for one in parts[name]):
                mention = job.mentions("from", "to")[0]
                count = f"{sizes[name]:,}" if sizes[name] < 10**12 else "over 10^12"
                said = f"by its parts, and theirs, {name!r} has {count} steps"
                hint = f"{_MOST_STEPS:,} are the most: name each part less often"
                self.diagnostics.append(job.source.diagnostic(mention.path, said, hint))

    def _check_configs(self, sources: list[Source]) -> None:
        """Checks where the channels of the manager are to be, in the args of what opens them."""
        parts = {name: job.names("from", "to") for name, job in self._jobs.items()}
        opening = [name for name in self._jobs if INIT in reach(parts, name)]
        for job in self._all:
            if job.name in opening:
                path = (*job.path, "args")
                self.diagnostics += faults_in_args(job.source, path, job.data.get("args"))
        for source in sources:
            for at, entry in enumerate(_maps(source.data, "todo")):
                if entry.get("name") in opening or entry.get("job") in opening:
                    path = ("todo", at, "args")
                    self.diagnostics += faults_in_args(source, path, entry.get("args"))

    def _deps(self, name: str, parts: Mapping[str, list[str]]) -> list[Mention]:
        """What a job waits for, itself or by one of the jobs that are parts of it."""
        return [
            mention
            for part in reach(parts, name)
            if part in self._jobs
            for mention in self._jobs[part].mentions("deps")
        ]


def _about_template(template: str) -> tuple[str, str]:
    literally = "a backslash before it takes it literally"
    if template in ("${", "{{"):
        closing = {"${": "}", "{{": "}}"}[template]
        said = f"`{template}` opens a template that is not closed, or has braces inside"
        return said, f"close it with `{closing}`; {literally}"
    return f"`{template}` is no template", f"write {{{{name}}}} or ${{name:-default}}; {literally}"


def _map(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _maps(data: Any, key: str) -> list[dict[str, Any]]:
    """The list under a key, with an empty map for each element that is none."""
    found = data.get(key) if isinstance(data, dict) else None
    return (
        [one if isinstance(one, dict) else {} for one in found] if isinstance(found, list) else []
    )


def _include(pack: str, source: Source) -> str:
    """How to include a pack in a file, in words that go on a sentence."""
    data = source.data if isinstance(source.data, dict) else {}
    return f"`{pack}` to `include`" if data.get("include") else f"`include: [{pack}]`"
