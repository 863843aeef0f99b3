"""Daemons with more schedules than fit into one document."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.documents import encode
from ojobchannels.manager.schedules import schedule_documents
from ojobchannels.manager.schedules.followed import FollowedState
from ojobchannels.manager.schedules.published import Published, part_key
from ojobchannels.manager.schedules.schedule_documents import ScheduleDocuments, read, remove
from tests.manager.schedules.conftest import schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.manager.conftest import Managers, Meddler

_ID = "daemon"
_FIRST = part_key(_ID, "schedules")
_MANY = 20


@pytest.fixture(autouse=True)
def _small_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two schedules fit into a document, and remove what is replaced at once."""
    length = 2 * len(encode(schedule("job 10").document))
    monkeypatch.setattr(schedule_documents, "_LONGEST_TEXT", length)
    monkeypatch.setattr(schedule_documents, "_KEPT_SECONDS", 0)


def _some(*numbers: int, **changes: Any) -> list[Published]:
    return [
        schedule(f"job {10 + number}", since=1_000_000_000_000, **changes) for number in numbers
    ]


def _values(state: oc.Channel) -> list[Any]:
    return [value for key, value in state.items() if key.get("daemon") == _ID]


def _write(state: oc.Channel, schedules: Sequence[Published]) -> ScheduleDocuments:
    documents = ScheduleDocuments(state, _ID)
    documents.write(schedules)
    return documents


def test_schedules_that_fit_are_one_document(simple_manager: oc.JobManager) -> None:
    """It is the document that earlier versions write and read."""
    state, few = simple_manager.state, _some(1, 2)
    _write(state, few)
    assert _values(state) == [{"schedules": [each.document for each in few]}]
    assert read(state, _ID) == few


