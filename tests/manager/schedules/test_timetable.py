"""Jitter: each fire time is delayed by the same time on all hosts."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from ojobchannels.manager.schedules.cron import Cron, Interval
from ojobchannels.manager.schedules.timetable import Timetable, Trigger, trigger_of

NOON = 1_772_366_400_000
MINUTE = 60_000


@pytest.mark.parametrize("trigger", [Interval(MINUTE), Cron("* * * * *", UTC)])
@pytest.mark.parametrize("jitter", [1, 30_000, 10 * MINUTE])
def test_a_delay_keeps_the_order_and_stays_below_the_jitter(trigger: Trigger, jitter: int) -> None:
    """It never reaches the next fire time, however long the jitter is."""
    times = Timetable(trigger, "nightly", jitter)
    due = [times.due(NOON + at * MINUTE) for at in range(100)]
    assert due == sorted(due)
    assert all(0 <= one - NOON - at * MINUTE < min(jitter, MINUTE) for at, one in enumerate(due))


def test_two_hosts_agree_and_two_schedules_differ() -> None:
    """The delay follows from the name and the fire time."""
    one, same, other = (Timetable(Interval(MINUTE), name, MINUTE) for name in ("a", "a", "b"))
    times = [NOON + at * MINUTE for at in range(20)]
    assert [one.due(at) for at in times] == [same.due(at) for at in times]
    assert len({one.due(at) - at for at in times}) > 15
    assert [one.due(at) for at in times] != [other.due(at) for at in times]


def test_every_fire_time_is_due_once_at_its_moment() -> None:
    """Between two moments, `latest` and `after` agree on which time is due."""
    times = Timetable(Interval(MINUTE), "nightly", 50_000)
    fire_time = NOON
    for _ in range(50):
        due = times.due(fire_time)
        assert times.latest(due) == fire_time
        assert times.after(due - 1) == fire_time
        assert times.next_due(due - 1) == due
        latest = times.latest(due - 1)
        assert latest is not None
        assert latest < fire_time
        fire_time += MINUTE


@pytest.mark.parametrize(
    ("cron", "interval", "zone"),
    [(None, 0, "UTC"), ("no cron", 0, "UTC"), ("* * * * *", 0, "../etc"), ("* * * * *", 0, "")],
)
def test_this_host_does_not_guess_what_it_cannot_compute(
    cron: str | None, interval: int, zone: str
) -> None:
    """Another version, or another, may have published anything."""
    assert trigger_of(cron, interval, zone) is None


def test_a_rule_of_posix_is_a_zone() -> None:
    """A host whose zone has no name publishes its rule."""
    trigger = trigger_of("0 3 * * *", 0, "CET-1CEST,M3.5.0,M10.5.0/3")
    assert trigger is not None
    assert trigger.after(NOON) == NOON + 14 * 60 * MINUTE


@pytest.mark.parametrize("text", ["*/7 * * * *", "0 3 * * *", "30 2 * * 0"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Lisbon"])
def test_earlier_calls_do_not_change_a_result(text: str, zone: str) -> None:
    """A cron expression remembers its last fire time, in whichever order they are wanted."""
    asked = Cron(text, ZoneInfo(zone))
    moments = [NOON + step * 7_919_001 for step in range(60)]
    shuffled = [moment + more for moment in moments for more in (0, -1, MINUTE, -86_400_000)]
    found = [asked.after(moment) for moment in shuffled]
    assert found == [Cron(text, ZoneInfo(zone)).after(moment) for moment in shuffled]
