"""What may stand in a job file, declared once: for the check, and to describe the format.

Keys of the published oJob format that this version does not know yet are listed too, so that they
are refused by name instead of being taken for misspellings.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

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
            *("timeInterval", "cron", "waitForFinish", "cronCheck", "chSubscribe", "file", "url"),
            *("execJs", "execPy", "execRequire", "shell", "shellPrefix", "pwd", "pre", "pos"),
            *("langFn", "returnFn", "returnRE", "noTemplate", "noTemplateArgs", "noLog", "timeout"),
            *("stopWhen", "single", "async", "when", "lock", "lockCh", "eachThreads", "shortcut"),
            *("once", "misfire"),
        ),
        "",
    )

    lang: Literal["python"] = Field(default="python", description="The language of `exec`.")


class JobSpec(Spec):
    """One job: what it does, and what is done before it, after it, and when it fails."""

    not_yet = dict.fromkeys(("each", "check", "help", "file", "execFile", "execRequire"), "") | {
        "earlier": "write `from`",
        "then": "write `to`",
        "onerror": "write `catch`",
    }

    name: Text = Field(description="The name by which the todo and other jobs call it.")
    type: Literal["simple"] = Field(
        default="simple", description="`simple`: run once for each todo entry."
    )
    type_args: TypeArgsSpec = Field(
        default_factory=TypeArgsSpec, alias="typeArgs", description="How the job is to be run."
    )
    lang: Literal["python"] = Field(default="python", description="The language of `exec`.")
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


class SettingsSpec(Spec):
    """Settings of the whole run."""

    not_yet = dict.fromkeys(
        (
            *("sequential", "async", "daemon", "timeInterval", "daemonFunc", "poolThreadFactor"),
            *("shareArgs", "catch", "onerror", "depsWait", "depsTimeout", "depsOnFail"),
            *("templateArgs", "argsFromEnvs", "unique", "checkStall", "logToConsole", "logToFile"),
            *("log", "logJobs", "logArgs", "logOJob", "logLimit", "logHistory", "ignoreNoLog"),
            *("conAnsi", "conWidth", "showHelp", "id", "tags", "opacks", "owraps", "loads"),
            *("loadLibs", "includeOJob", "langs", "integrity", "flags", "debug", "cronInLocalTime"),
            *("initTemplateEscape", "execRequire", "channels", "metrics"),
        ),
        "",
    )

    num_threads: int = Field(
        default=DEFAULT_THREADS,
        alias="numThreads",
        strict=True,
        ge=1,
        le=1000,
        description="How many launched jobs run at the same time.",
    )
    lang: Literal["python"] = Field(
        default="python", description="The language of every `exec` that does not name its own."
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
