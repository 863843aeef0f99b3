"""Schedules and daemons as any process sees them, whether a daemon is alive or not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.schedules import fire_times, lists, overview, pauses
from ojobchannels.manager.schedules.overview import ScheduleInfo
from ojobchannels.manager.schedules.pauses import PauseInfo
from ojobchannels.manager.schedules.published import DAEMONS
from ojobchannels.manager.serving import presence
from tests.manager.schedules.conftest import schedule

if TYPE_CHECKING:
    from tests.manager.conftest import Managers, Meddler
    from tests.manager.schedules.conftest import Publish

MINUTE = 60_000
START = 1_772_366_400_000
"""Noon, a fire time."""


def _at(manager: oc.JobManager, moment: int, grace: int | None = None) -> ScheduleInfo:
    """Return the only schedule, as it is at a moment."""
    (info,) = overview.schedules(manager.jobs, manager.state, moment, grace)
    return info


def test_a_schedule_is_known_with_its_daemon(manager: oc.JobManager, publish: Publish) -> None:
    """Any process sees what a daemon has published, and when it is due next."""
    publish(schedule("nightly", cron="0 3 * * *", timezone="Europe/Berlin", since=START))
    info = _at(manager, START)
    assert (info.name, info.job, info.trigger) == ("nightly", "Job nightly", "0 3 * * *")
    assert info.next_time == START + 14 * 60 * MINUTE
    assert [(one.file, one.alive) for one in info.daemons] == [("/srv/jobs.yaml", True)]


def test_a_fire_time_without_a_run_is_overdue_after_the_grace(
    manager: oc.JobManager, publish: Publish
) -> None:
    """Also when all daemons are down: the schedule stays known, and the reader computes it."""
    daemon = publish(schedule("nightly", since=START))
    fire_times.last_claimed(manager.state, "nightly", START, back=False)
    daemon.close()
    due = START + MINUTE
    assert _at(manager, due + MINUTE - 1).overdue_since is None
    info = _at(manager, due + 5 * MINUTE)
    assert (info.overdue_since, info.daemons[0].alive) == (due, False)
    assert _at(manager, due + 5 * MINUTE, grace=10 * MINUTE).overdue_since is None


def test_a_run_ends_it_and_a_skipped_one_does_not(manager: oc.JobManager, publish: Publish) -> None:
    """What counts is that a run began, not that a process took care of the fire time."""
    publish(schedule("nightly", since=START))
    first, later = START + MINUTE, START + 10 * MINUTE
    manager._record_not_run("nightly", "skipped", "the lock is held", fire_time=first)
    assert _at(manager, later).overdue_since == first
    fire_times.claim(manager.state, "nightly", later, "run")
    info = _at(manager, later)
    assert (info.overdue_since, info.last_time) == (None, later)


def test_a_run_that_no_schedule_started_ends_it(manager: oc.JobManager, publish: Publish) -> None:
    """The operator has run it by hand: it is not overdue any more."""
    now = now_ms()
    publish(schedule("nightly", since=now - 10 * MINUTE))
    fire_times.last_claimed(manager.state, "nightly", now - 10 * MINUTE, back=False)
    assert _at(manager, now).overdue_since is not None
    with manager.run("nightly"):
        pass
    info = _at(manager, now_ms())
    assert info.overdue_since is None
    assert info.last_time == manager.runs("nightly")[0]["startTime"]


def test_a_restart_does_not_hide_what_was_missed(manager: oc.JobManager, publish: Publish) -> None:
    """A daemon that starts after the fire time publishes that; the claims begin earlier."""
    fire_times.last_claimed(manager.state, "nightly", START, back=False)
    publish(schedule("nightly", since=START + 30 * MINUTE))
    assert _at(manager, START + 31 * MINUTE).overdue_since == START + MINUTE


@pytest.mark.parametrize(("misfire", "first"), [("latest", 5), ("none", 6)])
def test_a_paused_schedule_is_not_overdue(
    manager: oc.JobManager, publish: Publish, misfire: str, first: int
) -> None:
    """After its end, the grace begins: for what was missed, or for the next fire time."""
    publish(schedule("nightly", since=START, misfire=misfire))
    fire_times.last_claimed(manager.state, "nightly", START, back=False)
    end = START + 5 * MINUTE + 1
    pauses.write(manager.state, "nightly", PauseInfo("ann", "moving", START, end))
    paused = _at(manager, end - 1)
    assert (paused.overdue_since, paused.paused and paused.paused.author) == (None, "ann")
    assert paused.next_time == START + 6 * MINUTE
    later = _at(manager, end + 10 * MINUTE)
    assert later.paused is None
    assert later.overdue_since == (end if first == 5 else START + 6 * MINUTE)


def test_an_ended_schedule_has_no_next_time(manager: oc.JobManager, publish: Publish) -> None:
    """Its `stopWhen` was true: nothing is due, nothing is overdue."""
    publish(schedule("nightly", since=START, ended=True))
    info = _at(manager, START + 60 * MINUTE)
    assert (info.next_time, info.overdue_since) == (None, None)


def test_a_job_without_records_is_judged_by_its_daemons(
    manager: oc.JobManager, publish: Publish
) -> None:
    """Nothing else shows that it began."""
    plain = schedule("plain", run=None, claims=None, since=START)
    daemon = publish(plain)
    assert _at(manager, START + 10 * MINUTE).overdue_since == START + MINUTE
    daemon._signed = float("-inf")
    daemon.update([plain], {"plain": START + 9 * MINUTE}, "hash")
    assert _at(manager, START + 10 * MINUTE).overdue_since is None


def test_a_daemon_replaces_the_dead_ones_of_its_file(
    manager: oc.JobManager, publish: Publish
) -> None:
    """A job that the new version of the file has not is not overdue forever."""
    publish(schedule("old"), schedule("nightly")).close()
    publish(schedule("other"), file="/srv/other.yaml").close()
    publish(schedule("nightly"))
    assert [info.name for info in overview.schedules(manager.jobs, manager.state, now_ms())] == [
        "nightly",
        "other",
    ]
    assert [info.file for info in manager.daemons()] == ["/srv/jobs.yaml", "/srv/other.yaml"]


def test_the_dead_daemons_that_are_kept_are_limited(
    manager: oc.JobManager, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Daemons that crash in new places do not fill the channel."""
    monkeypatch.setattr(presence, "_KEPT_DEAD", 3)
    for number in range(6):
        publish(schedule("nightly"), file=f"/srv/{number}.yaml").close()
    publish(schedule("nightly"))
    assert len(manager.daemons()) == 4