def test_many_are_several_documents(manager: oc.JobManager) -> None:
    """None of them is too large, and what each process reads is all of them, in order."""
    state, many = manager.state, _some(*range(_MANY))
    documents = _write(state, many)
    assert [len(value["schedules"]) for value in _values(state)] == [2] * (_MANY // 2)
    followed = FollowedState(lambda: state)
    followed.refresh()
    assert read(state, _ID) == read(followed, _ID) == many
    documents.write([])
    documents.remove_replaced()
    followed.refresh()
    assert read(state, _ID) == read(followed, _ID) == []
    assert len(_values(state)) == 1


def test_one_that_is_too_large_has_a_document_of_its_own(simple_manager: oc.JobManager) -> None:
    """Whether it fits is up to the storage."""
    large = [*_some(1), schedule("job " + "x" * 3000), *_some(2, 3)]
    _write(simple_manager.state, large)
    assert [len(value["schedules"]) for value in _values(simple_manager.state)] == [1, 2, 1]
    assert read(simple_manager.state, _ID) == large


def test_only_what_differs_is_written_again(simple_managers: Managers, meddler: Meddler) -> None:
    """With the first document, which says what the others are."""
    state = simple_managers.open(on_state=meddler).state
    documents = _write(state, _some(*range(_MANY)))
    assert meddler.calls["set"] == _MANY // 2
    changed = [*_some(*range(7)), *_some(7, ended=True), *_some(*range(8, _MANY + 1))]
    documents.write(changed)
    assert meddler.calls["set"] == _MANY // 2 + 3
    documents.remove_replaced()
    assert read(state, _ID) == changed
    assert len(_values(state)) == _MANY // 2 + 1
    documents.write_all(changed)
    assert meddler.calls["set"] == _MANY + 4


@pytest.mark.parametrize("writes", range(1, 6))
def test_a_daemon_that_is_killed_while_it_writes_is_seen_as_before(
    simple_managers: Managers, meddler: Meddler, writes: int
) -> None:
    """Nothing is left of it when it is removed; if it continues, the new ones are seen."""
    state = simple_managers.open(on_state=meddler).state
    old, new = _some(*range(8)), _some(*range(10), ended=True)
    documents = _write(state, old)
    first_write = meddler.calls["set"]

    def fail() -> None:
        if meddler.calls["set"] == first_write + writes:
            raise oc.ChannelUnavailable("state", "cut off", "wait")
        meddler.before["set"] = fail

    meddler.before["set"] = fail
    with pytest.raises(oc.ChannelUnavailable):
        documents.write(new)
    meddler.before.clear()
    assert read(state, _ID) == old
    if writes % 2:
        documents.write(new)
        assert read(state, _ID) == new
    remove(state, _ID)
    assert _values(state) == []


def test_a_first_document_without_a_reply_is_not_mixed_with_the_next_one(
    simple_manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been stored: the documents that it names stay as they are."""
    state, old, new = simple_manager.state, _some(*range(8)), _some(*range(8), ended=True)
    documents = ScheduleDocuments(state, _ID)
    stored = state.set

    def lose_the_reply(key: Any, value: Any) -> None:
        stored(key, value)
        if key == _FIRST:
            raise oc.OutcomeUnknown("state", "set", "read the key")

    with monkeypatch.context() as patch, suppress(oc.OutcomeUnknown):
        patch.setattr(state, "set", lose_the_reply)
        documents.write(old)
    first = state.get(_FIRST)
    documents.write(new)
    assert read(state, _ID) == new
    state.set(_FIRST, first)
    assert read(state, _ID) == old


def test_a_reader_that_was_stopped_reads_again(simple_manager: oc.JobManager) -> None:
    """What the first document named has been replaced and removed meanwhile."""
    state, new = simple_manager.state, _some(*range(8), ended=True)
    documents = _write(state, _some(*range(8)))

    class Slow:
        def get(self, key: Any, default: Any = None) -> Any:
            if key != _FIRST:
                documents.write(new)
                documents.remove_replaced()
            return state.get(key, default)

    assert read(Slow(), _ID) == new


def test_a_replaced_document_is_kept_for_readers(
    simple_manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an earlier first document have the time to read what it names."""
    monkeypatch.setattr(schedule_documents, "_KEPT_SECONDS", 3600)
    state, old = simple_manager.state, _some(*range(8))
    documents = _write(state, old)
    first = state.get(_FIRST)
    documents.write(_some(1))
    documents.remove_replaced()
    state.set(_FIRST, first)
    assert read(state, _ID) == old


@pytest.mark.parametrize("junk", [7, [], {}, {"more": 7}, {"more": ["x", 99], "next": "y"}])
def test_documents_of_others_are_ignored(simple_manager: oc.JobManager, junk: object) -> None:
    """A malformed document can be read and removed."""
    state = simple_manager.state
    state.set(_FIRST, junk)
    assert read(state, _ID) == []
    remove(state, _ID)
    assert _values(state) == []


def test_replaced_documents_do_not_pile_up_while_schedules_change(
    simple_manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is removed some time after it was replaced, however often others are."""
    monkeypatch.setattr(schedule_documents, "_KEPT_SECONDS", 30)
    now = 0.0
    monkeypatch.setattr(schedule_documents, "time", SimpleNamespace(monotonic=lambda: now))
    documents = ScheduleDocuments(simple_manager.state, _ID)
    for turn in range(10):
        now = 20.0 * turn
        documents.write_all(_some(*range(8), ended=bool(turn % 2)))
        documents.remove_replaced()
    assert len(_values(simple_manager.state)) == 4 + 2 * 3


def test_a_removal_that_was_killed_is_completed_by_the_next(
    simple_managers: Managers, meddler: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of what a daemon wrote before its first document, which nothing names."""
    state = simple_managers.open(on_state=meddler).state
    for number in range(1, 5):
        state.set({**_FIRST, "number": number}, {"schedules": []})
    unset = state.unset

    def killed(key: Any) -> bool:
        monkeypatch.setattr(state, "unset", unset)
        unset(key)
        raise KeyboardInterrupt

    monkeypatch.setattr(state, "unset", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(state, _ID)
    assert len(_values(state)) == 3
    remove(state, _ID)
    assert _values(state) == []
