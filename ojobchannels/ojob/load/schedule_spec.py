"""When a job runs, or for what: the schedule in a file, and the checks of types and times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.schema.located import FileSpecs, Located
from ojobchannels.ojob.schema.model import JobSpec, Misfire, TypeArgsSpec
from ojobchannels.suggestions import did_you_mean

if TYPE_CHECKING:
    from ojobchannels.ojob.triggers.cron import Trigger

_TIMES: Final = {"cron": "cron", "time_interval": "timeInterval"}
_FOR_TIMES: Final = {
    "misfire": "misfire",
    "once": "once",
    "stop_when": "stopWhen",
    "wait_for_finish": "waitForFinish",
}


@dataclass(frozen=True)
class ScheduleSpec:
    """The schedule of a periodic job.

    Attributes:
        cron: The cron expression, or None if there is an interval.
        interval: The interval in milliseconds.
        misfire: Which missed fire times are run later.
        once: Whether each fire time of an unmanaged job is run on one server only.
        overlaps: Whether a call may start while the previous one is running.
        stop_when: The code that ends the schedule by returning a true value.
    """

    cron: str | None
    interval: int
    misfire: Misfire
    once: bool
    overlaps: bool
    stop_when: Block | None = field(repr=False)

    def trigger(self, zone: tzinfo) -> Trigger:
        """Return the trigger that computes the fire times."""
        from ojobchannels.ojob.triggers.cron import Cron, Interval

        return Interval(self.interval) if self.cron is None else Cron(self.cron, zone)


def schedule_of(spec: TypeArgsSpec, stop_when: Block | None) -> ScheduleSpec | None:
    """Return the schedule of a job, or None if it runs once for each todo entry."""
    if spec.cron is None and spec.time_interval is None:
        return None
    interval, overlaps = spec.time_interval or 0, not spec.wait_for_finish
    return ScheduleSpec(spec.cron, interval, spec.misfire, spec.once, overlaps, stop_when)


def schedule_diagnostics(
    where: Located[Any], kind: str | None, spec: TypeArgsSpec
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the times of a job, or of a todo entry.

    Args:
        where: The job or the entry.
        kind: Its type.
        spec: How it is run; for an entry, with what the job says.
    """
    times = [key for name, key in _TIMES.items() if spec.has(name)]
    if spec.cron is not None:
        yield from _cron_diagnostics(where, spec.cron)
    if len(times) > 1:
        message = "`cron` and `timeInterval` both say when the job runs"
        steps = ("typeArgs", times[1])
        yield where.diagnostic(steps, message, "remove one of them", at_key=True)
    if kind == "periodic" and not times:
        hint = "write `cron` or `timeInterval` in `typeArgs`"
        yield where.diagnostic(("type",), "a periodic job needs a schedule", hint)
    if kind not in (None, "periodic") and times:
        message = f"a job of `type: {kind}` does not take `{times[0]}`"
        yield where.diagnostic(("typeArgs", times[0]), message, "remove `type`", at_key=True)
    for name, key in _FOR_TIMES.items() if not times else ():
        if spec.has(name):
            message = f"`{key}` only applies to jobs with a schedule"
            hint = "write `cron` or `timeInterval` beside it"
            yield where.diagnostic(("typeArgs", key), message, hint, at_key=True)
    if not spec.wait_for_finish and spec.misfire == "all":
        message = "`misfire: all` runs fire times one by one, `waitForFinish: false` in parallel"
        steps = ("typeArgs", "waitForFinish")
        yield where.diagnostic(steps, message, "remove one of them", at_key=True)


def watch_diagnostics(
    where: Located[Any], kind: str | None, spec: TypeArgsSpec
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the channel whose changes call a job."""
    if kind == "subscribe" and spec.ch_subscribe is None:
        hint = "name it in `typeArgs`: `chSubscribe: orders`"
        yield where.diagnostic(("type",), "a job of `type: subscribe` needs a channel", hint)
    if kind != "subscribe" and spec.ch_subscribe is not None:
        message = "`chSubscribe` only applies to jobs of `type: subscribe`"
        hint = "write `type: subscribe`, or remove it"
        yield where.diagnostic(("typeArgs", "chSubscribe"), message, hint, at_key=True)


def file_diagnostics(job: Located[JobSpec]) -> Iterator[Diagnostic]:
    """Yield what is wrong with the job file that a job is."""
    name = job.spec.type_args.file
    steps = ("typeArgs", "file")
    if job.spec.type != "jobs":
        if name is not None:
            message = "`file` only applies to jobs of `type: jobs`"
            hint = "write `type: jobs`, or remove it"
            yield job.diagnostic(steps, message, hint, at_key=True)
        return
    if name is None:
        hint = "name it in `typeArgs`: `file: other.yaml`"
        yield job.diagnostic(("type",), "a job of `type: jobs` needs a file", hint)
    elif not os.path.isfile(job.source.path.parent / name):  # noqa: PTH113  also takes NULs and long names
        at = os.path.normpath((job.source.path.parent / name).absolute())
        hint = "write the path of a job file, relative to this file"
        yield job.diagnostic(steps, f"there is no file {at}", hint)
    for key in ("exec", "each"):
        if job.spec.has(key):
            message = f"a job of `type: jobs` runs a job file and has no `{key}`"
            hint = "write it in a job under `from` or `to`"
            yield job.diagnostic((key,), message, hint, at_key=True)


def timezone_diagnostics(file: FileSpecs) -> Iterator[Diagnostic]:
    """Yield what is wrong with the time zone of a file."""
    name = file.spec.ojob.timezone
    if not file.spec.ojob.has("timezone"):
        return
    from zoneinfo import available_timezones

    from ojobchannels.ojob.triggers.cron import zone_of

    try:
        zone_of(name)
    except LookupError:
        hint = did_you_mean(name, ("UTC", "local", *sorted(available_timezones())))
        yield file.settings.diagnostic(("timezone",), f"unknown time zone {name!r}", hint)


def _cron_diagnostics(where: Located[Any], text: str) -> Iterator[Diagnostic]:
    from ojobchannels.ojob.triggers.cron import Cron, CronError

    try:
        Cron(text)
    except CronError as error:
        found = where.diagnostic(("typeArgs", "cron"), error.reason, error.advice)
        lines = where.source.lines
        line = lines[found.line - 1] if found.line <= len(lines) else ""
        written = line[found.column - 1 :]
        quotes = len(written) - len(written.lstrip("'\""))
        is_literal = written[quotes:].startswith(text)
        shift = quotes + error.offset if is_literal else 0
        yield found._replace(column=found.column + shift)
