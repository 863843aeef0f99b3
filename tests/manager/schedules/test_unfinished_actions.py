"""Actions whose process is gone: they are closed by whoever looks, with what became of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ojobchannels as oc
from ojobchannels.manager.actions import journal, unfinished
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.actions.unfinished import LIFE_SIGN, UnfinishedActions

_LIFE_SIGN = "daemon 1"
_SECRET = {"args": {"pin": "pin-4711"}}


def _requested(manager: oc.JobManager) -> Action:
    details = {**_SECRET, LIFE_SIGN: _LIFE_SIGN}
    return journal.record(manager.state, "now", "nightly", details=details, requested=True)


def _taken(manager: oc.JobManager) -> Action:
    by = {"host": "web1", "pid": 7, LIFE_SIGN: _LIFE_SIGN, "args": {"pin": "***"}}
    taken = journal.move(manager.state, _requested(manager), "taken", **by)
    assert taken is not None
    return taken


def _run_of(manager: oc.JobManager, action: Action) -> oc.JobRun:
    return manager.start("nightly", extra={"requested": action.origin})


@pytest.mark.parametrize("make", [_requested, _taken])
def test_it_stays_as_it_is_while_its_process_lives(
    manager: oc.JobManager, make: Callable[[oc.JobManager], Action]
) -> None:
    """A life sign that is held shows that its process will finish it."""
    with manager.state.lock(_LIFE_SIGN, ttl=600):
        made = make(manager)
        assert manager.actions()[0].state == made.state
    assert manager.actions()[0].state != made.state


def test_a_request_whose_author_died_expires_without_its_values(manager: oc.JobManager) -> None:
    """No other process knows which of its args are secrets."""
    _requested(manager)
    (action,) = manager.actions()
    assert (action.state, action.details["args"]) == ("expired", {"pin": "***"})
    assert "has ended" in action.details["error"]
    assert "pin-4711" not in str([value for _, value in manager.state.items()])


def test_an_action_that_was_taken_by_a_dead_daemon_has_failed(manager: oc.JobManager) -> None:
    """It names the daemon; it is not run again, because nothing shows how far it came."""
    _taken(manager)
    (action,) = manager.actions()
    assert (action.state, action.details["runs"]) == ("failed", [])
    assert "web1:7" in action.details["error"]


def test_it_is_open_while_its_run_holds_its_lock(manager: oc.JobManager) -> None:
    """A daemon that is stopped by a signal may continue; its run counts as active until then."""
    taken = _taken(manager)
    run = _run_of(manager, taken)
    assert manager.actions()[0].state == "taken"
    run.end()
    (action,) = manager.actions()
    assert (action.state, action.details["status"]) == ("failed", "completed")
    assert action.details["runs"] == [run.run_id]


def test_a_daemon_that_was_taken_for_dead_corrects_that(manager: oc.JobManager) -> None:
    """What it reports is true, and replaces what others concluded."""
    taken = _taken(manager)
    assert manager.actions()[0].state == "failed"
    journal.finish(manager.state, taken, "done", status="completed", runs=["abc"])
    (action,) = manager.actions()
    assert (action.state, action.details["status"]) == ("done", "completed")
    assert action.details["runs"] == ["abc"]
    assert "error" not in action.details


@pytest.mark.parametrize("to", ["requested", "taken"])
def test_a_request_to_cancel_ends_with_its_run(manager: oc.JobManager, to: str) -> None:
    """Also if the process of the run died before it could say so."""
    run = manager.start("nightly")
    action = journal.record(manager.state, "cancel", run.run_id, requested=True)
    if to == "taken":
        assert journal.move(manager.state, action, "taken") is not None
    assert manager.actions()[0].state == to
    manager.force_unlock("nightly")
    (_, closed) = manager.actions()
    assert (closed.state, closed.details["status"]) == ("done", "abandoned")
    with pytest.raises(oc.LockLost):
        run.end()


def test_a_daemon_closes_old_and_new_ones(manager: oc.JobManager) -> None:
    """It looks at what was there when it began, at what comes, and again at what stays open."""
    with manager.state.lock(_LIFE_SIGN, ttl=600):
        first = _taken(manager)
        watch = UnfinishedActions(manager)
        watch.close()
        second = _requested(manager)
        watch.close()
        found = [journal.find(manager.state, each.number) for each in (first, second)]
        assert [each.state for each in found if each] == ["taken", "requested"]
    watch.close()
    found = [journal.find(manager.state, each.number) for each in (first, second)]
    assert [each.state for each in found if each] == ["failed", "expired"]


def test_only_names_of_args_are_shown_before_it_is_taken(manager: oc.JobManager) -> None:
    """The values are stored for the daemon that runs it; a reader does not get them."""
    with manager.state.lock(_LIFE_SIGN, ttl=600):
        _requested(manager)
        assert manager.actions()[0].details["args"] == {"pin": "***"}


def test_details_without_args_are_kept() -> None:
    """Other details have no secrets."""
    assert unfinished.without_values({"until": 3}) == {"until": 3}
