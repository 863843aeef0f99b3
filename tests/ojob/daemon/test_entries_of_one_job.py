"""Several schedules of one job, or of one managed name: each has its own fire times."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.ojob.schedules import HandClock, RunDaemon, StoredRuns

MINUTE = 60_000
pytest_plugins = ["tests.ojob.schedules"]

ONCE = """\
jobs:
- name: Fetch
  typeArgs: {cron: "* * * * *", once: true, misfire: all}
  exec: log("fetches", args["part"])
todo: [oJobManager Init, {name: Fetch, args: [{part: one}, {part: two}, {part: two}]}]
"""
MANAGED = """\
jobs:
- name: Fetch
  typeArgs: {cron: "* * * * *", misfire: all}
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {name: fetch}
  exec: log("fetches", args["part"])
- name: Other
  typeArgs: {cron: "* * * * *", misfire: all}
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {name: fetch, part: other}
  exec: log("fetches", args["part"])
todo: [oJobManager Init, {name: Fetch, args: [{part: one}, {part: two}]}, Other]
"""
LAUNCHING = """\
jobs:
- name: Coordinate
  typeArgs: {cron: "* * * * *", misfire: all}
  exec: launch("Fetch", dict(part=args["part"])).wait()
- name: Fetch
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {name: "fetch-{{part}}"}
  exec: log("fetches", args["part"])
todo: [oJobManager Init, {name: Coordinate, args: [{part: one}, {part: two}]}]
"""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (ONCE, ["one", "two", "two"]),
        (MANAGED, ["one", "other", "two"]),
        (LAUNCHING, ["one", "two"]),
    ],
)
def test_each_entry_of_a_job_runs_once_over_all_servers(
    start_daemon: RunDaemon, hand_clock: HandClock, text: str, parts: list[str]
) -> None:
    """Also if the entries have one job, or the jobs one managed name."""
    servers = [start_daemon(text), start_daemon(text)]
    fetched: list[str] = []
    for minute in (1, 2):
        hand_clock.move(MINUTE)
        while len(fetched) < minute * len(parts):
            for server in servers:
                with suppress(Empty):
                    fetched.append(server.wait_for("fetches", within=0.02).rpartition(" ")[2])
    for server in servers:
        server.stop()
        assert not [line for line in server.output.rest() if "fetches" in line]
    assert sorted(fetched) == sorted(parts * 2)


def test_runs_of_one_name_are_recorded_with_their_fire_time(
    start_daemon: RunDaemon, hand_clock: HandClock, stored_runs: StoredRuns
) -> None:
    """Also those of the second entry."""
    daemon = start_daemon(MANAGED)
    hand_clock.move(MINUTE)
    for job in ("Fetch", "Fetch", "Other"):
        daemon.wait_for(f"{job} completed")
    assert stored_runs.fired() == [("fetch", "12:01", "completed")] * 3
