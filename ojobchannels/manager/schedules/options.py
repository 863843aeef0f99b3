"""The schedule of a job that is written in Python: its options, and how they are checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypedDict, get_args

from ojobchannels.channels.arguments import Duration, milliseconds
from ojobchannels.errors import InvalidOption
from ojobchannels.manager.schedules.rules import Misfire, ScheduleRules
from ojobchannels.suggestions import did_you_mean

_SHORTEST_INTERVAL_MS: Final = 100


class ScheduleOptions(TypedDict, total=False):
    """The options of a schedule, as `JobManager.job` takes them."""

    cron: str | None
    interval: Duration | None
    timezone: str
    jitter: Duration
    misfire: Misfire
    overdue_after: Duration | None


class JobSchedule(NamedTuple):
    """When a job runs.

    Attributes:
        rules: Its fire times and what happens when one is missed.
        zone: The time zone of its cron expression.
    """

    rules: ScheduleRules
    zone: tzinfo


def checked_schedule(
    function: Callable[..., Any],
    *,
    cron: str | None = None,
    interval: Duration | None = None,
    timezone: str = "UTC",
    jitter: Duration = 0,
    misfire: Misfire = "latest",
    overdue_after: Duration | None = None,
) -> JobSchedule | None:
    """Return the schedule of a job; None for a job without one.

    Raises:
        InvalidOption: An option is not valid, has no effect, or the function needs arguments.
    """
    late = None if overdue_after is None else milliseconds("overdue_after", overdue_after, 1)
    delay = milliseconds("jitter", jitter, shortest=0)
    if misfire not in get_args(Misfire):
        raise InvalidOption("misfire", f"{misfire!r} is not known", "pass latest, all or none")
    zone = _zone(timezone)
    if cron is None and timezone != "UTC":
        what = "no schedule" if interval is None else "an interval"
        reason = f"it is that of cron, and the job has {what}"
        raise InvalidOption("timezone", reason, "pass cron, or leave it out")
    if cron is None and interval is None:
        for option in _without_effect(delay, misfire, late):
            raise InvalidOption(option, "the job has no schedule", "pass cron or interval, too")
        return None
    if cron is not None and interval is not None:
        reason = "`cron` and `interval` both say when the job runs"
        raise InvalidOption("interval", reason, "pass one of them")
    if cron is not None:
        _check_cron(cron)
    _check_without_arguments(function)
    every = 0 if interval is None else milliseconds("interval", interval, _SHORTEST_INTERVAL_MS)
    return _shared(cron, every, misfire, delay, late, zone)


@lru_cache(maxsize=10_000)
def _shared(
    cron: str | None,
    interval: int,
    misfire: Misfire,
    jitter: int,
    overdue_after: int | None,
    zone: tzinfo,
) -> JobSchedule:
    """Return a schedule, the same one for all jobs that have these options."""
    return JobSchedule(ScheduleRules(cron, interval, misfire, jitter, overdue_after), zone)


def _without_effect(jitter: int, misfire: Misfire, overdue_after: int | None) -> Iterator[str]:
    """Yield the options that were passed although there is no schedule."""
    if jitter:
        yield "jitter"
    if misfire != "latest":
        yield "misfire"
    if overdue_after is not None:
        yield "overdue_after"


def _check_cron(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidOption("cron", f"{text!r} is not a text", "pass a cron expression")
    _check_expression(text)


@lru_cache(maxsize=10_000)
def _check_expression(text: str) -> None:
    from ojobchannels.manager.schedules.cron import Cron, CronError

    try:
        Cron(text)
    except CronError as error:
        advice = error.advice
        if error.interval is not None:
            advice = f"pass interval={error.interval / 1000:g} instead of cron"
        where = f"column {error.offset + 1} of {text!r}"
        raise InvalidOption("cron", f"{error.reason} ({where})", advice) from error


def _zone(name: object) -> tzinfo:
    from ojobchannels.manager.schedules.zones import zone_of

    if name == "UTC":
        return UTC
    if not isinstance(name, str):
        advice = "pass its name, such as 'Europe/Lisbon'"
        raise InvalidOption("timezone", f"{name!r} is not the name of a time zone", advice)
    try:
        return zone_of(name)
    except LookupError as error:
        from zoneinfo import available_timezones

        known = ("UTC", "local", *sorted(available_timezones()))
        reason = f"unknown time zone {name!r}"
        raise InvalidOption("timezone", reason, did_you_mean(name, known)) from error


def _check_without_arguments(function: Callable[..., Any]) -> None:
    """Check that a function can be called at a fire time, when there are no arguments."""
    for name, parameter in inspect.signature(function).parameters.items():
        is_variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not is_variable:
            reason = f"the function needs {name!r}, and a schedule calls it without arguments"
            raise InvalidOption("schedule", reason, f"give {name!r} a default value")
