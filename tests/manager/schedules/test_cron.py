"""Fire times: cron expressions in real time zones, and intervals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ojobchannels.manager.schedules.cron import Cron, CronError, Interval

MINUTE = 60_000
CHANGES = {
    "Europe/Lisbon": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-10-04", "2026-04-05"),  # by half an hour
    "America/Sao_Paulo": ("2018-11-04", "2018-02-18"),  # at midnight
    "Africa/Cairo": ("2026-04-24", "2026-10-30"),
}
FORWARD = [(zone, days[0]) for zone, days in CHANGES.items()]
BACK = [(zone, days[1]) for zone, days in CHANGES.items()]


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def shown(moment: int, zone: str = "UTC") -> str:
    return datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).isoformat(timespec="minutes")


def following(text: str, begin: str, count: int, zone: str = "UTC") -> list[str]:
    cron, at, found = Cron(text, ZoneInfo(zone)), ms(begin, zone), []
    for _ in range(count):
        moment = cron.after(at)
        assert moment is not None
        at = moment
        found.append(shown(at, zone)[:16])
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 2 * * *", ["2026-02-27T02:00", "2026-02-28T02:00", "2026-03-01T02:00"]),
        ("*/20 9 * * MON-FRI", ["2026-02-27T09:00", "2026-02-27T09:20", "2026-02-27T09:40"]),
        ("0 9-9/4 * * 5-5/2", ["2026-02-27T09:00", "2026-03-06T09:00", "2026-03-13T09:00"]),
        ("0 9 * * FRI-SUN", ["2026-02-27T09:00", "2026-02-28T09:00", "2026-03-01T09:00"]),
        ("0 9 * * sat-mon", ["2026-02-28T09:00", "2026-03-01T09:00", "2026-03-02T09:00"]),
        ("0 9 * * FRI-TUE/2,WED", ["2026-02-27T09:00", "2026-03-01T09:00", "2026-03-03T09:00"]),
        ("0 9 1 NOV-FEB *", ["2026-11-01T09:00", "2026-12-01T09:00", "2027-01-01T09:00"]),
        ("*/60 9 * * *", ["2026-02-27T09:00", "2026-02-28T09:00", "2026-03-01T09:00"]),
        ("30 0 9 * * *", ["2026-02-27T09:00", "2026-02-28T09:00", "2026-03-01T09:00"]),
        ("0 12 L * ?", ["2026-02-28T12:00", "2026-03-31T12:00", "2026-04-30T12:00"]),
        ("0 12 LW * *", ["2026-02-27T12:00", "2026-03-31T12:00", "2026-04-30T12:00"]),
        ("0 12 ? * 5#2", ["2026-03-13T12:00", "2026-04-10T12:00", "2026-05-08T12:00"]),
        ("0 12 * * 5L", ["2026-02-27T12:00", "2026-03-27T12:00", "2026-04-24T12:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00", "2036-02-29T00:00"]),
        ("0 0 1 jan,Jul *", ["2026-07-01T00:00", "2027-01-01T00:00", "2027-07-01T00:00"]),
        ("@hourly", ["2026-02-26T16:00", "2026-02-26T17:00", "2026-02-26T18:00"]),
        ("@Daily", ["2026-02-27T00:00", "2026-02-28T00:00", "2026-03-01T00:00"]),
        ("@weekly", ["2026-03-01T00:00", "2026-03-08T00:00", "2026-03-15T00:00"]),
        ("@monthly", ["2026-03-01T00:00", "2026-04-01T00:00", "2026-05-01T00:00"]),
        ("@yearly", ["2027-01-01T00:00", "2028-01-01T00:00", "2029-01-01T00:00"]),
    ],
)
def test_an_expression_fires_at_its_times(text: str, expected: list[str]) -> None:
    """Five or six fields with seconds first, names, steps, L, # and shorthands are supported."""
    assert following(text, "2026-02-26T15:30", 3) == expected


@pytest.mark.parametrize("days", ["MON-SUN", "SUN-SAT", "THU-WED", "1-7", "0-6", "3-2", "7-6"])
def test_a_range_over_the_whole_week_is_every_day(days: str) -> None:
    """On whichever day it begins."""
    expected = ["2026-02-27T09:00", "2026-02-28T09:00", "2026-03-01T09:00", "2026-03-02T09:00"]
    assert following(f"0 9 * * {days}", "2026-02-26T15:30", 4) == expected


@pytest.mark.parametrize(
    ("text", "offset", "advice"),
    [
        ("*/90 * * * *", 0, "for every 90 minutes, write `timeInterval: 5400000` instead"),
        ("5/61 * * * *", 0, "for every 61 minutes, write `timeInterval: 3660000` instead"),
        ("0 */25 * * *", 2, "for every 25 hours, write `timeInterval: 90000000` instead"),
        ("*/61 * * * * *", 0, "for every 61 seconds, write `timeInterval: 61000` instead"),
        ("0 0 1,*/32 * *", 4, "write a shorter step"),
        ("0 0 1 */13 *", 6, "write a shorter step"),
        ("0 0 * * */8", 8, "write a shorter step"),
    ],
)
def test_a_step_longer_than_its_field_is_refused(text: str, offset: int, advice: str) -> None:
    """Cron would take `*/90` minutes for hourly."""
    with pytest.raises(CronError) as raised:
        Cron(text)
    assert raised.value.offset == offset
    assert raised.value.advice.startswith(advice)


