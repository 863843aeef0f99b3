"""Managed jobs that a scheduled job without a lock calls or launches, on several servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ojob.schedules import HandClock, RunDaemon, StoredRuns

pytest_plugins = ["tests.ojob.schedules"]

MINUTE = 60_000

BATCH = """\
jobs:
- name: Coordinator
  typeArgs: {{cron: '* * * * *'}}
  exec: |
    {code}
- name: Extract
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {{name: "extract{{{{suffix}}}}", suffix: ""}}
  exec: log("extracting", args.get("part"))
- name: Load
  deps: Extract
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {{name: load}}
- {{name: File, type: jobs, typeArgs: {{file: nested.yaml}}}}
todo: [oJobManager Init, Coordinator]
"""
NESTED = """\
include: oJobManager.yaml
jobs:
- {name: Extract, from: oJobManager Job Start, to: oJobManager Job End, args: {name: extract}}
- name: Load
  deps: Extract
  from: oJobManager Job Start
  to: oJobManager Job End
  args: {name: load}
todo: [Load, Extract]
"""


@pytest.fixture(autouse=True)
def _nested_file(tmp_path: Path) -> None:
    (tmp_path / "nested.yaml").write_text(NESTED)


@pytest.mark.parametrize(
    "code", ["launch('Extract'); launch('Load')", "job('Extract'); launch('Load')", "job('File')"]
)
def test_each_runs_once_for_a_fire_time_over_all_servers(
    start_daemon: RunDaemon,
    hand_clock: HandClock,
    stored_runs: StoredRuns,
    code: str,
) -> None:
    """This also holds for a server that is stopped over the fire time, and comes to it when all
    have run. Jobs that depend on one that runs elsewhere are left to that server too."""
    text = BATCH.format(code=code)
    late = type(hand_clock)()
    first, second = start_daemon(text), start_daemon(text, clock=late)
    for clock, daemon in ((hand_clock, first), (late, second)) * 2:
        clock.move(MINUTE)
        daemon.wait_for("Coordinator completed")
        daemon.wait_for("Extract completed" if daemon is first else "Extract skipped")
        daemon.wait_for("Load completed" if daemon is first else "Load ")
    expected = [(n, m, "completed") for m in ("12:01", "12:02") for n in ("extract", "load")]
    assert sorted(stored_runs.fired(), key=lambda run: (run[1], run[0])) == expected
    assert len(stored_runs.manager.runs()) == 4


def test_several_launches_of_one_name_in_a_fire_time_all_run(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """Each of them is claimed on its own, and once over all servers."""
    code = "[launch('Extract', {'part': n}).result() for n in (1, 2)]"
    late = type(hand_clock)()
    daemons = (
        start_daemon(BATCH.format(code=code)),
        start_daemon(BATCH.format(code=code), clock=late),
    )
    for clock, daemon in zip((hand_clock, late), daemons, strict=True):
        clock.move(MINUTE)
        daemon.wait_for("Coordinator completed")
    runs = stored_runs.manager.runs("extract")
    assert [(run["args"]["part"], run["launchNumber"]) for run in runs] == [(2, 2), (1, 1)]
    assert {run["launchedBy"] for run in runs} == {"Coordinator"}


def test_what_fails_on_the_server_that_runs_it_is_not_run_by_another(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """Its dependents are recorded there as not run, and elsewhere not at all."""
    text = BATCH.format(code="launch('Extract'); launch('Load')")
    text = text.replace('log("extracting", args.get("part"))', "1/0")
    late = type(hand_clock)()
    first, second = start_daemon(text), start_daemon(text, clock=late)
    hand_clock.move(MINUTE)
    first.wait_for("Load depsfail (dependency 'Extract' failed)")
    late.move(MINUTE)
    second.wait_for("Load skipped (another process runs 'Extract', on which it depends)")
    assert sorted((run["name"], run["status"]) for run in stored_runs.manager.runs()) == [
        ("extract", "failed"),
        ("load", "depsfail"),
    ]
