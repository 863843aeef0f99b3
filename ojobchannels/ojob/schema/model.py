"""What a job file may contain, declared once: for the check, and to describe the format.

Keys of the published oJob format that are not supported are listed too, so that they are refused by
name instead of being taken for misspellings.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from ojobchannels.manager.schedules.rules import Misfire
from ojobchannels.ojob.schema import unsupported
from ojobchannels.ojob.schema.base import (
    Code,
    Expected,
    Flag,
    JobsOrCode,
    Milliseconds,
    Names,
    RuleMap,
    Spec,
    Text,
    Threads,
    as_list,
    as_rule,
)
from ojobchannels.ojob.schema.settings import SettingsSpec

Args = Annotated[dict[str, Any], Expected(hint="write `key: value` below it")]
ArgsOfCalls = Annotated[
    list[Args],
    BeforeValidator(as_list, json_schema_input_type=Args | list[Args]),
    Expected("a map or a list of maps", "write `key: value` below it"),
]
Rules = Annotated[
    dict[Text, Annotated[Text, BeforeValidator(as_rule, json_schema_input_type=Text | RuleMap)]],
    Expected(hint="write `name: isString` below it"),
]
Scalar = str | int | float | bool
JobType = Literal["simple", "periodic", "subscribe", "shutdown", "jobs"]
OnTimeout = Literal["warn", "fail", "kill"]


class ShortcutSpec(Spec):
    """A short form in which todo entries may call a job."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.SHORTCUT

    name: Text
    """The name of the shortcut. An entry writes it in parentheses, as its key."""
    key_arg: Text
    """The argument that receives the value of that key."""
    args: dict[Text, Text] = Field(default={})
    """Further keys, which an entry writes in double parentheses, each with the argument that
    receives its value."""