def test_a_daemon_that_was_removed_by_mistake_comes_back(
    manager: oc.JobManager, publish: Publish
) -> None:
    """One that was stopped by a signal for long was replaced; it continues, and is known again."""
    nightly = schedule("nightly")
    daemon = publish(nightly)
    presence.forget(manager.state, daemon.info.id)
    assert manager.schedules() == []
    manager.state.force_unlock(f"daemon {daemon.info.id}")
    assert daemon._lease is not None
    with pytest.raises(oc.LockLost):
        daemon._lease.release()
    daemon.update([nightly], {}, "hash")
    assert [(info.name, info.daemons[0].alive) for info in manager.schedules()] == [
        ("nightly", True)
    ]


def _far() -> dict[str, Any]:
    """Return a schedule with a time after the last date that there is."""
    return {"schedules": [asdict(schedule("far", since=2**62))]}


@pytest.mark.parametrize("junk", [None, 7, "text", [], {}, {"schedules": [7, {"name": 1}]}, _far()])
def test_documents_of_others_are_ignored(
    manager: oc.JobManager, publish: Publish, junk: object
) -> None:
    """The channel may contain anything: the schedules of others are still shown."""
    daemon = publish(schedule("nightly"))
    lists.change(manager.state, DAEMONS, lambda known: [*known, "stranger", 7, None, {}])
    manager.state.set({"daemon": "stranger"}, junk)
    other = publish(schedule("other"), file="/srv/other.yaml")
    manager.state.set({"daemon": other.info.id, "part": "schedules"}, junk)
    manager.state.set({"schedule": "nightly"}, {"floor": 2**62, "taken": [7, ["x"], [2**62, 1]]})
    manager.state.set({"schedules": "pauses"}, {"entries": [junk, {"name": "nightly"}]})
    assert [info.name for info in manager.schedules()] == ["nightly"]
    assert daemon.info.id in [info.id for info in manager.daemons()]


def test_a_name_is_corrected(manager: oc.JobManager, publish: Publish) -> None:
    """A slip in the name of a schedule pauses nothing, and the error has the right name."""
    publish(schedule("nightly"))
    with pytest.raises(oc.UnknownSchedule, match="did you mean 'nightly'"):
        manager.pause("nigthly")
    with pytest.raises(oc.UnknownSchedule):
        manager.resume("nigthly")
    assert manager.pause("Job nightly").since > START
    assert [info.paused is not None for info in manager.schedules()] == [True]


def test_run_now_without_a_live_daemon_is_an_error(
    manager: oc.JobManager, publish: Publish
) -> None:
    """A request is refused if no daemon can take it, and withdrawn if none takes it."""
    daemon = publish(schedule("nightly"))
    with pytest.raises(oc.NoDaemon, match="no daemon has taken the request"):
        manager.run_now("nightly", wait=0)
    assert manager.actions(1)[0].state == "expired"
    daemon.close()
    with pytest.raises(oc.NoDaemon, match="alive"):
        manager.run_now("nightly")


@pytest.mark.parametrize("not_run", [None, 5, "x", {}])
def test_malformed_claims_do_not_hide_schedules(
    manager: oc.JobManager, publish: Publish, not_run: object
) -> None:
    """A document of another version in the place of the claims counts as far as it is known."""
    publish(schedule("nightly"))
    manager.state.set({"schedule": "nightly"}, {"floor": 1, "taken": [[7]], "notRun": not_run})
    assert [(info.name, info.last_time) for info in manager.schedules()] == [("nightly", 7)]


def test_an_action_on_one_of_many_schedules_reads_nothing_of_the_others(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """When each of them has run, and when it is due next, takes long to find out."""
    daemon = presence.Presence(simple_managers.open().state, "/srv/jobs.yaml", "hash")
    daemon.update([schedule(f"job {number}") for number in range(200)], {}, "hash")
    manager = simple_managers.open(on_state=meddler)
    manager.pause("job 7")
    assert manager.resume("job 7") is not None
    with pytest.raises(oc.NoDaemon):
        manager.run_now("job 8", wait=0)
    assert meddler.calls["get"] < 100
    daemon.close()
