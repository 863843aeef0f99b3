"""What may stand in a job file, declared once: for the check, and to describe the format.

Keys of the published oJob format that this version does not know yet are listed too, so that they
are refused by name instead of being taken for misspellings.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ojobchannels.ojob.logformat import DateFormat, names_in

DEFAULT_THREADS: Final = 4

Text = Annotated[str, Field(min_length=1, strict=True)]
Args = dict[str, Any]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Names = Annotated[list[Text], BeforeValidator(_as_list, json_schema_input_type=Text | list[Text])]


class Spec(BaseModel):
    """A map of the format. An empty value (``args:``) counts as if its key were not there.

    Attributes:
        not_yet: Published keys that this version refuses, each with advice of its own or with none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)
    not_yet: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_empty_values(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = cls.keys()
        return {key: value for key, value in data.items() if value is not None or key not in known}

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Returns the keys that this version knows, as they are written."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())


class TypeArgsSpec(Spec):
    """How a job is to be run."""

    not_yet = dict.fromkeys(
        (
            *("waitForFinish", "cronCheck", "file", "url"),
            *("execJs", "execPy", "execRequire", "shell", "shellPrefix", "pwd", "pre", "pos"),
            *("langFn", "returnFn", "returnRE", "noTemplate", "noTemplateArgs", "noLog"),
            *("single", "async", "when", "lock", "lockCh", "eachThreads", "shortcut"),
        ),
        "",
    )

    lang: Text | None = Field(default=None, description="The language of the job's code.")
    timeout: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        description="After so many milliseconds, code in a language other than Python is ended.",
    )
    cron: Text | None = Field(
        default=None, description="When it runs, in five or six fields, seconds first."
    )
    time_interval: int | None = Field(
        default=None,
        alias="timeInterval",
        strict=True,
        ge=1,
        description="Runs it at the multiples of so many milliseconds.",
    )
    misfire: Literal["latest", "all", "none"] = Field(
        default="latest",
        description="Which of the fire times that nobody was there for are run later.",
    )
    once: bool = Field(
        default=False,
        strict=True,
        description="Whether it runs on one server only although it is not managed.",
    )
    ch_subscribe: Text | None = Field(
        default=None,
        alias="chSubscribe",
        description="The channel for whose changes a job of `type: subscribe` is called.",
    )
    stop_when: str | None = Field(
        default=None,
        alias="stopWhen",
        strict=True,
        description="Code before each run; a true answer ends the schedule.",
    )


class JobSpec(Spec):
    """One job: what it does, and what is done before it, after it, and when it fails."""

    not_yet = dict.fromkeys(("each", "check", "help", "file", "execFile", "execRequire"), "") | {
        "earlier": "write `from`",
        "then": "write `to`",
        "onerror": "write `catch`",
    }

    name: Text = Field(description="The name by which the todo and other jobs call it.")
    type: Literal["simple", "periodic", "subscribe", "shutdown"] | None = Field(
        default=None,
        description="`simple`: run once for each todo entry; `periodic`: at the times that "
        "`typeArgs` tells, and so without a type; `subscribe`: for each change of a channel; "
        "`shutdown`: when the run ends.",
    )
    type_args: TypeArgsSpec = Field(
        default_factory=TypeArgsSpec, alias="typeArgs", description="How the job is to be run."
    )
    lang: Text | None = Field(default=None, description="The same as `typeArgs.lang`.")
    deps: Names = Field(
        default=[], description="Jobs that must have completed before this one starts."
    )
    args: Args = Field(
        default={},
        description="Arguments; those of the command line, the todo and launches win over them.",
    )
    from_: Names = Field(
        default=[],
        alias="from",
        description="Jobs whose code runs before `exec`, as its own steps.",
    )
    exec: str = Field(default="", strict=True, description="The code of the job.")
    to: Names = Field(
        default=[], description="Jobs whose code runs after `exec`, as its own steps."
    )
    catch: Names = Field(
        default=[],
        description="What to do when a step fails: a job, a list of jobs, or code.",
    )


