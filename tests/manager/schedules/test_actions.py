"""Actions of operators: recorded in the state channel, and found by every process."""

import threading

import pytest

import ojobchannels as oc
from ojobchannels.errors import InvalidOption
from ojobchannels.manager.actions import journal
from tests.manager.schedules.conftest import Publish, schedule


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
    """The daemon that runs it gets them; readers of the journal do not, also afterwards."""
    with pytest.raises(oc.NoDaemon):
        manager.run_now("nightly", {"password": "hunter2", "day": 3}, wait=0)
    assert manager.actions(1)[0].details["args"] == {"password": "***", "day": 3}
    assert "hunter2" not in str([value for _, value in manager.state.items()])