class TypeArgsSpec(Spec):
    """How a job is run."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.TYPE_ARGS
    home: ClassVar[str] = "below `typeArgs`"

    lang: Text | None = None
    """The [language](#languages) of the job's code."""
    timeout: Milliseconds | None = None
    """Timeout of the job's code in milliseconds; see [Timeouts](#timeouts)."""
    on_timeout: OnTimeout | None = None
    """What happens when `timeout`, here or in the `args` of a managed job, is exceeded: `warn`,
    `fail` or `kill`; see [Timeouts](#timeouts)."""
    pwd: Text | None = None
    """The working directory of shell code, relative to the current directory."""
    single: Flag = False
    """Run at most one call of the job at a time in this process; see [Locks of
    jobs](#locks-of-jobs)."""
    async_: Flag = False
    """Continue with the todo while the job is running."""
    lock: Text | None = None
    """The name of a lock that the job holds while it runs."""
    lock_ch: Text | None = None
    """The channel of that lock: one that an earlier job opened, or `oJobManager-locks`. By default,
    a channel in the memory of this process."""
    no_log: Flag = False
    """Do not log when the job starts and ends. Failed and skipped runs are always logged."""
    cron: Text | None = None
    """When the job runs: a cron expression of five fields, or of six with seconds first."""
    time_interval: Milliseconds | None = None
    """Run the job every N milliseconds, at multiples of N since 1970 (UTC)."""
    misfire: Misfire = "latest"
    """Which missed fire times are run later, when a process is running again: the `latest`, `all`
    or `none`."""
    jitter: Milliseconds | None = None
    """Delay each fire time by up to this number of milliseconds, so that jobs with the same times
    do not start together. The delay follows from name and fire time, so all servers agree."""
    overdue_after: Milliseconds | None = None
    """The milliseconds after a fire time from which the schedule counts as overdue if no run has
    begun; by default 60000."""
    once: Flag = False
    """Run each fire time on one server only, even if the job is not managed."""
    wait_for_finish: Flag = True
    """Skip a fire time while the previous run is still active. With `false`, runs of an unmanaged
    job may overlap."""
    ch_subscribe: Text | None = None
    """The channel whose changes call a job of `type: subscribe`."""
    when: Names = Field(default=[])
    """The [states](#states) of the run in which the job runs: a name, or a list. In other states it
    is skipped."""
    each_threads: Threads | None = None
    """The maximum number of `each(args)` calls that run at the same time, 1 to 1000. By default,
    `numThreads`."""
    file: Text | None = None
    """The job file that a job of `type: jobs` runs, relative to this file."""
    shortcut: ShortcutSpec | None = None
    """A short form of todo entries for the job; [keys](#shortcuts)."""
    stop_when: Code | None = None
    """An expression, or code that returns a value. It is evaluated before each run; a true value
    ends the schedule."""


class CheckSpec(Spec):
    """Rules for the arguments of a job."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.CHECK

    in_: Rules = Field(default={})
    """Rules that apply before `exec`, by argument name."""
    out: Rules = Field(default={})
    """Rules that apply after `exec`, by argument name."""


class JobSpec(Spec):
    """One job: its code, what runs before and after it, and what runs when it fails."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.JOB
    home: ClassVar[str] = "in a job: write it below `jobs`, after `- name: …`"

    name: Text
    """The name by which the todo and other jobs call it."""
    type: JobType | None = None
    """`simple`: run the job once for each todo entry. `periodic`: run it at the times given in
    `typeArgs`; this is the default if `typeArgs` gives any. `subscribe`: call it for each [change
    of a channel](#jobs-for-changes). `shutdown`: run it at the end of the run. `jobs`: run [another
    job file](#job-files-as-jobs)."""
    type_args: TypeArgsSpec = Field(default_factory=TypeArgsSpec)
    """How the job is run; [keys](#typeargs)."""
    lang: Text | None = None
    """The [language](#languages) of its code; the same as `typeArgs.lang`."""
    deps: Names = Field(default=[])
    """Jobs that must have completed before this one starts: a name, or a list."""
    args: Args = Field(default={})
    """Its arguments: a map of JSON values. [Templates](#templates) in it are rendered."""
    from_: Names = Field(default=[])
    """Jobs whose code runs before `exec`: a name, or a list."""
    exec: Code = ""
    """Its code."""
    to: Names = Field(default=[])
    """Jobs whose code runs after `exec`: a name, or a list."""
    each: Names = Field(default=[])
    """Jobs that its code calls [in parallel](#jobs-side-by-side) with `each(args)`: a name, or a
    list."""
    check: CheckSpec = Field(default_factory=CheckSpec)
    """Rules for its `args` before and after `exec`; [keys](#rules-for-args)."""
    catch: JobsOrCode = Field(default=[])
    """What to run when one of these steps fails: a job, a list of jobs, or code."""


class TodoSpec(Spec):
    """One entry of the todo: a job and the arguments of this call. A bare name is short for one."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.TODO

    name: Text | None = None
    """The job; either this or `job`."""
    job: Text | None = None
    """The same as `name`."""
    args: ArgsOfCalls = Field(default=[{}])
    """Arguments of this call; a list of maps makes one call for each."""
    when: Names = Field(default=[])
    """The [states](#states) of the run in which the call is made: a name, or a list. In other
    states it is skipped."""
    type: JobType | None = None
    """The type of the job for this call, instead of its own."""
    type_args: TypeArgsSpec = Field(default_factory=TypeArgsSpec)
    """How the job is run this time. Each key replaces the job's own [key](#typeargs); `lang`,
    `pwd`, `eachThreads`, `file` and `stopWhen` cannot be replaced."""

    @property
    def called(self) -> str:
        """The name of the job."""
        return self.name or self.job or ""

    def applied_to(self, job: JobSpec) -> JobSpec:
        """Return the job as this entry runs it."""
        changes = {name: getattr(self.type_args, name) for name in self.type_args.model_fields_set}
        if self.when:
            changes["when"] = self.when
        type_args = job.type_args.model_copy(update=changes)
        return job.model_copy(update={"type": self.type or job.type, "type_args": type_args})

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, str):
            return {"name": data}
        return _expanded(data, info.context) if info.context else data

    @model_validator(mode="after")
    def _one_job(self) -> "TodoSpec":
        if (self.name is None) is (self.job is None):
            raise PydanticCustomError(
                "one_job", "expected either `name` or `job`; write one of them"
            )
        return self


Shortcuts: TypeAlias = Mapping[str, tuple[str, ShortcutSpec]]
"""Shortcuts by name, each with the name of the job that declares it."""

_MAIN: Final = re.compile(r"\(\s*([^()]*?)\s*\)?")
_OTHER: Final = re.compile(r"\(\(\s*([^()]*?)\s*\)*")


def _expanded(entry: Any, known: Shortcuts) -> Any:
    """Return a todo entry such as ``(greet): Ann`` in its full form.

    An entry whose shortcut is unknown stays as it is, and so does a key that is not part of it.
    """
    if not isinstance(entry, dict) or entry.keys() & {"name", "job", "args"}:
        return entry
    mains = ((key, _MAIN.fullmatch(key)) for key in entry)
    found = [(key, *known[main[1]]) for key, main in mains if main and main[1] in known]
    if len(found) != 1:
        return entry
    ((key, job, shortcut),) = found
    args: dict[str, Any] = {shortcut.key_arg: entry[key]}
    rest: dict[str, Any] = {}
    for name, value in entry.items():
        other = _OTHER.fullmatch(name)
        if other and other[1] in shortcut.args:
            args[shortcut.args[other[1]]] = value
        elif name != key:
            rest[name] = value
    return {"name": job, "args": args, **rest}


class ExpectSpec(Spec):
    """An argument that a job file expects."""

    name: Text
    """The name of the argument."""
    desc: str = Field(default="", strict=True)
    """What it means."""
    example: Scalar | None = None
    """An example of its value."""
    mandatory: Flag = False
    """Whether the argument is required; without it nothing runs."""
    secret: Flag = False
    """Whether messages and run records show `***` in place of its value; there is no
    prompt for it."""
    options: list[Scalar] = Field(default=[])
    """The allowed values; the argument must be one of them."""
    moptions: list[Scalar] = Field(default=[])
    """The allowed values of an argument that takes several: a list, or a comma-separated
    string."""


class HelpSpec(Spec):
    """What `ojob run FILE --help` shows."""

    text: str = Field(default="", strict=True)
    """What the file is for."""
    expects: list[ExpectSpec] = Field(default=[])
    """The arguments that it takes from the command line."""


Entries = Annotated[list[TodoSpec], Expected(hint="write the name of each job after a dash")]


class FileSpec(Spec):
    """A job file."""

    home: ClassVar[str] = "at the top level of the file: do not indent it"

    help: HelpSpec | None = None
    """The [help text](#help) of the file, and the arguments it takes."""
    init: Args = Field(default={})
    """A map that every job gets as `args.init`. [Templates](#templates) in it are rendered."""
    code: Annotated[
        dict[Text, str], Expected(hint="write `name.py: |` below it, and the module below that")
    ] = Field(default={})
    """Python [modules](#modules) that code can import."""
    include: Names = Field(default=[])
    """Job files whose jobs and todo come before those of this file: a name, or a list. A bundled
    pack is included by its name, any other file by its path relative to this file."""
    jobs_include: Names = Field(default=[])
    """Job files of which only the jobs are included; the `todo` and `help` of these files, and of
    the files that they include, are ignored."""
    ojob: SettingsSpec = Field(default_factory=SettingsSpec)
    """Settings of the whole run; [keys](#ojob)."""
    jobs: list[JobSpec] = Field(default=[])
    """The jobs."""
    todo: Entries = Field(default=[])
    """What to run, in this order."""
