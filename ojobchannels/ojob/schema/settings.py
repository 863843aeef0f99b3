"""What may stand below `ojob` in a job file: the settings of the whole run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ojobchannels.ojob.schema import unsupported
from ojobchannels.ojob.schema.base import Names, Spec, Text
from ojobchannels.ojob.schema.date_format import DateFormat, names_in

DEFAULT_THREADS: Final = 4


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

    unsupported: ClassVar[Mapping[str, str]] = unsupported.LOG_TO_FILE

    folder: Text = Field(
        default=".",
        alias="logFolder",
        description="The folder of the present file, seen from the current folder; it is made.",
    )
    name: Annotated[Text, _template("timedate")] = Field(
        default="log-{{timedate}}.log",
        alias="filenameTemplate",
        description="The name of a file; `{{timedate}}` is the date.",
    )
    name_date: Dates = Field(
        default="yyyy-MM-dd",
        alias="fileDateFormat",
        description="The date in that name; when it changes, the next file begins: `yyyy-MM-dd-HH` "
        "makes one for each hour.",
    )
    line: Annotated[str, _template("timedate", "type", "job", "message", "id")] = Field(
        default="{{timedate}} | {{type}} | {{job}} | {{message}}\n",
        alias="lineTemplate",
        strict=True,
        description="A line; `{{type}}` is `INFO`, `WARN` or `ERROR`; `{{id}}`, if there is an "
        "`ojob.id`, is that.",
    )
    line_date: Dates = Field(
        default="yyyy-MM-dd HH:mm:ss.SSS",
        alias="lineDateFormat",
        description="The date in a line.",
    )
    past: Annotated[Text, AfterValidator(_pattern)] | None = Field(
        default=None,
        alias="HKRegExPattern",
        description="Matches the whole names of earlier files; by default those that "
        "`filenameTemplate` makes.",
    )
    keep: int | None = Field(
        default=None,
        alias="HKhowLongAgoInMinutes",
        strict=True,
        ge=1,
        description="So many minutes after their last line, earlier files are removed; without it "
        "never.",
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


def _not_killing(kill: bool) -> bool:
    if kill:
        told = "a run ends no other one, whose process may be gone and its number another's"
        hint = "stop it yourself, such as with `kill`, and leave this out"
        raise PydanticCustomError("kill_previous", "{told}; {hint}", {"told": told, "hint": hint})
    return kill


class UniqueSpec(Spec):
    """One run of the file at a time on this host."""

    pid_file: Text = Field(
        default="ojob.pid",
        alias="pidFile",
        description="The file that holds the process id of the run while it lasts, seen from the "
        "current folder.",
    )
    kill_previous: Annotated[bool, Field(strict=True), AfterValidator(_not_killing)] = Field(
        default=False,
        alias="killPrevious",
        description="`true` is refused: a run never ends another one, whose process may be "
        "gone and "
        "its number taken by somebody else's.",
    )


class SettingsSpec(Spec):
    """Settings of the whole run."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.SETTINGS

    daemon: bool = Field(
        default=False,
        strict=True,
        description="Whether the run goes on after the todo, until it is told to stop; see "
        "[Daemons](#daemons).",
    )
    async_: bool = Field(
        default=False,
        alias="async",
        strict=True,
        description="Whether the calls of the todo are made side by side; see [todo](#todo).",
    )
    sequential: bool = Field(
        default=True,
        strict=True,
        description="The opposite of `async`; write one of the two.",
    )
    catch: Names = Field(
        default=[],
        description="What to do when a job without a `catch` of its own fails: a job, a list "
        "of jobs,"
        " or code.",
    )
    unique: UniqueSpec | None = Field(
        default=None,
        description="Keeps a second run of the file on this host from beginning; "
        "[keys](#ojob-unique).",
    )
    id: Text | None = Field(
        default=None,
        description="A name that tells the runs of this file from others: with `--json` each event "
        "has it, and log files where `lineTemplate` says so.",
    )
    log_jobs: bool = Field(
        default=True,
        alias="logJobs",
        strict=True,
        description="Whether starts and ends of jobs are told; that one failed, or did not run, "
        "always is.",
    )
    ignore_no_log: bool = Field(
        default=False,
        alias="ignoreNoLog",
        strict=True,
        description="Whether `typeArgs.noLog` of jobs does not count.",
    )
    deps_timeout: int | None = Field(
        default=None,
        alias="depsTimeout",
        strict=True,
        ge=1,
        description="After so many milliseconds, a call no longer waits for those that it "
        "[depends](#dependencies) on, and is not made.",
    )
    timezone: Text = Field(
        default="UTC",
        description="The zone of `cron`: `UTC`, `local` (that of the host), or a name such as "
        "`Europe/Lisbon`.",
    )
    log_to_file: LogToFileSpec | None = Field(
        default=None,
        alias="logToFile",
        description="Log files by date, to which the run also tells what happens; "
        "[keys](#ojob-logtofile).",
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
        description="How many launched jobs, jobs at times, and calls of an `async` todo run at "
        "the same time, 1 to 1000.",
    )
    lang: Text | None = Field(
        default=None,
        description="The [language](#languages) of the code of jobs that do not name their own.",
    )

    @property
    def is_async(self) -> bool:
        """Whether the calls of the todo are made side by side, by either of the two keys."""
        return self.async_ or not self.sequential

    @model_validator(mode="after")
    def _one_order(self) -> SettingsSpec:
        if {"async_", "sequential"} <= self.model_fields_set and self.async_ is self.sequential:
            told = "`async` and `sequential` say the opposite; take one of them out"
            raise PydanticCustomError("one_order", "{told}", {"told": told})
        return self

    @model_validator(mode="after")
    def _id_for_lines(self) -> SettingsSpec:
        if self.log_to_file and "id" in names_in(self.log_to_file.line) and self.id is None:
            told = "`lineTemplate` has {{id}}, but there is no `id`; write one below `ojob`"
            raise PydanticCustomError("no_id", "{told}", {"told": told})
        return self
