"""The records that queries return: typed attributes over a map that cannot be changed."""

import copy
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.manager import records


@pytest.fixture
def record(simple_manager: oc.JobManager) -> oc.RunRecord:
    run = simple_manager.start("load", args={"day": "monday"})
    run.update(rows=12)
    run.fail(ValueError("no file\nfor today"))
    return simple_manager.runs("load")[0]


def test_each_field_of_a_record_has_an_attribute() -> None:
    """The attribute is the name of the field in snake case; a missing field is None."""
    every = oc.RunRecord({field: field for field in records.FIELDS})
    bare = oc.RunRecord({"name": "load", "startTime": 1, "status": "running"})
    for field in set(records.FIELDS) - {"inError", "args", "locksId"}:
        attribute = re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", field)
        assert getattr(every, attribute) == field
        assert getattr(bare, attribute) == bare.get(field)
    assert (bare.in_error, bare.args) == (False, {})


def test_a_record_is_the_map_of_its_fields(record: oc.RunRecord) -> None:
    """Code that reads it as a dict works, and so do JSON, equality and channels."""
    assert record["status"] == record.status == "failed"
    assert (record.error, record["rows"]) == ("ValueError: no file\nfor today", 12)
    assert {**record} == record == json.loads(json.dumps(record))
    with oc.open_channel("copies") as channel:
        channel.set("last", record)
        assert channel.get("last") == record
        channel.destroy()


def test_every_query_returns_the_same_kind_of_record(simple_manager: oc.JobManager) -> None:
    with simple_manager.run("load") as run:
        (running,) = simple_manager.running()
        found = simple_manager.record(run.run_id)
        assert simple_manager.runs(status="running") == [running] == [found]
        assert type(running) is type(found) is oc.RunRecord
    assert [each.status for each in simple_manager.runs()] == ["completed"]


def test_a_record_cannot_be_changed(record: oc.RunRecord) -> None:
    """Neither by the methods of a dict nor through an attribute."""
    before = dict(record)
    changed: Any = record
    changes: list[Callable[[], object]] = [
        lambda: changed.update(status="completed"),
        lambda: changed.__setitem__("status", "completed"),
        lambda: changed.__delitem__("error"),
        lambda: changed.__ior__({"status": "completed"}),
        lambda: changed.setdefault("mine", 1),
        lambda: changed.pop("error"),
        lambda: changed.popitem(),
        lambda: changed.clear(),
        lambda: setattr(changed, "status", "completed"),
        lambda: setattr(changed, "mine", 1),
    ]
    for change in changes:
        with pytest.raises((TypeError, AttributeError)):
            change()
    assert record == before


def test_a_copy_of_a_record_can_be_changed(record: oc.RunRecord) -> None:
    mine = record.copy()
    mine["status"] = "mine"
    assert (mine["status"], record.status) == ("mine", "failed")


def test_a_record_survives_pickling_and_copying(record: oc.RunRecord) -> None:
    for other in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):
        assert type(other) is oc.RunRecord
        assert other == record


def test_the_repr_names_the_run_and_its_error_on_one_line(record: oc.RunRecord) -> None:
    text = f"<RunRecord 'load' {record.run_id} failed {record.start_date} {record.duration} ms"
    assert repr(record) == f"{text}: ValueError: no file>"
