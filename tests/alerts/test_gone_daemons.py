"""A daemon that dies without being stopped is reported, and so is its replacement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ojobchannels.alerts import Alert
from ojobchannels.alerts.evaluation import Evaluation, new_memory
from ojobchannels.alerts.rules import Event, Notice
from ojobchannels.following.gone_daemons import described, gone_daemons, is_of
from ojobchannels.manager.schedules.published import DaemonInfo

_DEAD = DaemonInfo(
    id="a",
    host="web1",
    pid=7,
    version="1",
    file="/srv/jobs.yaml",
    file_hash="h",
    started=1_000,
    seen=5_000,
    stopped=None,
    alive=False,
)
_OTHER = replace(_DEAD, id="b", host="web2", started=2_000, alive=True)


@pytest.mark.parametrize(
    ("daemons", "gone"),
    [
        ([_DEAD], ["a"]),
        ([_DEAD, _OTHER], ["a"]),
        ([replace(_DEAD, stopped=5_000)], []),
        ([replace(_DEAD, alive=True)], []),
        ([_DEAD, replace(_OTHER, started=6_000)], []),
        ([_DEAD, replace(_OTHER, started=6_000, file="/srv/other.yaml")], ["a"]),
        ([_DEAD, replace(_OTHER, started=6_000, alive=False)], ["a", "b"]),
    ],
)
def test_gone_is_who_was_neither_stopped_nor_replaced(
    daemons: list[DaemonInfo], gone: list[str]
) -> None:
    """One that was started later with the same file is a replacement, on any host."""
    assert [daemon.id for daemon in gone_daemons(daemons)] == gone


def test_a_run_of_its_process_is_recognized() -> None:
    """By host and process id, as in records and in the holders of locks."""
    assert is_of([_DEAD], {"host": "web1", "pid": 7})
    assert not is_of([_DEAD], {"host": "web2", "pid": 7})
    assert not is_of([_DEAD], {})


def _notices(rule: Alert, *moments: list[DaemonInfo]) -> list[Notice]:
    """Return the notices when the daemons are, one moment after the other, as given."""
    memory = new_memory()
    for now, daemons in enumerate(moments):
        Evaluation(rule, memory, 10_000 + now).gone(described(daemons, ()))
    found: list[Notice] = memory["notices"]
    return found


@pytest.mark.parametrize(
    "after",
    [[replace(_DEAD, alive=True), _OTHER], [_OTHER], [_DEAD, replace(_OTHER, started=6_000)]],
)
def test_each_is_reported_once_and_when_that_is_over(after: list[DaemonInfo]) -> None:
    """It is over if it is alive again, if it was replaced, or if it is forgotten."""
    dead = [_DEAD, _OTHER]
    gone, over = _notices(Alert("Page"), dead, dead, after, after)
    assert (gone["event"], gone["job"], gone["host"]) == ("daemon-gone", "/srv/jobs.yaml", "web1")
    assert gone["message"] == (
        "daemon web1:7 of /srv/jobs.yaml gives no sign of life since 1970-01-01T00:00:05.000Z; "
        "others of that file are alive: 1"
    )
    assert (over["event"], over["after"]) == ("recovered", "daemon-gone")
    assert "alive again, or was replaced" in over["message"]


def test_the_last_one_is_reported_as_such() -> None:
    """Nothing runs the schedules of that file any more."""
    (gone,) = _notices(Alert("Page"), [_DEAD])
    assert gone["left"] == 0
    assert gone["message"].endswith("; no other one is alive")


@pytest.mark.parametrize(
    ("on", "jobs", "number"),
    [
        (["daemon-gone"], [], 1),
        (["failed"], [], 0),
        (["daemon-gone"], ["nightly-*"], 1),
        (["daemon-gone"], ["other"], 0),
    ],
)
def test_a_rule_for_some_jobs_is_about_the_daemons_that_run_them(
    on: list[Event], jobs: list[str], number: int
) -> None:
    """The jobs of the schedules that the daemon has published count."""
    memory = new_memory()
    daemon = {"file": "f", "host": "h", "pid": 1, "since": 0, "left": 0, "jobs": ["nightly-import"]}
    Evaluation(Alert("Page", on=on, jobs=jobs), memory, 0).gone({"a": daemon})
    assert len(memory["notices"]) == number
