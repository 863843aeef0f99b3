"""When a job is to run, or for what: what a file says of it, what is wrong, and what it means."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.schema.model import TypeArgsSpec
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source
from ojobchannels.suggestions import did_you_mean

if TYPE_CHECKING:
    from ojobchannels.ojob.triggers.cron import Trigger

Misfire: TypeAlias = Literal["latest", "all", "none"]

_TIMES: Final = ("cron", "timeInterval")
_WATCHED: Final = "chSubscribe"
_FOR_TIMES: Final = ("misfire", "once", "stopWhen", "waitForFinish")


@dataclass(frozen=True)
class ScheduleSpec:
    """When a periodic job runs.

    Attributes:
        cron: The expression, or None if there is an interval.
        interval: So many milliseconds.
        misfire: What becomes of fire times at which nobody was there.
        once: Whether an unmanaged job, too, runs on one server only.
        overlaps: Whether a call may begin while the last one is on.
        stop_when: The code that ends the schedule by a true answer.
    """

    cron: str | None
    interval: int
    misfire: Misfire
    once: bool
    overlaps: bool
    stop_when: Block | None = field(repr=False)

    def trigger(self, zone: tzinfo) -> Trigger:
        """Returns what tells its fire times."""
        from ojobchannels.ojob.triggers.cron import Cron, Interval

        return Interval(self.interval) if self.cron is None else Cron(self.cron, zone)


def schedule_of(spec: TypeArgsSpec, stop_when: Block | None) -> ScheduleSpec | None:
    """Returns when a job runs, if that is not once for each todo entry."""
    if spec.cron is None and spec.time_interval is None:
        return None
    overlaps = not spec.wait_for_finish
    return ScheduleSpec(
        spec.cron, spec.time_interval or 0, spec.misfire, spec.once, overlaps, stop_when
    )


def timing_faults(
    source: Source, path: DocumentPath, job: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """Yields what is wrong with the times of a job, given as it was read."""
    given = job.get("typeArgs")
    given = given if isinstance(given, dict) else {}
    within: DocumentPath = (*path, "typeArgs")
    times = [key for key in _TIMES if given.get(key) is not None]
    if isinstance(given.get("cron"), str):
        yield from _cron_faults(source, (*within, "cron"), given["cron"])
    if len(times) > 1:
        said = "`cron` and `timeInterval` both say when the job runs"
        yield source.diagnostic((*within, times[1]), said, "take one of them out", at_key=True)
    kind = job.get("type")
    if kind == "periodic" and not times:
        said = "a periodic job needs a time"
        yield source.diagnostic(
            (*path, "type"), said, "write `cron` or `timeInterval` in `typeArgs`"
        )
    if kind in ("simple", "subscribe", "shutdown", "jobs") and times:
        said = f"a job of `type: {kind}` takes no `{times[0]}`"
        yield source.diagnostic((*within, times[0]), said, "leave `type` out", at_key=True)
    for key in _FOR_TIMES:
        if given.get(key) is not None and not times:
            said = f"`{key}` is for jobs that run at times"
            hint = "write `cron` or `timeInterval` beside it"
            yield source.diagnostic((*within, key), said, hint, at_key=True)
    if given.get("waitForFinish") is False and given.get("misfire") == "all":
        said = "`misfire: all` runs one time after the other, `waitForFinish: false` does not wait"
        hint = "take one of them out"
        yield source.diagnostic((*within, "waitForFinish"), said, hint, at_key=True)


def watch_faults(
    source: Source, path: DocumentPath, job: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """Yields what is wrong with what a job says of a channel to watch, given as it was read."""
    given = job.get("typeArgs")
    named = isinstance(given, dict) and given.get(_WATCHED) is not None
    if job.get("type") == "subscribe" and not named:
        said = "a job of `type: subscribe` needs a channel"
        yield source.diagnostic(
            (*path, "type"), said, f"name it in `typeArgs`: `{_WATCHED}: orders`"
        )
    if named and job.get("type") != "subscribe":
        said = f"`{_WATCHED}` is for jobs of `type: subscribe`"
        hint = "write `type: subscribe`, or take it out"
        yield source.diagnostic((*path, "typeArgs", _WATCHED), said, hint, at_key=True)


def file_faults(source: Source, path: DocumentPath, job: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Yields what is wrong with what a job says of another job file, given as it was read."""
    given = job.get("typeArgs")
    name = given.get("file") if isinstance(given, dict) else None
    within: DocumentPath = (*path, "typeArgs", "file")
    if job.get("type") != "jobs":
        if name is not None:
            said = "`file` is for jobs of `type: jobs`"
            yield source.diagnostic(within, said, "write `type: jobs`, or take it out", at_key=True)
        return
    if name is None:
        said = "a job of `type: jobs` needs a file"
        yield source.diagnostic((*path, "type"), said, "name it in `typeArgs`: `file: other.yaml`")
    elif isinstance(name, str) and name and not os.path.isfile(source.path.parent / name):  # noqa: PTH113  answers for a name of any length, and of NULs
        at = os.path.normpath((source.path.parent / name).absolute())
        yield source.diagnostic(within, f"there is no file {at}", "name a job file beside this one")
    for key in ("exec", "each"):
        if job.get(key) is not None:
            said = f"a job of `type: jobs` has no `{key}`: it is a job file"
            hint = "write it in a job under `from` or `to`"
            yield source.diagnostic((*path, key), said, hint, at_key=True)


def zone_faults(source: Source) -> Iterator[Diagnostic]:
    """Yields what is wrong with the time zone that a file names."""
    settings = source.data.get("ojob") if isinstance(source.data, dict) else None
    name = settings.get("timezone") if isinstance(settings, dict) else None
    if isinstance(name, str) and name:
        from zoneinfo import available_timezones

        from ojobchannels.ojob.triggers.cron import zone_of

        try:
            zone_of(name)
        except LookupError:
            hint = did_you_mean(name, ("UTC", "local", *sorted(available_timezones())))
            yield source.diagnostic(("ojob", "timezone"), f"there is no time zone {name!r}", hint)


def _cron_faults(source: Source, path: DocumentPath, text: str) -> Iterator[Diagnostic]:
    from ojobchannels.ojob.triggers.cron import Cron, CronError

    try:
        Cron(text)
    except CronError as fault:
        diagnostic = source.diagnostic(path, fault.reason, fault.advice)
        line = source.lines[diagnostic.line - 1] if diagnostic.line <= len(source.lines) else ""
        written = line[diagnostic.column - 1 :]
        quotes = len(written) - len(written.lstrip("'\""))
        at_hand = written[quotes:].startswith(text)
        shift = quotes + fault.offset if at_hand else 0
        yield diagnostic._replace(column=diagnostic.column + shift)
