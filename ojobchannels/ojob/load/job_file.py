"""A loaded job file: its jobs and its todo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType
from typing import Any, Final, NamedTuple

from ojobchannels.alerts.rules import Alert
from ojobchannels.manager.schedules.rules import ScheduleRules
from ojobchannels.ojob.args.known_args import KnownArgs
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.args.rules import Rule
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.load.file_help import Help
from ojobchannels.ojob.load.graph import in_order, reach
from ojobchannels.ojob.schema.model import OnTimeout
from ojobchannels.ojob.schema.settings import SettingsSpec

INIT: Final = "oJobManager Init"
START: Final = "oJobManager Job Start"
END: Final = "oJobManager Job End"
ERROR: Final = "oJobManager Error"

LOCKS: Final = "oJob::locks"
"""The default channel of locks, in the memory of this process."""

TURNS: Final = "oJob::single"
"""The channel, in the same memory, of the locks of `single` jobs."""


@dataclass(frozen=True, slots=True)
class ScheduleSpec(ScheduleRules):
    """The schedule of a periodic job.

    Attributes:
        once: Whether each fire time of an unmanaged job is run on one server only.
        overlaps: Whether a call may start while the previous one is running.
        stop_when: The code that ends the schedule by returning a true value.
    """

    once: bool
    overlaps: bool
    stop_when: Block | None = field(repr=False)


class LockSpec(NamedTuple):
    """The locks that a call of a job holds while it runs.

    Attributes:
        single: Whether other calls of the job in this run wait.
        lock: The name of a lock, with templates; None for no lock.
        channel: The channel of that lock.
    """

    single: bool
    lock: str | None
    channel: str


@dataclass(frozen=True)
class Job:
    """A job as a file declares it, with its code.

    Attributes:
        args: Its own arguments, with templates.
        before: The jobs under `from`.
        body: The code under `exec`.
        after: The jobs under `to`.
        catch: The jobs under `catch`; empty if there is code, which is the `handler`.
        where: The file and line of its declaration.
        bundled: Whether it comes from a bundled pack.
        watched: The channel whose changes call it.
        at_end: Whether it runs at the end of the run.
        timeout: Timeout of its code in seconds.
        on_timeout: What happens then, and at the timeout of its run, if the file says so.
        quiet: Whether its start and its end are not logged unless it fails.
        is_async: Whether the todo continues while it runs.
        when: The states of the run in which it runs; empty for all.
        each: The jobs that its code may call in parallel, up to `each_threads` at a time.
        rules_in: Rules for its args before its code; `rules_out` apply after it.
        file: The job file that it runs instead of code.
    """

    name: str
    deps: tuple[str, ...]
    args: Mapping[str, Any] = field(repr=False)
    before: tuple[str, ...]
    body: Block | None = field(repr=False)
    after: tuple[str, ...]
    catch: tuple[str, ...]
    handler: Block | None = field(repr=False)
    where: str
    bundled: bool
    schedule: ScheduleSpec | None
    watched: str | None
    at_end: bool
    timeout: float | None
    on_timeout: OnTimeout | None
    locks: LockSpec | None
    quiet: bool
    is_async: bool
    when: tuple[str, ...]
    each: tuple[str, ...]
    each_threads: int | None
    rules_in: tuple[Rule, ...] = field(repr=False)
    rules_out: tuple[Rule, ...] = field(repr=False)
    file: str | None

    @property
    def is_for_now(self) -> bool:
        """Whether the todo runs it at once."""
        return self.schedule is None and self.watched is None and not self.at_end


class Todo(NamedTuple):
    """One entry of the todo: a job, and one map of arguments for each call of it.

    Attributes:
        job: The name of the job.
        variant: The job as this entry runs it.
        calls: The args of each call.
    """

    job: str
    variant: Job
    calls: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class JobFile:
    """A checked job file, with all files that it includes.

    Attributes:
        name: The path of the file, as the caller gave it.
        digest: A hash of all files, by which servers compare what they run.
        files: The names of all files, in the order in which their jobs count.
        init: What every job finds in `args.init`, with templates.
        modules: The modules that code can import, by name.
        settings: The settings of the run: each key from the last of the files that has it.
        known_args: The args that may be passed to the run.
        catch: The jobs under `ojob.catch`; empty if there is code, which is the `handler`.
        folder: The folder against which relative paths of job files count.
    """

    name: str
    digest: str
    files: tuple[str, ...]
    jobs: Mapping[str, Job] = field(repr=False)
    todo: tuple[Todo, ...] = field(repr=False)
    init: Mapping[str, Any] = field(repr=False)
    modules: Mapping[str, CodeType] = field(repr=False)
    help: Help = field(repr=False)
    settings: SettingsSpec
    known_args: KnownArgs = field(repr=False)
    catch: tuple[str, ...]
    handler: Block | None = field(repr=False)
    folder: Path = field(default=Path(), repr=False)

    @property
    def lasts(self) -> bool:
        """Whether its run lasts until it is stopped: as a daemon, or to await times or changes."""
        variants = (entry.variant for entry in self.todo)
        return self.settings.daemon or any(job.schedule or job.watched for job in variants)

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The names of args that the file declares as secret."""
        rules = (rule for job in self.jobs.values() for rule in (*job.rules_in, *job.rules_out))
        declared = {rule.path[-1] for rule in rules if rule.is_secret}
        return frozenset(declared | {one.name for one in self.help.expects.values() if one.secret})

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """The rules of what is reported."""
        return tuple(spec.rule() for spec in self.settings.alerts)

    @property
    def threads(self) -> int:
        """The maximum number of launched jobs that run at the same time."""
        return self.settings.num_threads

    @property
    def base(self) -> list[Layer]:
        """The args of every job, below all others."""
        return [Layer({"init": self.init}, True)] if self.init else []

    def parts_of(self, name: str) -> list[str]:
        """Return a job and all its parts, through the `from` and `to` of each other."""
        return reach(self._parts, name)

    def opens_manager(self, name: str) -> bool:
        """Whether a job configures the channels of the manager, rather than only use them."""
        return INIT in reach({**self._parts, START: ()}, name)

    @cached_property
    def _parts(self) -> dict[str, tuple[str, ...]]:
        return {job.name: (*job.before, *job.after) for job in self.jobs.values()}

    def deps_of(self, name: str) -> list[str]:
        """Return the dependencies of a job and of its parts."""
        found = (dep for part in self.parts_of(name) for dep in self.jobs[part].deps)
        return list(dict.fromkeys(found))

    def ordered_todo(self) -> list[Todo]:
        """Return the todo in its order, except for entries that depend on later ones."""
        entries: dict[str, list[int]] = {}
        for at, entry in enumerate(self.todo):
            entries.setdefault(entry.job, []).append(at)
        waits = {
            at: [other for dep in self.deps_of(entry.job) for other in entries.get(dep, ())]
            for at, entry in enumerate(self.todo)
        }
        return [self.todo[at] for at in in_order(waits)]