@pytest.mark.parametrize("text", ["30 1 * * *", "0 30 1 * * *"])
def test_a_skipped_wall_time_fires_at_the_end_of_the_gap(text: str) -> None:
    """Clocks in Lisbon go from 1:00 to 2:00; a job for 1:30 runs once on that day, at 2:00."""
    times = following(text, "2026-03-28T12:00", 2, "Europe/Lisbon")
    assert times == ["2026-03-29T02:00", "2026-03-30T01:30"]


@pytest.mark.parametrize("text", ["30 1 * * *", "0 30 1 * * *"])
def test_a_repeated_wall_time_fires_the_first_time(text: str) -> None:
    """Clocks in Lisbon go from 2:00 back to 1:00; a job for 1:30 runs once on that day."""
    times = following(text, "2026-10-24T12:00", 2, "Europe/Lisbon")
    assert times == ["2026-10-25T01:30", "2026-10-26T01:30"]


@pytest.mark.parametrize(("zone", "day"), FORWARD + BACK)
@pytest.mark.parametrize("text", ["*/15 * * * *", "7 * * * *", "*/30 */2 * * *"])
def test_an_hourly_job_follows_the_wall_clock_over_changes(zone: str, day: str, text: str) -> None:
    """It fires whenever the wall clock shows a matching time, in both of two repeated hours."""
    fits: dict[str, Callable[[datetime], bool]] = {
        "*/15 * * * *": lambda at: at.minute % 15 == 0,
        "7 * * * *": lambda at: at.minute == 7,
        "*/30 */2 * * *": lambda at: at.minute % 30 == 0 and at.hour % 2 == 0,
    }
    begin, end = ms(f"{day}T00:00", zone) - 3 * 60 * MINUTE, ms(f"{day}T12:00", zone)
    expected = [
        moment
        for moment in range(begin, end, MINUTE)
        if fits[text](datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)))
    ]
    cron, found, at = Cron(text, ZoneInfo(zone)), [], cron_start(begin)
    while (at := cron.after(at) or end) < end:
        found.append(at)
    assert found == expected


def cron_start(begin: int) -> int:
    return begin - 1


@pytest.mark.parametrize(("zone", "day"), FORWARD + BACK)
@pytest.mark.parametrize("minutes", range(0, 240, 15))
def test_a_daily_job_fires_once_a_day_over_changes(zone: str, day: str, minutes: int) -> None:
    """Once on each day around a clock change, at its time if that exists."""
    hour, minute = divmod(minutes, 60)
    cron = Cron(f"{minute} {hour} * * *", ZoneInfo(zone))
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo(zone))
    for shift in (-1, 0, 1):
        middle = ms_of(noon + timedelta(days=shift))
        begin = ms_of(noon + timedelta(days=shift - 1))
        first = cron.after(begin)
        assert first is not None
        assert first < middle
        wall = datetime.fromtimestamp(first / 1000, ZoneInfo(zone))
        on_time = (wall.hour, wall.minute) == (hour, minute)
        assert on_time or shift == 0
        assert wall.fold == 0
        assert (cron.after(first) or 0) > middle


def ms_of(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@pytest.mark.parametrize(("zone", "day"), FORWARD + BACK)
@pytest.mark.parametrize("text", ["30 1 * * *", "*/15 * * * *", "0,20,40 0-3 * * *", "5 */3 * * *"])
def test_the_latest_fire_time_is_the_one_before_the_next(zone: str, day: str, text: str) -> None:
    """Walking back from any minute around a change finds the same times as walking forward."""
    cron = Cron(text, ZoneInfo(zone))
    begin, end = ms(f"{day}T00:00", zone) - 180 * MINUTE, ms(f"{day}T06:00", zone)
    before = cron.latest(begin)
    for moment in range(begin, end, 10 * MINUTE):
        following = cron.after(moment - 10 * MINUTE)
        while following is not None and following <= moment:
            before, following = following, cron.after(following)
        assert cron.latest(moment) == before
        assert cron.latest(moment + 500) == before


def test_a_fire_time_is_not_its_own_successor() -> None:
    """From a fire time, and from half a second after it, the next one is a whole period away."""
    cron, at = Cron("* * * * *"), ms("2026-01-01T00:00")
    assert cron.after(at) == at + MINUTE
    assert cron.after(at + 500) == at + MINUTE
    assert cron.after(at - 1) == at
    assert cron.latest(at) == at
    assert cron.latest(at - 1) == at - MINUTE


def test_an_interval_fires_at_its_multiples() -> None:
    """All servers fire at the same times, whenever they were started."""
    interval = Interval(5000)
    assert [interval.after(at) for at in (0, 4999, 5000)] == [5000, 5000, 10000]
    assert [interval.latest(at) for at in (4999, 5000, 5001)] == [0, 5000, 5000]


@pytest.mark.parametrize(
    ("text", "offset"), [("61 * * * *", 0), ("* * * * * 9", 10), ("0 0 L,x * *", 4), ("0 0 0", 0)]
)
def test_an_error_has_the_offset_of_its_field(text: str, offset: int) -> None:
    """So that an editor can place its cursor there."""
    with pytest.raises(CronError) as caught:
        Cron(text)
    assert caught.value.offset == offset
