"""Checks that jobs which use bundled jobs get no args that nothing reads.

The args of a call are one map for all its steps. So an arg is known if a bundled job among the
steps takes it, a rule under `check` declares it, a template uses it, or code reads it.
"""

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, Final

from ojobchannels.errors import Diagnostic, shown
from ojobchannels.ojob.args.known_args import KnownArgs
from ojobchannels.ojob.args.pack_args import CHANNEL
from ojobchannels.ojob.args.pack_jobs import PACK_JOBS
from ojobchannels.ojob.args.templates import has_template
from ojobchannels.ojob.code.python import Call
from ojobchannels.ojob.code.resolver import PYTHON, Owner, find_language
from ojobchannels.ojob.load.channel_configs import MANAGER_CHANNELS, diagnostics_of_config
from ojobchannels.ojob.load.code_checks import CODE
from ojobchannels.ojob.load.graph import accumulate, reverse
from ojobchannels.ojob.load.specs import Specs, args_of_calls
from ojobchannels.ojob.schema.located import INVALID, Located
from ojobchannels.ojob.schema.model import JobSpec, TodoSpec
from ojobchannels.ojob.yaml.source import DocumentPath

_GIVEN: Final = frozenset({"init"})
"""Args that every job gets."""


def check_args(specs: Specs) -> Iterator[Diagnostic]:
    """Yield args of jobs, todo entries and calls in code that no job reads."""
    checker = _Checker(specs)
    specs.known_args = checker.in_todo()
    for job in specs.jobs:
        if job.spec.name != INVALID:
            yield from checker.job(job)
    for entry in specs.todo:
        yield from checker.entry(entry)
    for owner in specs.owners():
        for steps in CODE:
            block = specs.block(owner, *steps)
            for call in block.calls if block else ():
                if call.job in specs.by_name:
                    yield from checker.call(call, owner, steps)


class _Checker:
    def __init__(self, specs: Specs) -> None:
        self._jobs = specs.by_name
        self._todo = specs.todo
        self._languages = specs.languages
        handlers = [name for file in specs.files for name in file.spec.ojob.catch]
        self._everywhere = KnownArgs.joined(
            [
                KnownArgs.of_code(" ".join(handlers), PYTHON),
                KnownArgs.of_templates([file.spec.init for file in specs.files]),
            ]
        )
        steps = {
            name: [*specs.parts[name], *job.spec.catch, *(() if job.spec.catch else handlers)]
            for name, job in self._jobs.items()
        }
        own = {name: self._own(name, job) for name, job in self._jobs.items()}
        self._known = accumulate(steps, own, KnownArgs.joined)
        self._in_calls = accumulate(reverse(steps), self._known, KnownArgs.joined)

    def in_todo(self) -> KnownArgs:
        """Return the args that may be passed to a run: any that is not a slip for one of these."""
        called = {entry.spec.called for entry in self._todo}
        packs = (self._known[name] for name in called if name in PACK_JOBS and name in self._known)
        read = (known for name, known in self._known.items() if name not in PACK_JOBS)
        templates = KnownArgs.of_templates([entry.spec.args for entry in self._todo])
        return KnownArgs.joined([KnownArgs(reads_all=True), templates, *packs, *read])

    def job(self, job: Located[JobSpec]) -> Iterator[Diagnostic]:
        """Yield what is wrong with the args of a job."""
        if not job.source.bundled and job.spec.args:
            known = self._in_calls[job.spec.name]
            yield from self._of_args(job, ("args",), job.spec.args, known, job.spec)

    def entry(self, entry: Located[TodoSpec]) -> Iterator[Diagnostic]:
        """Yield what is wrong with the args of a todo entry."""
        job = self._jobs.get(entry.spec.called)
        if job is None:
            return
        for steps, args in args_of_calls(entry):
            known = KnownArgs.joined([self._known[job.spec.name], KnownArgs.of_templates(args)])
            yield from self._of_args(entry, steps, args, known, job.spec)

    def call(self, call: Call, owner: Owner, steps: DocumentPath) -> Iterator[Diagnostic]:
        """Yield what is wrong with the literal args of a call in code."""
        known, names = self._known[call.job], {arg.name for arg in call.args}
        if call.job not in PACK_JOBS:  # it may be called with data of which it does not use all
            known = KnownArgs(known.types, known.names, known.words, reads_all=True)
        for arg in call.args:
            if (hint := known.hint_for_unknown(arg.name, names)) is not None:
                found = owner.diagnostic(steps, _unknown(arg.name, call.job), hint)
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
            self._everywhere,
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


def _unknown(arg: str, job: str) -> str:
    if job in PACK_JOBS:
        return f"{job!r} has no arg `{arg}`"
    return f"no step of {job!r} reads the arg `{arg}`"
