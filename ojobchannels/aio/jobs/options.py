"""The options of a job of an `AsyncJobManager`, as editors and type checkers see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ojobchannels.channels.arguments import Duration
from ojobchannels.manager.jobs import Notice, check_notice
from ojobchannels.manager.runs.run_options import check_retries
from ojobchannels.manager.schedules.options import ScheduleOptions, checked_schedule


class JobOptions(ScheduleOptions, total=False):
    """The options of `JobManager.job` that `AsyncJobManager.job` passes on."""

    wait: Duration | None
    retries: int
    backoff: Duration
    on_failure: Notice | None
    lock_at_least_for: Duration
    max_concurrent: int
    rate_limit: str | None


def check_options(function: Callable[..., Any], options: JobOptions) -> None:
    """Check the schedule, retries and notice of a job now: the rest when its manager is opened.

    Raises:
        InvalidOption: An option is not valid, has no effect, or the function needs arguments.
    """
    check_retries(options.get("retries", 0))
    check_notice(options.get("on_failure"))
    known = ScheduleOptions.__annotations__
    schedule = {name: value for name, value in options.items() if name in known}
    checked_schedule(function, **cast("ScheduleOptions", schedule))
