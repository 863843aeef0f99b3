"""The options of schedules in Python, as they are checked where the job is declared."""

from __future__ import annotations

from typing import Any

import pytest

import ojobchannels as oc


@pytest.mark.parametrize(
    ("options", "option", "text"),
    [
        ({"cron": "0 99 * * *"}, "cron", "`99` is not a valid hour (column 3 of '0 99 * * *')"),
        ({"cron": "0 0 0"}, "cron", "'0 0 0' has 3 fields, not five or six"),
        ({"cron": "*/90 * * * *"}, "cron", "pass interval=5400 instead of cron"),
        ({"cron": "0 0 30 2 *"}, "cron", "never fires"),
        ({"cron": "@dayly"}, "cron", "did you mean `@daily`?"),
        ({"cron": 5}, "cron", "5 is not a text"),
        ({"interval": 0.01}, "interval", "pass at least 0.1 seconds"),
        ({"interval": "1h"}, "interval", "'1h' is not a duration"),
        ({"cron": "@daily", "interval": 60}, "interval", "both say when the job runs"),
        ({"cron": "@daily", "timezone": "Europe/Lisbonn"}, "timezone", "`Europe/Lisbon`"),
        ({"cron": "@daily", "timezone": None}, "timezone", "pass its name"),
        ({"cron": "@daily", "misfire": "some"}, "misfire", "pass latest, all or none"),
        ({"cron": "@daily", "jitter": -1}, "jitter", "out of range"),
        ({"cron": "@daily", "overdue_after": 0}, "overdue_after", "out of range"),
        ({"timezone": "Europe/Lisbon"}, "timezone", "the job has no schedule"),
        ({"interval": 60, "timezone": "local"}, "timezone", "has an interval; pass cron"),
        ({"jitter": 5}, "jitter", "the job has no schedule"),
        ({"misfire": "all"}, "misfire", "the job has no schedule"),
        ({"overdue_after": 5}, "overdue_after", "the job has no schedule"),
    ],
)
def test_wrong_options_are_refused_at_the_declaration(
    options: dict[str, Any], option: str, text: str
) -> None:
    """The error names the option, what is wrong and where, and what to write; async too."""

    async def awaited() -> None:
        """Do nothing."""

    with oc.JobManager() as manager, pytest.raises(oc.InvalidOption) as raised:
        manager.job("report", **options)(lambda: None)
    assert raised.value.option == option
    assert text in str(raised.value)
    with pytest.raises(oc.InvalidOption) as raised:
        oc.AsyncJobManager().job("report", **options)(awaited)
    assert raised.value.option == option


def test_a_function_that_needs_arguments_has_no_schedule() -> None:
    """The error names the first argument without a default."""
    with oc.JobManager() as manager, pytest.raises(oc.InvalidOption, match="needs 'day'"):
        manager.job("report", cron="@daily")(lambda day, hour=1: (day, hour))
    with oc.JobManager() as manager:
        manager.job("report", cron="@daily")(lambda *days, **more: (days, more))


def test_jobs_with_the_same_options_share_their_schedule() -> None:
    """So that very many of them cost little memory."""
    with oc.JobManager() as manager:
        first, second = (
            manager.job(name, cron="0 2 * * *", timezone="local")(lambda: None) for name in "ab"
        )
        third = manager.job("c", cron="0 2 * * *", timezone="local", jitter=1)(lambda: None)
    assert first.schedule is second.schedule
    assert first.schedule != third.schedule
