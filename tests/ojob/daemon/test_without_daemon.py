"""Files without `daemon: true` whose todo waits for times or changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.errors import JobFileError

if TYPE_CHECKING:
    from tests.ojob.conftest import Run
    from tests.ojob.schedules import HandClock, RunDaemon

pytest_plugins = ["tests.ojob.schedules"]

MINUTE = 60_000

TICK = """\
ojob: {{{settings}}}
jobs:
- {{name: Bad, exec: 1/0}}
- name: Tick
  deps: {deps}
  typeArgs: {{cron: "* * * * *"}}
  exec: log("ran")
todo: [Bad, Tick]
"""


def test_a_todo_with_a_schedule_lasts_until_it_is_stopped(
    start_daemon: RunDaemon, hand_clock: HandClock
) -> None:
    """It need not say `daemon: true`: a run that ends before the first fire time does nothing."""
    daemon = start_daemon(TICK.format(settings="id: it", deps="[]"))
    hand_clock.move(MINUTE)
    daemon.wait_for("Tick: ran")
    assert daemon.stop().exit_status == 0


def test_a_todo_whose_schedule_does_not_begin_ends(run: Run) -> None:
    """Its dependency failed, so the run has nothing to wait for."""
    result, reported = run(TICK.format(settings="id: it", deps="Bad"))
    assert reported[1:] == ["Tick depsfail (dependency 'Bad' failed)"]
    assert result.exit_status == 1


@pytest.mark.parametrize(
    "job",
    [
        '{name: Tick, typeArgs: {cron: "* * * * *"}}',
        "{name: Tick, type: subscribe, typeArgs: {chSubscribe: orders}}",
    ],
)
def test_a_schedule_that_could_never_run_is_refused(run: Run, job: str) -> None:
    """With `daemon: false` the entry of the todo could never run."""
    with pytest.raises(JobFileError, match=r"f\.yaml:4:8: .*'Tick' runs .* the run ends before"):
        run(f"ojob: {{daemon: false}}\njobs: [{job}]\ntodo: [Tick]\n")
