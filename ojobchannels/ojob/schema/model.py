"""What may stand in a job file, declared once: for the check, and to describe the format.

Keys of the published oJob format that this version does not know yet are listed too, so that they
are refused by name instead of being taken for misspellings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ojobchannels.ojob.schema import unsupported
from ojobchannels.ojob.schema.base import Names, Spec, Text, as_list
from ojobchannels.ojob.schema.settings import SettingsSpec

Args = dict[str, Any]
Choice = list[str | int | float | bool]
JobType = Literal["simple", "periodic", "subscribe", "shutdown", "jobs"]


class ShortcutSpec(Spec):
    """In which words a todo entry may call a job."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.SHORTCUT

    name: Text = Field(description="The word, which stands in brackets as the key of an entry.")
    key_arg: Text = Field(alias="keyArg", description="The arg that the value of that key is.")
    args: dict[Text, Text] = Field(
        default={},
        description="Further keys, in double brackets, each with the arg that its value is.",
    )


class TypeArgsSpec(Spec):
    """How a job is to be run."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.TYPE_ARGS

    lang: Text | None = Field(
        default=None, description="The [language](#languages) of the job's code."
    )
    timeout: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        description="After so many milliseconds, code in a language other than Python is "
        "ended, and "
        "the job fails.",
    )
    pwd: Text | None = Field(
        default=None,
        description="The folder in which shell code runs, seen from the current one.",
    )
    single: bool = Field(
        default=False,
        strict=True,
        description="Whether calls of the job in this process take turns; see [Locks of "
        "jobs](#locks-of-jobs).",
    )
    async_: bool = Field(
        default=False,
        alias="async",
        strict=True,
        description="Whether the todo goes on while the job is at work.",
    )
    lock: Text | None = Field(
        default=None,
        description="The name of a lock that the job holds while it works.",
    )
    lock_ch: Text | None = Field(
        default=None,
        alias="lockCh",
        description="The channel of that lock: one that a job before it opened, or "
        "`oJobManager-locks`; without it, one in the memory of this process.",
    )
    no_log: bool = Field(
        default=False,
        alias="noLog",
        strict=True,
        description="Whether the job's start and its end are not told; that it failed, or did not "
        "run, always is.",
    )
    cron: Text | None = Field(
        default=None, description="When it runs, in five fields or, with seconds first, in six."
    )
    time_interval: int | None = Field(
        default=None,
        alias="timeInterval",
        strict=True,
        ge=1,
        description="Runs it at each multiple of so many milliseconds since 1970.",
    )
    misfire: Literal["latest", "all", "none"] = Field(
        default="latest",
        description="Which of the times that nobody was there for are run later: `latest`, "
        "`all` or "
        "`none`.",
    )
    once: bool = Field(
        default=False,
        strict=True,
        description="Whether each time is run on one server only, although the job is not managed.",
    )
    wait_for_finish: bool = Field(
        default=True,
        alias="waitForFinish",
        strict=True,
        description="Whether a time is passed over while the last run is on; with `false`, "
        "runs of an"
        " unmanaged job may overlap.",
    )
    ch_subscribe: Text | None = Field(
        default=None,
        alias="chSubscribe",
        description="The channel for whose changes a job of `type: subscribe` is called.",
    )
    when: Names = Field(
        default=[],
        description="The [states](#states) of the run in which the job runs, else it is skipped: a "
        "name, or a list.",
    )
    each_threads: int | None = Field(
        default=None,
        alias="eachThreads",
        strict=True,
        ge=1,
        le=1000,
        description="How many calls of `each(args)` run at the same time; without it, "
        "`numThreads`.",
    )
    file: Text | None = Field(
        default=None,
        description="The job file that a job of `type: jobs` runs, seen from this file.",
    )
    shortcut: ShortcutSpec | None = Field(
        default=None, description="A short form of todo entries for the job; [keys](#shortcuts)."
    )
    stop_when: str | None = Field(
        default=None,
        alias="stopWhen",
        strict=True,
        description="An expression, or code that returns something: asked before each run, a true "
        "answer ends the schedule.",
    )


class CheckSpec(Spec):
    """What a job demands of its args."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.CHECK

    in_: dict[Text, Text] = Field(
        default={}, alias="in", description="Rules for args before `exec`, by their names."
    )
    out: dict[Text, Text] = Field(
        default={}, description="Rules for args after `exec`, by their names."
    )


