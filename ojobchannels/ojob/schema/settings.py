"""The settings of the whole run, below `ojob` in a job file."""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ojobchannels.manager.output import OutputLimits
from ojobchannels.manager.output.lines import DEFAULT_LIMITS, LARGEST_PART
from ojobchannels.ojob.schema import unsupported
from ojobchannels.ojob.schema.alerts import AlertSpec
from ojobchannels.ojob.schema.base import (
    Expected,
    Flag,
    JobsOrCode,
    Milliseconds,
    Minutes,
    Spec,
    Text,
    Threads,
)
from ojobchannels.ojob.schema.date_format import DateFormat, names_in

DEFAULT_THREADS: Final = 4


def _date_format(pattern: str) -> str:
    try:
        DateFormat(pattern)
    except ValueError as error:
        raise PydanticCustomError("date_format", "{reason}", {"reason": str(error)}) from error
    return pattern


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        reason = f"invalid regular expression: {error}"
        raise PydanticCustomError("pattern", "{reason}", {"reason": reason}) from error
    return text


def _template(*names: str) -> AfterValidator:
    def check(text: str) -> str:
        if unknown := sorted(names_in(text) - set(names)):
            known = ", ".join(f"{{{{{name}}}}}" for name in names)
            reason = f"unknown name {{{{{unknown[0]}}}}}; known: {known}"
            raise PydanticCustomError("template", "{reason}", {"reason": reason})
        return text

    return AfterValidator(check)


Characters = Annotated[
    int,
    Field(strict=True, ge=0, le=LARGEST_PART),
    Expected(hint=f"write a number of characters, 0 to {LARGEST_PART}"),
]
Dates = Annotated[Text, AfterValidator(_date_format)]


