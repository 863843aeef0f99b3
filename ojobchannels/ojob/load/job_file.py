"""A job file that was checked: its jobs and its todo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.args.rules import Rule
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.load.file_help import Help
from ojobchannels.ojob.load.graph import in_order, reach
from ojobchannels.ojob.load.lock_spec import LockSpec
from ojobchannels.ojob.load.manager_jobs import INIT, START
from ojobchannels.ojob.load.schedule_spec import ScheduleSpec
from ojobchannels.ojob.schema.settings import LogToFileSpec


@dataclass(frozen=True)
class Job:
    """A job as a file declares it, its code compiled.

    Attributes:
        name: Its name.
        deps: The jobs that it waits for.
        args: Its own arguments, templates and all.
        before: The jobs under `from`.
        body: The code under `exec`.
        after: The jobs under `to`.
        catch: The jobs under `catch`, or none where code stands there.
        handler: The code under `catch`.
        where: The file and line that declare it.
        bundled: Whether it comes from a bundled pack.
        schedule: When it runs, if that is at times.
        watched: The channel for whose changes it runs, if it does.
        at_end: Whether it runs when the run ends.
        timeout: Seconds after which its code is ended, where the language can be.
        locks: What it must have to itself while it works.
        quiet: Whether its start and its end are not told, as long as all goes well.
        is_async: Whether the todo goes on while it is at work.
        when: The states of the run in which it runs; none for all.
        each: The jobs that its code may call side by side.
        each_threads: How many of these calls run at the same time, if it says so.
        rules_in: What its args have to be before its code.
        rules_out: What they have to be after it.
        file: The job file that it is, in place of code.
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
        """Whether the todo runs it when it comes to it."""
        return self.schedule is None and self.watched is None and not self.at_end


@dataclass(frozen=True)
class Todo:
    """One entry of the todo: a job, and one map of arguments for each call of it.

    Attributes:
        job: The name of the job.
        variant: The job as this entry has it run.
        calls: The args of each call.
        where: The file and line of the entry.
    """

    job: str
    variant: Job
    calls: tuple[Mapping[str, Any], ...]
    where: str


@dataclass(frozen=True)
class JobFile:
    """A job file and all that it includes, checked.

    Attributes:
        name: The file, as it was asked for.
        files: The names of all files, in the order in which their jobs count.
        jobs: The jobs by name.
        todo: What to run.
        threads: How many launched jobs run at the same time.
        init: What every job finds in `args.init`, templates and all.
        modules: The modules that code can import, by name.
        help: What it says of itself.
        daemon: Whether the run goes on after the todo.
        id: What tells its runs from those of other files, or None.
        unique: The file by which one run of it keeps others out, or None.
        is_async: Whether the calls of the todo are made side by side.
        deps_timeout: How many milliseconds a call waits for those that it depends on.
        timezone: The name of the time zone of its schedules.
        log_files: The log files to which it also tells what happens.
        log_to_console: Whether it tells on the console what happens.
    """

    name: str
    files: tuple[str, ...]
    jobs: Mapping[str, Job] = field(repr=False)
    todo: tuple[Todo, ...] = field(repr=False)
    init: Mapping[str, Any] = field(repr=False)
    modules: Mapping[str, CodeType] = field(repr=False)
    help: Help = field(repr=False)
    threads: int
    daemon: bool
    id: str | None
    unique: str | None
    is_async: bool
    deps_timeout: int | None
    timezone: str
    log_files: LogToFileSpec | None
    log_to_console: bool

    @property
    def base(self) -> list[Layer]:
        """The args of every job, before all others."""
        return [Layer({"init": self.init}, True)] if self.init else []

    def parts_of(self, name: str) -> list[str]:
        """Returns a job and all that are part of it, by the `from` and `to` of one another."""
        return reach(self._parts, name)

    def opens_manager(self, name: str) -> bool:
        """Tells whether a job says where the manager's channels are, rather than only use them."""
        return INIT in reach({**self._parts, START: ()}, name)

    @cached_property
    def _parts(self) -> dict[str, tuple[str, ...]]:
        return {job.name: (*job.before, *job.after) for job in self.jobs.values()}

    def deps_of(self, name: str) -> list[str]:
        """Returns what a job waits for, itself or by one of its parts."""
        found = (dep for part in self.parts_of(name) for dep in self.jobs[part].deps)
        return list(dict.fromkeys(found))

    def ordered_todo(self) -> list[Todo]:
        """Returns the todo in its order, but for entries that have to wait for others behind."""
        deps = [set(self.deps_of(entry.job)) for entry in self.todo]
        waits = {
            at: [other for other, entry in enumerate(self.todo) if entry.job in deps[at]]
            for at in range(len(self.todo))
        }
        return [self.todo[at] for at in in_order(waits)]