class TodoSpec(Spec):
    """One entry of the todo: a job, and the arguments of this call. A bare name is one too."""

    not_yet = dict.fromkeys(("when", "type", "typeArgs", "id"), "")

    name: Text | None = Field(default=None, description="The job to run.")
    job: Text | None = Field(default=None, description="The same as `name`.")
    args: Annotated[
        list[Args], BeforeValidator(_as_list, json_schema_input_type=Args | list[Args])
    ] = Field(
        default=[{}], description="Arguments of this call; with a list of maps, one call for each."
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


def _date_format(pattern: str) -> str:
    try:
        DateFormat(pattern)
    except ValueError as error:
        raise PydanticCustomError("date_format", "{told}", {"told": str(error)}) from error
    return pattern


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        told = f"it is no regular expression: {error}"
        raise PydanticCustomError("pattern", "{told}", {"told": told}) from error
    return text


def _template(*names: str) -> AfterValidator:
    def check(text: str) -> str:
        if strange := sorted(names_in(text) - set(names)):
            known = ", ".join(f"{{{{{name}}}}}" for name in names)
            told = f"nothing fills in {{{{{strange[0]}}}}}: take {known}"
            raise PydanticCustomError("template", "{told}", {"told": told})
        return text

    return AfterValidator(check)


Dates = Annotated[Text, AfterValidator(_date_format)]


class LogToFileSpec(Spec):
    """Files by date to which the run also tells what happens."""

    not_yet: ClassVar[dict[str, str]] = {
        "numberOfEntriesToKeep": "nothing is kept in memory; take it out"
    }

    folder: Text = Field(
        default=".", alias="logFolder", description="The folder of the present file; it is made."
    )
    name: Annotated[Text, _template("timedate")] = Field(
        default="log-{{timedate}}.log",
        alias="filenameTemplate",
        description="The name of a file; `{{timedate}}` is the date.",
    )
    name_date: Dates = Field(
        default="yyyy-MM-dd",
        alias="fileDateFormat",
        description="The date in that name; when it changes, the next file begins.",
    )
    line: Annotated[str, _template("timedate", "type", "job", "message")] = Field(
        default="{{timedate}} | {{type}} | {{job}} | {{message}}\n",
        alias="lineTemplate",
        strict=True,
        description="A line, of `{{timedate}}`, `{{type}}`, `{{job}}` and `{{message}}`.",
    )
    line_date: Dates = Field(
        default="yyyy-MM-dd HH:mm:ss.SSS",
        alias="lineDateFormat",
        description="The date in a line.",
    )
    past: Annotated[Text, AfterValidator(_pattern)] | None = Field(
        default=None,
        alias="HKRegExPattern",
        description="Matches the names of earlier files; by default those that "
        "`filenameTemplate` makes.",
    )
    keep: int | None = Field(
        default=None,
        alias="HKhowLongAgoInMinutes",
        strict=True,
        ge=1,
        description="So many minutes after their last line, earlier files are removed.",
    )
    dont_compress: bool = Field(
        default=False,
        alias="dontCompress",
        strict=True,
        description="Whether earlier files stay as they are; else gzip compresses them.",
    )
    backup: Text | None = Field(
        default=None,
        alias="backupFolder",
        description="The folder to which earlier files are moved.",
    )
    set_log_off: bool = Field(
        default=False,
        alias="setLogOff",
        strict=True,
        description="Whether the console is told nothing more.",
    )


class SettingsSpec(Spec):
    """Settings of the whole run."""

    not_yet = dict.fromkeys(
        (
            *("sequential", "async", "timeInterval", "daemonFunc", "poolThreadFactor"),
            *("shareArgs", "catch", "onerror", "depsWait", "depsTimeout", "depsOnFail"),
            *("templateArgs", "argsFromEnvs", "unique", "checkStall"),
            *("log", "logJobs", "logArgs", "logOJob", "logLimit", "logHistory", "ignoreNoLog"),
            *("conAnsi", "conWidth", "showHelp", "id", "tags", "opacks", "owraps", "loads"),
            *("loadLibs", "includeOJob", "langs", "integrity", "flags", "debug"),
            *("initTemplateEscape", "execRequire", "channels", "metrics"),
        ),
        "",
    ) | {"cronInLocalTime": "write `timezone: local`"}

    daemon: bool = Field(
        default=False,
        strict=True,
        description="Whether the run goes on after the todo until it is told to stop.",
    )
    timezone: Text = Field(
        default="UTC", description="The zone of `cron`: `UTC`, `local`, or a name like Europe/Rome."
    )
    log_to_file: LogToFileSpec | None = Field(
        default=None,
        alias="logToFile",
        description="Log files by date, to which the run also tells what happens.",
    )
    log_to_console: bool = Field(
        default=True,
        alias="logToConsole",
        strict=True,
        description="Whether the run tells on the console what happens.",
    )
    num_threads: int = Field(
        default=DEFAULT_THREADS,
        alias="numThreads",
        strict=True,
        ge=1,
        le=1000,
        description="How many launched jobs run at the same time.",
    )
    lang: Text | None = Field(
        default=None, description="The language of all code of jobs that do not name their own."
    )


class FileSpec(Spec):
    """A job file."""

    not_yet = dict.fromkeys(("help", "init", "jobsInclude", "code"), "")

    include: Names = Field(
        default=[],
        description="Files whose jobs and todo come before those of this one: a bundled pack by "
        "its name, or a path relative to this file.",
    )
    ojob: SettingsSpec = Field(
        default_factory=SettingsSpec, description="Settings of the whole run."
    )
    jobs: list[JobSpec] = Field(default=[], description="The jobs.")
    todo: list[TodoSpec] = Field(default=[], description="What to run, in this order.")
