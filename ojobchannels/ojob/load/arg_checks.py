"""Checks that jobs which use bundled jobs get no args that nothing reads.

The args of a call are one map for all its steps. So an arg is known if a bundled job among the
steps takes it, a rule under `check` declares it, a template uses it, or code reads it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from ojobchannels.errors import Diagnostic, shown
from ojobchannels.ojob.args.known_args import KnownArgs
from ojobchannels.ojob.args.pack_args import CHANNEL
from ojobchannels.ojob.args.pack_jobs import PACK_JOBS
from ojobchannels.ojob.args.templates import has_template
from ojobchannels.ojob.code.python import Call
from ojobchannels.ojob.code.resolver import PYTHON, Languages, find_language
from ojobchannels.ojob.load.channel_configs import MANAGER_CHANNELS, diagnostics_of_config
from ojobchannels.ojob.load.graph import accumulate, reverse
from ojobchannels.ojob.load.job_checks import entry_args
from ojobchannels.ojob.schema.located import FileSpecs, Located
from ojobchannels.ojob.schema.model import JobSpec, TodoSpec
from ojobchannels.ojob.yaml.source import DocumentPath

_GIVEN: Final = frozenset({"init"})
"""Args that every job gets."""


class ArgChecks:
    """Checks the args of jobs, todo entries and calls in code.

    Args:
        files: The files.
        jobs: Their jobs by name.
        parts: The jobs under `from` and `to` of each job.
        languages: The languages of code; None where that is not known.

    Attributes:
        known: The args that each job knows.
    """

    def __init__(
        self,
        files: Sequence[FileSpecs],
        jobs: Mapping[str, Located[JobSpec]],
        parts: Mapping[str, Sequence[str]],
        languages: Languages | None,
    ) -> None:
        self._jobs = jobs
        self._languages = languages
        handlers = [name for file in files for name in file.spec.ojob.catch]
        code = " ".join(handlers)
        self._everywhere = [KnownArgs.of_code(code, "python"), *_templates_of_files(files)]
        steps = {
            name: [*parts.get(name, ()), *job.spec.catch, *(handlers if not job.spec.catch else ())]
            for name, job in jobs.items()
        }
        own = {name: self._own(name, job) for name, job in jobs.items()}
        self.known = accumulate(steps, own, KnownArgs.joined)
        self._in_calls = accumulate(reverse(steps), self.known, KnownArgs.joined)

    def in_todo(self, todo: Sequence[Located[TodoSpec]]) -> KnownArgs:
        """Return the args that may be passed to a run; any that is not a slip for one of these."""
        called = {entry.spec.called for entry in todo}
        read = (known for name, known in self.known.items() if name not in PACK_JOBS)
        packs = (self.known[name] for name in called if name in PACK_JOBS)
        templates = KnownArgs.of_templates([entry.spec.args for entry in todo])
        return KnownArgs.joined([KnownArgs(reads_all=True), templates, *packs, *read])

    def of_job(self, job: Located[JobSpec]) -> Iterator[Diagnostic]:
        """Yield what is wrong with the args of a job."""
        if not job.source.bundled and job.spec.args:
            known = self._in_calls[job.spec.name]
            yield from self._of_args(job, ("args",), job.spec.args, known, job.spec)

    def of_entry(self, entry: Located[TodoSpec]) -> Iterator[Diagnostic]:
        """Yield what is wrong with the args of a todo entry."""
        job = self._jobs.get(entry.spec.called)
        if job is None:
            return
        for steps, args in entry_args(entry):
            known = KnownArgs.joined([self.known[job.spec.name], KnownArgs.of_templates(args)])
            yield from self._of_args(entry, steps, args, known, job.spec)

    def of_call(self, call: Call, where: Located[Any], path: DocumentPath) -> Iterator[Diagnostic]:
        """Yield what is wrong with the literal args of a call in code."""
        known, names = self.known[call.job], {arg.name for arg in call.args}
        if call.job not in PACK_JOBS:  # it may be called with data of which it does not use all
            known = KnownArgs(known.types, known.names, known.words, reads_all=True)
        for arg in call.args:
            if (hint := known.hint_for_unknown(arg.name, names)) is not None:
                found = where.source.diagnostic(path, _unknown(arg.name, call.job), hint)
                yield found._replace(line=arg.line, column=arg.column)

    def _own(self, name: str, job: Located[JobSpec]) -> KnownArgs:
        if job.source.bundled and name in PACK_JOBS:
            return KnownArgs.of_pack_job(name)
        spec = job.spec
        written = self._languages.of(job) if self._languages else PYTHON
        language = getattr(find_language(written), "name", written)
        code = "\n".join([spec.exec, *spec.catch, spec.type_args.stop_when or ""])
        own = [
            KnownArgs.of_code(code, language),
            KnownArgs.of_rules((*spec.check.in_, *spec.check.out)),
            KnownArgs.of_templates([spec.args, spec.type_args.lock]),
            *self._everywhere,
        ]
        if spec.type_args.file is not None:
            own.append(KnownArgs(reads_all=True))
        return KnownArgs.joined(own)

    def _of_args(
        self,
        where: Located[Any],
        steps: DocumentPath,
        args: Mapping[str, Any],
        known: KnownArgs,
        job: JobSpec,
    ) -> Iterator[Diagnostic]:
        first = self._first_types(job)
        for name, value in args.items():
            path = (*steps, name)
            if name not in _GIVEN and (hint := known.hint_for_unknown(name, args)) is not None:
                yield where.diagnostic(path, _unknown(name, job.name), hint, at_key=True)
                continue
            types = known.types.get(name, ()) if name not in known.words else first.get(name, ())
            if CHANNEL in types and name not in MANAGER_CHANNELS:
                yield from diagnostics_of_config(where, path, value)
            if value is None or not types or has_template(str(value)):
                continue
            if not any(type.accepts(value) for type in types):
                message = f"`{name}` is {shown(value, secret=False)}"
                yield where.diagnostic(path, message, types[0].advice)

    def _first_types(self, job: JobSpec) -> dict[str, tuple[Any, ...]]:
        """Return the types of the args that bundled jobs read before any code can change them."""
        if job.name in PACK_JOBS:
            return {name: (type,) for name, type in PACK_JOBS[job.name].types.items()}
        first = takewhile(PACK_JOBS.__contains__, job.from_)
        return dict(self._types_of(*first))

    def _types_of(self, *names: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for name in names:
            for arg, type in PACK_JOBS[name].types.items():
                yield arg, (type,)


def _templates_of_files(files: Sequence[FileSpecs]) -> Iterator[KnownArgs]:
    for file in files:
        if file.spec.init:
            yield KnownArgs.of_templates(file.spec.init)


def _unknown(arg: str, job: str) -> str:
    if job in PACK_JOBS:
        return f"{job!r} has no arg `{arg}`"
    return f"no step of {job!r} reads the arg `{arg}`"
