"""Actions of operators: recorded in the state channel, and found by every process."""

import threading
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import InvalidOption, OutcomeUnknown
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.actions import journal
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.schedules import pauses
from tests.manager.schedules.conftest import Publish, schedule

_PAUSE = {"author": "ann", "reason": "", "since": 1_800_000_000_000, "until": None}


@pytest.fixture(autouse=True)
def nightly(publish: Publish) -> None:
    """Publish the schedule that the tests act on."""
    publish(schedule("nightly"))


def _act(manager: oc.JobManager, target: str) -> None:
    journal.record(manager.state, "pause", target)


def test_an_action_is_recorded_with_author_time_and_reason(manager: oc.JobManager) -> None:
    """The latest action comes first, and has what its author gave."""
    manager.pause("nightly", reason="the store is moved", author="ann")
    manager.resume("nightly", author="bob")
    resumed, paused = manager.actions()
    assert (paused.action, paused.target, paused.author) == ("pause", "nightly", "ann")
    assert (paused.reason, paused.state) == ("the store is moved", "done")
    assert (resumed.action, resumed.author) == ("resume", "bob")
    assert resumed.time >= paused.time > 1_700_000_000_000


def test_without_an_author_it_is_the_user_and_the_host(manager: oc.JobManager) -> None:
    """An action has an author even if none is given."""
    pause = manager.pause("nightly")
    assert "@" in pause.author


def test_secrets_in_a_reason_are_masked(manager: oc.JobManager) -> None:
    """A secret does not get into the journal."""
    pause = manager.pause("nightly", reason="password=hunter2 is rotated")
    assert "hunter2" not in pause.reason


def test_texts_that_are_too_long_are_refused(manager: oc.JobManager) -> None:
    """A long text would make the documents grow, so it is refused, and nothing is paused."""
    with pytest.raises(InvalidOption, match="reason"):
        manager.pause("nightly", reason="x" * 5000)
    with pytest.raises(InvalidOption, match="author"):
        manager.pause("nightly", author="x" * 5000)
    assert manager.actions() == []


def test_a_feed_returns_each_action_once_in_order(manager: oc.JobManager) -> None:
    """A process that polls learns of every action, also of several at a time."""
    feed = journal.ActionFeed(manager.state)
    assert feed.poll() == []
    for name in ("one", "two", "three"):
        _act(manager, name)
    assert [action.target for action in feed.poll()] == ["one", "two", "three"]
    assert feed.poll() == []


