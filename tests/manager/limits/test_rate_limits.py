"""Rate limits: a job starts at most N times in any period, over all managers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.limits import counted_starts
from ojobchannels.manager.limits.rate import RateLimit, check_rate_limit, parsed

if TYPE_CHECKING:
    from tests.manager.conftest import Managers

NOW = 1_900_000_000_000


@pytest.mark.parametrize(
    ("text", "starts", "period"),
    [
        ("10/1m", 10, 60_000),
        ("1/90s", 1, 90_000),
        ("100/h", 100, 3_600_000),
        ("1000/366d", 1000, 366 * 86_400_000),
    ],
)
def test_a_rate_limit_is_starts_and_a_period(text: str, starts: int, period: int) -> None:
    """The period is a number with its unit, or the unit alone."""
    assert parsed(text) == RateLimit(text, starts, period)


@pytest.mark.parametrize(
    "text", ["", "10", "0/1m", "1001/1m", "1/0s", "1/367d", "1.5/1m", "-1/1m", "1/m m", "٣/1m", 1.5]
)
def test_an_invalid_rate_limit_is_refused(simple_manager: oc.JobManager, text: Any) -> None:
    """With an example of a valid one."""
    with pytest.raises(oc.InvalidOption, match="such as 10/1m"):
        simple_manager.run("call", rate_limit=text)


def take(state: oc.Channel, seconds: float, text: str = "2/10s") -> float:
    """Count a start, and return the seconds to wait."""
    limit = check_rate_limit(text)
    assert limit is not None
    return counted_starts.take(state, "call", limit, round((NOW + seconds * 1000) * 1000))


def test_no_period_has_more_starts_than_the_limit() -> None:
    """Wherever it begins; the pause is exactly the time until the next start is possible."""
    with oc.open_channel("rates") as state:
        assert [take(state, at) for at in (0, 9, 9.5)] == [0, 0, 0.5]
        assert [take(state, at) for at in (10, 10.001, 18.999)] == [0, 8.999, 0.001]
        assert take(state, 19) == 0
        counted_starts.give_back(state, "call", (NOW + 19_000) * 1000)
        assert take(state, 19.5) == 0
        assert take(state, 19.6) > 0
        state.destroy()


@pytest.mark.parametrize(
    "entry",
    [None, 7, {}, {"starts": 1}, {"starts": ["x", None], "period": "y"}, {"period": 10**18}],
)
def test_a_malformed_count_blocks_nothing(entry: Any) -> None:
    """And far times, from before the clock was set back, block nothing."""
    with oc.open_channel("malformed-rates") as state:
        state.set({"rateLimit": "call"}, entry)
        assert take(state, 0) == 0
        state.set({"rateLimit": "call"}, {"starts": [NOW * 2] * 9, "limit": "2/10s"})
        assert take(state, 0) == 0
        state.destroy()


def test_another_limit_of_the_same_job_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Each is kept: a shorter period does not forget what a longer one counts."""
    with oc.open_channel("two-rates") as state, caplog.at_level(logging.WARNING):
        assert take(state, 0, "1/1h") == 0
        assert take(state, 30, "5/10s") == 0
        assert take(state, 60, "1/1h") > 3000
        state.destroy()
    assert "has the rate limit 5/10s here, and 1/1h elsewhere" in caplog.text


def test_a_run_over_the_limit_does_not_start(managers: Managers) -> None:
    """On any manager; it is recorded as skipped, with the limit as the reason."""
    here, there = managers.open(), managers.open()
    for manager in (here, there):
        manager.start("call", rate_limit="2/1h").end()
    with pytest.raises(oc.RateLimited, match="rate limit 2/1h") as limited:
        here.start("call", rate_limit="2/1h")
    assert 3000 < limited.value.remaining <= 3600
    assert [record["status"] for record in there.runs()].count("completed") == 2
    (skipped,) = there.runs(status="skipped")
    assert skipped["reason"].startswith("rate limit 2/1h reached, next start possible in ")
    assert here.locks.locks() == [], "the lock is not kept"
    there.start("call").end()


def test_a_run_can_wait_for_its_turn(simple_manager: oc.JobManager) -> None:
    """Without the lock, until the period of the start before is over."""
    first = simple_manager.start("call", rate_limit="1/1s")
    first.end()
    second = simple_manager.start("call", rate_limit="1/1s", wait=20)
    second.end()
    assert second.record["startTime"] - first.record["startTime"] >= 1000
    with pytest.raises(oc.RateLimited) as limited:
        simple_manager.start("call", rate_limit="1/1h", wait=0.05)
    assert limited.value.waited >= 0.05


def test_a_run_that_does_not_begin_is_not_counted(simple_manager: oc.JobManager) -> None:
    """Its fire time was taken by another run meanwhile."""
    due = NOW
    simple_manager.start("call", fire_time=due).end()
    run = simple_manager.run("call", fire_time=due, rate_limit="1/1h")
    with pytest.raises(oc.FireTimeTaken):
        run.start()
    simple_manager.start("call", rate_limit="1/1h").end()


def test_a_function_over_the_limit_is_skipped(simple_manager: oc.JobManager) -> None:
    """With `if_running="skip"`; without, the error is raised."""
    skips = simple_manager.job("skips", rate_limit="1/1h", if_running="skip")(lambda: 7)
    fails = simple_manager.job("fails", rate_limit="1/1h")(lambda: 7)
    assert [skips(), skips()] == [7, None]
    assert fails() == 7
    with pytest.raises(oc.RateLimited):
        fails()


def test_pruning_removes_what_counts_nothing_any_more(simple_manager: oc.JobManager) -> None:
    """An entry without a start for longer than its period, and a day more; others stay."""
    hour, day, now = 3_600_000, 86_400_000, now_ms()
    limit = RateLimit("1/1h", 1, hour)
    ages = {"old": hour + day + hour, "of today": hour + day - hour, "new": 0}
    for name, age in ages.items():
        assert counted_starts.take(simple_manager.state, name, limit, (now - age) * 1000) == 0
    simple_manager.prune(0)
    keys = [key for key in simple_manager.state.get_keys() if "rateLimit" in str(key)]
    assert keys == [{"rateLimit": "of today"}, {"rateLimit": "new"}]
