"""The manager's channels as Python bodies see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.manager.conftest import complete, pass_millisecond

if TYPE_CHECKING:
    from ojobchannels import JobManager
    from tests.ojob.conftest import Run

LOOK = """\
jobs:
- name: Look
  exec: |
    records = channel("oJobManager-jobs")
{code}
todo: [oJobManager Init, Look]
"""


def look(run: Run, *lines: str) -> list[str]:
    """Return what a body logs that has the run records as `records`."""
    _, reported = run(LOOK.format(code="\n".join(f"    {line}" for line in lines)))
    return [line.removeprefix("Look: ") for line in reported if line.startswith("Look: ")]


@pytest.mark.parametrize(
    "names",
    [
        '[each["name"] for each in records.get_all()]',
        '[key["name"] for key in records.get_keys()]',
        '[each["name"] for key, each in records.items()]',
        '[each["name"] for each in records.get_all({"inError": False})]',
        '[each["name"] for key, each in records.items(limit=3)]',
    ],
)
def test_the_records_come_with_the_latest_start_first(
    run: Run, manager: JobManager, names: str
) -> None:
    """By their start: the first record of a job is that of its latest run."""
    long = manager.start("first")
    for name in ("second", "third"):
        pass_millisecond(manager.runs()[0]["startTime"])
        complete(manager, name)
    long.end()
    assert look(run, f"log({names})") == ["['third', 'second', 'first']"]


def test_pages_after_a_position_have_the_order_of_changes(run: Run, manager: JobManager) -> None:
    """As in any channel, so that a reader can continue where it stopped."""
    long = manager.start("first")
    complete(manager, "second")
    long.end()
    lines = look(
        run,
        "items = list(records.items())",
        "position = min(item.position for item in items)",
        'log([each["name"] for key, each in records.items(after=position)])',
    )
    assert lines == ["['first']"]


def test_everything_else_is_as_in_the_channel_itself(run: Run, manager: JobManager) -> None:
    """Writes, locks and subscriptions reach the channel."""
    complete(manager, "x")
    lines = look(
        run,
        "with records.lock('cleanup', ttl=30):",
        "    log([records.unset(key) for key in records.get_keys()], records.size())",
        "log(records.name, records.type, records.get({'name': 'x', 'startTime': 1}))",
    )
    assert lines == ["[True] 0", "oJobManager-jobs db None"]


def test_a_lock_that_a_body_takes_away_leaves_a_note(run: Run, manager: JobManager) -> None:
    """`channel("oJobManager-locks").force_unlock` is that of the manager."""
    held = manager.start("stuck")
    lines = look(run, 'log(channel("oJobManager-locks").force_unlock("stuck").name)')
    assert lines == ["stuck"]
    record: Any = manager.runs("stuck")[0]
    assert "force-released by a job file" in record["note"]
    assert "it may be active still" in record["error"]
    held._give_up(RuntimeError())


@pytest.mark.parametrize("name", ["oJobManager-job", "ojobmanager-jobs", "oJobManager-lock"])
def test_a_slip_for_a_channel_of_the_manager_is_an_error(run: Run, name: str) -> None:
    """A new channel in memory would have no records; with a configuration it is opened."""
    assert look(run, f"channel({name!r}, {{'type': 'simple'}}).set(1, 2)", "log('open')") == [
        "open"
    ]
    result, _ = run(LOOK.format(code=f"    channel({name!r})"))
    error = str(result.outcomes[1].error)
    assert f"the channel {name!r} is not open" in error
    assert "did you mean 'oJobManager-" in error