def test_actions_of_many_threads_are_all_recorded(manager: oc.JobManager) -> None:
    """Processes that act at the same time do not overwrite each other."""
    names = [f"job {number}" for number in range(16)]
    threads = [threading.Thread(target=_act, args=(manager, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(action.target for action in manager.actions()) == sorted(names)


def test_only_one_process_can_take_a_request(manager: oc.JobManager) -> None:
    """A request that two processes see is carried out by one of them."""
    request = journal.record(manager.state, "now", "nightly", requested=True)
    assert journal.move(manager.state, request, "taken", by="one") is not None
    assert journal.move(manager.state, request, "taken", by="two") is None
    assert manager.actions()[0].details == {"by": "one"}


def test_old_actions_are_removed(manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is bounded."""
    monkeypatch.setattr(journal, "KEPT", 5)
    for number in range(12):
        _act(manager, f"job {number}")
    assert [action.number for action in manager.actions()] == [12, 11, 10, 9, 8]
    assert sum("action" in key for key in manager.state.get_keys() if isinstance(key, dict)) == 5


def test_a_forced_release_is_recorded(manager: oc.JobManager) -> None:
    """An eviction has its author and reason; if nothing was released, nothing is recorded."""
    assert manager.force_unlock("report", author="ann") is None
    run = manager.start("report")
    manager.force_unlock("report", author="ann", reason="its host is gone")
    (unlocked,) = manager.actions()
    assert (unlocked.action, unlocked.target, unlocked.author) == ("unlock", "report", "ann")
    assert (unlocked.reason, unlocked.details["fence"]) == ("its host is gone", run.fence)
    with pytest.raises(oc.LockLost):
        run.end()


def test_secret_args_are_not_shown(manager: oc.JobManager) -> None:
    """Of a request that no daemon took, the names are kept: only its file says which are secret."""
    with pytest.raises(oc.NoDaemon):
        manager.run_now("nightly", {"password": "hunter2", "pin": "pin-4711"}, wait=0)
    assert manager.actions(1)[0].details["args"] == {"password": "***", "pin": "***"}
    stored = str([value for _, value in manager.state.items()])
    assert "hunter2" not in stored
    assert "pin-4711" not in stored


def test_equal_requests_of_one_moment_are_two(
    manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes of one user that ask for the same in the same millisecond get a run each."""
    monkeypatch.setattr(journal, "now_ms", lambda: 1_800_000_000_000)
    monkeypatch.setattr(journal, "latest", lambda state: 0)
    numbers = [journal.record(manager.state, "now", "nightly").number for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_a_request_that_is_taken_at_once_is_recorded_once(
    manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon may take a request before its author has read what was stored."""
    add = type(manager.state).add

    def added(state: oc.Channel, key: Any, value: Any) -> bool:
        stored = add(state, key, value)
        if (made := Action.of(value)) is not None:
            journal.move(state, made, "taken", pid=1)
            raise OutcomeUnknown(state.name, "the connection was lost", "read it again")
        return stored

    monkeypatch.setattr(type(manager.state), "add", added)
    made = journal.record(manager.state, "now", "nightly", requested=True)
    assert [(each.number, each.state) for each in manager.actions()] == [(made.number, "taken")]


@pytest.mark.parametrize("head", [None, 7, {"number": "3"}, {"number": 2**62}, {}])
def test_a_malformed_journal_does_not_hang(manager: oc.JobManager, head: Any) -> None:
    """What another version or program has stored in the place of the latest number is replaced."""
    manager.state.set({"actions": "latest"}, head)
    manager.state.set({"action": 1}, "of another program")
    manager.pause("nightly", author="ann")
    manager.pause("nightly", author="bob")
    assert [action.author for action in manager.actions()] == ["bob", "ann"]


def test_a_refused_reason_leaves_everything_as_it_was(manager: oc.JobManager) -> None:
    """An action whose record is refused has no effect: nothing is done without its record."""
    manager.pause("nightly")
    run = manager.start("report")
    with pytest.raises(InvalidOption, match="reason"):
        manager.resume("nightly", reason="x" * 10_000)
    with pytest.raises(InvalidOption, match="reason"):
        manager.force_unlock("report", reason="x" * 10_000)
    assert manager.schedules()[0].paused is not None
    run.check()
    run.end()


@pytest.mark.parametrize(("longest", "expected"), [(60_000, ["b"]), (None, ["a", "b", "c"])])
def test_a_new_feed_passes_over_actions_of_other_times(
    manager: oc.JobManager,
    monkeypatch: pytest.MonkeyPatch,
    longest: int | None,
    expected: list[str],
) -> None:
    """An operator whose clock is an hour off does not hide the fresh requests of others."""
    now = now_ms()
    for target, hours in (("a", -1), ("b", 0), ("c", 1)):
        monkeypatch.setattr(journal, "now_ms", lambda hours=hours: now + hours * 3_600_000)
        _act(manager, target)
    monkeypatch.setattr(journal, "now_ms", lambda: now)
    found = journal.ActionFeed(manager.state, longest).poll()
    assert [action.target for action in found] == expected


def test_no_pause_is_dropped_because_of_others(manager: oc.JobManager) -> None:
    """Of a thousand schedules and more, each one stays paused until it is resumed."""
    old = [{**_PAUSE, "name": f"over {number}", "until": now_ms()} for number in range(1001)]
    active = [{**_PAUSE, "name": f"job {number}"} for number in range(1500)]
    entries = [*active, *old, "malformed", {"name": "malformed"}, _PAUSE]
    manager.state.set({"schedules": "pauses"}, {"entries": entries})
    manager.pause("nightly")
    found = pauses.read_all(manager.state)
    assert all(f"job {number}" in found for number in range(1500))
    assert (len(found), "over 0" in found, "over 1000" in found) == (2501, False, True)
    assert manager.resume("job 0", author="ann") is not None