class JobSpec(Spec):
    """One job: what it does, and what is done before it, after it, and when it fails."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.JOB

    name: Text = Field(description="The name by which the todo and other jobs call it.")
    type: JobType | None = Field(
        default=None,
        description="`simple`: it runs once for each todo entry; `periodic`: at the times that "
        "`typeArgs` tells, which is meant without a type, too, if there are some; "
        "`subscribe`: for each [change of a channel](#jobs-for-changes); `shutdown`: at "
        "the end of the run; `jobs`: the job is [another job file](#job-files-as-jobs).",
    )
    type_args: TypeArgsSpec = Field(
        default_factory=TypeArgsSpec,
        alias="typeArgs",
        description="How the job is run; [keys](#typeargs).",
    )
    lang: Text | None = Field(
        default=None,
        description="The [language](#languages) of its code; the same as `typeArgs.lang`.",
    )
    deps: Names = Field(
        default=[],
        description="Jobs that must have completed before this one starts: a name, or a list.",
    )
    args: Args = Field(
        default={},
        description="Its arguments: a map of JSON values, in which [templates](#templates) are "
        "rendered.",
    )
    from_: Names = Field(
        default=[],
        alias="from",
        description="Jobs whose code runs before `exec`: a name, or a list.",
    )
    exec: str = Field(default="", strict=True, description="Its code.")
    to: Names = Field(
        default=[], description="Jobs whose code runs after `exec`: a name, or a list."
    )
    each: Names = Field(
        default=[],
        description="Jobs that its code calls [side by side](#jobs-side-by-side), by "
        "`each(args)`: a "
        "name, or a list.",
    )
    check: CheckSpec = Field(
        default_factory=CheckSpec,
        description="What its `args` have to be before and after `exec`; [keys](#rules-for-args).",
    )
    catch: Names = Field(
        default=[],
        description="What to do when one of these steps fails: a job, a list of jobs, or code.",
    )


class TodoSpec(Spec):
    """One entry of the todo: a job, and the arguments of this call. A bare name is one too."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.TODO

    name: Text | None = Field(default=None, description="The job; either this or `job`.")
    job: Text | None = Field(default=None, description="The same as `name`.")
    args: Annotated[
        list[Args], BeforeValidator(as_list, json_schema_input_type=Args | list[Args])
    ] = Field(
        default=[{}], description="Arguments of this call; a list of maps makes one call for each."
    )

    when: Names = Field(
        default=[],
        description="The [states](#states) of the run in which the call is made, else it is "
        "skipped: "
        "a name, or a list.",
    )
    type: JobType | None = Field(
        default=None, description="The type of the job for this call, in place of its own."
    )
    type_args: TypeArgsSpec = Field(
        default_factory=TypeArgsSpec,
        alias="typeArgs",
        description="How the job is run this time, key by key in place of its own "
        "[keys](#typeargs); "
        "`lang`, `pwd`, `eachThreads`, `file` and `stopWhen` stay those of the job.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_a_name(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _one_job(self) -> TodoSpec:
        if (self.name is None) is (self.job is None):
            raise PydanticCustomError("one_job", "expected either `name` or `job`")
        return self


class ExpectSpec(Spec):
    """An argument that a job file expects."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.EXPECT

    name: Text = Field(description="Its name.")
    desc: str = Field(default="", strict=True, description="What it means.")
    example: str | int | float | bool | None = Field(
        default=None, description="A value that it may have."
    )
    mandatory: bool = Field(
        default=False, strict=True, description="Whether nothing runs without it."
    )
    options: Choice = Field(default=[], description="The values of which it has to be one.")
    moptions: Choice = Field(
        default=[],
        description="The values of which it has to be some: a list, or a text with commas between.",
    )


class HelpSpec(Spec):
    """What `ojob run FILE --help` tells of the file."""

    text: str = Field(default="", strict=True, description="What the file is for.")
    expects: list[ExpectSpec] = Field(
        default=[], description="A list of the arguments that it takes from the command line."
    )


class FileSpec(Spec):
    """A job file."""

    help: HelpSpec | None = Field(
        default=None, description="[what the file says of itself](#help)."
    )
    init: Args = Field(
        default={},
        description="A map of values that every job finds in `args.init`; "
        "[templates](#templates) are"
        " rendered.",
    )
    code: dict[Text, str] = Field(
        default={}, description="[modules of Python](#modules) that code can import."
    )

    include: Names = Field(
        default=[],
        description="Files whose jobs and todo come before those of this one: a name, or a list. A "
        "bundled pack is found by its name, anything else by its path relative to this "
        "file.",
    )
    jobs_include: Names = Field(
        default=[],
        alias="jobsInclude",
        description="The same, but of these files, and of those that they include, neither "
        "the todo "
        "nor the `help` counts.",
    )
    ojob: SettingsSpec = Field(
        default_factory=SettingsSpec, description="Settings of the whole run."
    )
    jobs: list[JobSpec] = Field(default=[], description="The list of jobs.")
    todo: list[TodoSpec] = Field(default=[], description="What to run, in this order.")