class LogToFileSpec(Spec):
    """Log files by date, which the run writes in addition to the console."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.LOG_TO_FILE
    home: ClassVar[str] = "below `ojob.logToFile`"

    folder: Text = Field(default=".", alias="logFolder")
    """The folder of the current log file, relative to the current directory. It is created if it
    does not exist."""
    name: Annotated[Text, _template("timedate")] = Field(
        "log-{{timedate}}.log", alias="filenameTemplate"
    )
    """The name of a log file; `{{timedate}}` is the date."""
    name_date: Dates = Field(default="yyyy-MM-dd", alias="fileDateFormat")
    """The format of the date in that name. A new file begins when the date changes: `yyyy-MM-dd-HH`
    makes one file for each hour."""
    line: Annotated[str, _template("timedate", "type", "job", "message", "id")] = Field(
        "{{timedate}} | {{type}} | {{job}} | {{message}}\n", alias="lineTemplate", strict=True
    )
    """The format of a line. `{{type}}` is `INFO`, `WARN` or `ERROR`; `{{id}}` is `ojob.id`."""
    line_date: Dates = Field(default="yyyy-MM-dd HH:mm:ss.SSS", alias="lineDateFormat")
    """The format of the date in a line."""
    past: Annotated[Text, AfterValidator(_pattern)] | None = Field(
        default=None, alias="HKRegExPattern"
    )
    """A regular expression that matches the whole names of earlier log files. By default, the names
    that `filenameTemplate` makes."""
    keep: Minutes | None = Field(default=None, alias="HKhowLongAgoInMinutes")
    """Remove earlier log files N minutes after their last line. By default, they are kept."""
    dont_compress: Flag = False
    """Do not compress earlier log files with gzip."""
    backup: Text | None = Field(default=None, alias="backupFolder")
    """The folder to which earlier log files are moved."""
    set_log_off: Flag = False
    """Write nothing to the console."""


def _not_killing(kill: bool) -> bool:
    if kill:
        reason = "a run never ends another run: its process id may belong to another process by now"
        hint = "stop the run yourself, for example with `kill`, and remove this key"
        raise PydanticCustomError(
            "kill_previous", "{reason}; {hint}", {"reason": reason, "hint": hint}
        )
    return kill


class UniqueSpec(Spec):
    """At most one run of the file at a time on this host."""

    home: ClassVar[str] = "below `ojob.unique`"

    pid_file: Text = "ojob.pid"
    """The file that contains the process id of the active run, relative to the current
    directory."""
    kill_previous: Annotated[Flag, AfterValidator(_not_killing)] = False
    """Only `false` is allowed: a run never ends another run, because its process id may belong to
    another process by now."""


class OutputSpec(Spec):
    """How much is kept of what each managed run logs and prints, in characters."""

    home: ClassVar[str] = "below `ojob.output`"

    first: Characters = DEFAULT_LIMITS.first
    """The size of the first part, in characters; a line counts with its length and 32 more."""
    last: Characters = DEFAULT_LIMITS.last
    """The size of the last part; the lines between the two are dropped. If both are 0, nothing is
    kept."""

    @property
    def limits(self) -> OutputLimits:
        """The same, for the manager."""
        return OutputLimits(self.first, self.last)


class SettingsSpec(Spec):
    """Settings of the whole run."""

    unsupported: ClassVar[Mapping[str, str]] = unsupported.SETTINGS
    home: ClassVar[str] = "below `ojob`"

    daemon: Flag = False
    """Keep running after the todo, until the process is stopped; see [Daemons](#daemons)."""
    async_: Flag = False
    """Run the calls of the todo in parallel; see [todo](#todo)."""
    sequential: Flag = True
    """The opposite of `async`; set only one of the two."""
    catch: JobsOrCode = Field(default=[])
    """What to run when a job fails that has no `catch` of its own, or one of bundled jobs only, and
    when a [dead run](manager.md#dead-runs) is found: a job, a list of jobs, or code."""
    unique: UniqueSpec | None = None
    """Allow at most one run of the file at a time on this host; [keys](#ojob-unique)."""
    id: Text | None = None
    """An identifier for the runs of this file. Each event of `--json` contains it, and so do log
    files if `lineTemplate` does."""
    log_jobs: Flag = True
    """Log when jobs start and end. Failed and skipped runs are always logged."""
    ignore_no_log: Flag = False
    """Ignore `typeArgs.noLog` of all jobs."""
    deps_timeout: Milliseconds | None = None
    """The maximum time, in milliseconds, that a call waits for the calls it
    [depends](#dependencies) on. After that it is not made."""
    timezone: Text = "UTC"
    """The time zone of `cron`: `UTC`, `local` (the zone of the host), or a name such as
    `Europe/Lisbon`."""
    log_to_file: LogToFileSpec | None = None
    """Write log files by date, in addition to the console; [keys](#ojob-logtofile)."""
    log_to_console: Flag = True
    """Log to the console."""
    output: OutputSpec = OutputSpec()
    """How much of the [output of managed runs](manager.md#output) is kept;
    [keys](#ojob-output)."""
    num_threads: Threads = DEFAULT_THREADS
    """The maximum number of launched jobs, scheduled jobs and calls of an `async` todo that run at
    the same time, 1 to 1000."""
    alerts: list[AlertSpec] = Field(default=[])
    """Reports of failed, overdue and other runs to a job, a webhook, a mail address or a dead man's
    switch; see [Alerts](#alerts)."""
    lang: Text | None = None
    """The default [language](#languages) of the jobs' code."""

    @property
    def is_async(self) -> bool:
        """Whether the calls of the todo run in parallel, by either of the two keys."""
        return self.async_ or not self.sequential

    @property
    def writes_to_console(self) -> bool:
        """Whether events are written to the console, by either of the two keys."""
        return self.log_to_console and not (self.log_to_file and self.log_to_file.set_log_off)

    @model_validator(mode="after")
    def _one_order(self) -> "SettingsSpec":
        if {"async_", "sequential"} <= self.model_fields_set and self.async_ is self.sequential:
            reason = "`async` and `sequential` contradict each other; remove one of them"
            raise PydanticCustomError("one_order", "{reason}", {"reason": reason})
        return self

    @model_validator(mode="after")
    def _id_for_lines(self) -> "SettingsSpec":
        if self.log_to_file and "id" in names_in(self.log_to_file.line) and self.id is None:
            reason = "`lineTemplate` contains {{id}}, but `ojob.id` is missing; write `id: …`"
            raise PydanticCustomError("no_id", "{reason}", {"reason": reason})
        return self
