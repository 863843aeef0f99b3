"""Runs by the beginnings of their identifiers: never a guess."""

import pytest

import ojobchannels as oc
from ojobchannels.errors import WrongRun
from ojobchannels.manager import records
from ojobchannels.manager.overview import lookup

_FIRST, _SECOND = "abcdef01" + "0" * 24, "abcdef02" + "0" * 24


def _add(manager: oc.JobManager, name: str, run_id: str, status: str = "completed") -> None:
    channel = manager.state if status == "skipped" else manager.jobs
    records.add(channel, records.begun(name, run_id, status, {}), 1_800_000_000_000)


def test_a_beginning_that_one_run_has_names_it(manager: oc.JobManager) -> None:
    """Also that of a run that did not begin; six characters are enough."""
    _add(manager, "one", "123456" + "0" * 26)
    _add(manager, "two", "654321" + "0" * 26, "skipped")
    assert [_name(manager, each) for each in ("123456", "654321")] == ["one", "two"]
    assert manager.record("12345") is None
    assert manager.record("777777") is None


@pytest.mark.parametrize("status", ["completed", "skipped"])
def test_a_beginning_that_several_runs_have_is_an_error_that_lists_them(
    manager: oc.JobManager, status: str
) -> None:
    """With job, status and start; more characters choose one."""
    _add(manager, "one", _FIRST)
    _add(manager, "two", _SECOND, status)
    for act in (manager.record, manager.rerun, manager.cancel):
        with pytest.raises(WrongRun, match="2 runs begin with it") as caught:
            act("abcdef")
        assert all(text in str(caught.value) for text in (_FIRST, _SECOND, "'one'", status))
    assert _name(manager, "abcdef01") == "one"
    assert _name(manager, _SECOND) == "two"


def test_only_the_first_of_many_are_listed(manager: oc.JobManager) -> None:
    """A message has a readable length."""
    for number in range(9):
        _add(manager, f"job {number}", f"abcdef{number}" + "0" * 25)
    with pytest.raises(WrongRun, match=r"9 runs begin with it: .* 4 more;"):
        manager.record("abcdef")


def test_an_identifier_that_is_the_beginning_of_another_one_is_exact(
    manager: oc.JobManager,
) -> None:
    """An embedding program may choose short identifiers."""
    _add(manager, "one", "nightly-1")
    _add(manager, "two", "nightly-12")
    assert _name(manager, "nightly-1") == "one"


def test_whole_identifiers_lead_to_their_runs(manager: oc.JobManager) -> None:
    """Of all kinds of records, also of later ones, whether or not the storage has an index."""
    for number, status in enumerate(("completed", "skipped", "failed") * 4):
        run_id = f"{number:032x}"
        _add(manager, f"job {number}", run_id, status)
        assert _name(manager, run_id) == f"job {number}"
        assert manager.record(f"f{number:031x}") is None
    assert [_name(manager, f"{number:032x}") for number in (0, 1, 2)] == ["job 0", "job 1", "job 2"]


def test_a_recent_run_is_meant_rather_than_one_of_long_ago(
    simple_manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a long history is read to its beginning only for a run that is as old."""
    monkeypatch.setattr(lookup, "COMPARED", 3)
    _add(simple_manager, "old", "abcdef01" + "0" * 24)
    _add(simple_manager, "older", "fedcba01" + "0" * 24)
    for number in range(3):
        _add(simple_manager, f"job {number}", f"00000{number}" + "0" * 26)
    _add(simple_manager, "new", "abcdef02" + "0" * 24)
    assert _name(simple_manager, "abcdef") == "new"
    assert _name(simple_manager, "fedcba") == "older"
    assert _name(simple_manager, "abcdef01") == "old"


def test_a_run_is_cancelled_by_a_beginning_that_only_ended_runs_share(
    manager: oc.JobManager,
) -> None:
    """A run that has ended cannot be meant."""
    run = manager.start("report")
    _add(manager, "old", run.run_id[:8] + "f" * 24)
    action = manager.cancel(run.run_id[:8])
    assert action.target == run.run_id
    run.fail("cancelled")


def _name(manager: oc.JobManager, run_id: str) -> str | None:
    record = manager.record(run_id)
    return None if record is None else record.name
