"""What readers remember of the state channel: nothing that has changed, and few requests."""

from __future__ import annotations

import pytest

from ojobchannels.host.clock import now_ms
from ojobchannels.manager.schedules import followed
from ojobchannels.manager.schedules.followed import FollowedState
from ojobchannels.manager.serving.presence import Presence
from tests.manager.conftest import Managers, Meddler, complete
from tests.manager.schedules.conftest import schedule

_SCHEDULES = 30


def test_every_change_is_seen_by_the_next_reading(managers: Managers) -> None:
    """Of documents that were there, that were not, and of several at once."""
    state = managers.open().state
    reader = FollowedState(lambda: state)
    state.set("there", 1)
    reader.refresh()
    assert [reader.get("there"), reader.get("missing", "none")] == [1, "none"]
    for value in range(2, 5):
        state.set("there", value)
        state.set("missing", {"value": value})
        reader.refresh()
        assert [reader.get("there"), reader.get("missing")] == [value, {"value": value}]


def test_an_emptied_channel_is_read_again(managers: Managers) -> None:
    """Nothing of what was there before is remembered."""
    state = managers.open().state
    state.set("there", 1)
    reader = FollowedState(lambda: state)
    reader.refresh()
    assert reader.get("there") == 1
    state.unset("there")
    reader.refresh()
    assert reader.get("there", "none") == "none"


def test_what_was_removed_is_forgotten_in_the_end(simple_managers: Managers) -> None:
    """When everything is read again."""
    state = simple_managers.open().state
    state.set("removed", 1)
    state.set("later", 1)
    reader = FollowedState(lambda: state)
    reader.refresh()
    assert reader.get("removed") == 1
    state.unset("removed")
    reader._began -= followed._KEPT_SECONDS
    reader.refresh()
    assert reader.get("removed", "none") == "none"


def test_schedules_that_have_not_changed_cost_no_requests(
    simple_managers: Managers, meddler: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number does not matter to a page that reads them again and again."""
    monkeypatch.setattr(followed, "_KEPT_SECONDS", 3600)
    writer, reader = simple_managers.open(), simple_managers.open(on_state=meddler)
    daemon = Presence(writer.state, "/srv/jobs.yaml", "hash")
    names = [f"job {number}" for number in range(_SCHEDULES)]
    daemon.update([schedule(name, since=now_ms()) for name in names], {}, "hash")
    assert len(reader.schedules()) == _SCHEDULES
    asked = meddler.calls["get"]
    assert len(reader.schedules()) == _SCHEDULES
    assert meddler.calls["get"] == asked
    complete(writer, "job 3")
    writer.pause("job 3", reason="moved")
    paused = [each.name for each in reader.schedules() if each.paused is not None]
    assert (paused, meddler.calls["get"]) == (["job 3"], asked)
    daemon.close()
    assert [each.alive for each in reader.daemons()] == [False]
