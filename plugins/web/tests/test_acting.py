"""The actions, on a daemon in another process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels_web.testing import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOKEN = "ann-0123456789abcdef"
LOGGED_IN = {"Authorization": f"Bearer {TOKEN}"}
SECONDS = 30
DAEMON = """\
include: oJobManager.yaml
ojob: {{daemon: true}}
todo: [Init, Report]
jobs:
- name: Init
  to: oJobManager Init
  args:
    chJobs: {{type: db, args: {{file: {file}}}}}
    chLocks: {{type: db, args: {{file: {file}}}}}
- name: Report
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  type: periodic
  typeArgs: {{cron: "0 0 3 1 1 *"}}
  args: {{name: report}}
  exec: |
    import time
    for n in range(600):
        log(f"step {{n}}")
        time.sleep(0.05)
"""


@pytest.fixture
def daemon(tmp_path: Path, manager: oc.JobManager) -> Iterator[None]:
    """A daemon with one job of 30 seconds, which is due once a year."""
    file = tmp_path / "jobs.yaml"
    file.write_text(DAEMON.format(file=tmp_path / "jobs.db"))
    command = [sys.executable, "-m", "ojobchannels", "run", file.name]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        until(lambda: manager.schedules())
        yield
        process.terminate()
        process.communicate(timeout=SECONDS)


def until(condition: Callable[[], object]) -> None:
    """Waits for what another process does."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.usefixtures("daemon")
def test_a_schedule_is_run_now_and_its_run_cancelled_and_repeated(
    acting: Site, manager: oc.JobManager
) -> None:
    """Both with the author and the reason, by a daemon in another process; its output is shown."""
    fields = {"action": "now", "name": "report", "reason": "please"}
    assert acting.post("/act", fields, **LOGGED_IN).status == 200
    until(lambda: manager.running())
    [run] = manager.running()
    page = f"/run?name=report&start={run['startTime']}"
    until(lambda: "step 3" in acting.get(page).text)
    fields = {"action": "cancel", "run": run["runId"], "reason": "wrong day"}
    assert acting.post("/act", fields, **LOGGED_IN).status == 200
    until(lambda: not manager.running())
    assert "wrong day" in acting.get(page).text
    assert acting.post("/act", {"action": "rerun", "run": run["runId"]}, **LOGGED_IN).status == 200
    until(lambda: manager.running())
    [again] = manager.running()
    assert again["runId"] != run["runId"]
    manager.cancel(again["runId"])
    until(lambda: not manager.running())
    done = [(each.action, each.author, each.reason) for each in manager.actions()][2:]
    assert done == [("cancel", "ann", "wrong day"), ("now", "ann", "please")]


@pytest.mark.usefixtures("daemon")
def test_a_schedule_is_paused_and_resumed_on_the_page(
    acting: Site, manager: oc.JobManager, open_page: Callable[..., Page]
) -> None:
    """For some minutes, with a reason that everybody sees."""
    page = open_page(f"{acting.url}/login")
    page.fill("[name=token]", TOKEN)
    page.press("[name=token]", "Enter")
    page.wait_for_selector(".author")
    page.goto(f"{acting.url}/job?name=report")
    page.get_by_text("Pause…").click()
    page.fill("[name=minutes]", "30")
    page.locator("details[open] [name=reason]").fill("stocktaking")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("stocktaking").wait_for()
    [schedule] = manager.schedules()
    assert schedule.paused is not None
    assert (schedule.paused.author, schedule.paused.reason) == ("ann", "stocktaking")
    assert schedule.paused.until is not None
    page.get_by_text("Resume…").click()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("Pause…").wait_for()
    assert manager.schedules()[0].paused is None


@pytest.mark.parametrize("minutes", ["0", "-5", "x", "99999999999"])
def test_a_pause_of_an_impossible_length_is_refused(acting: Site, minutes: str) -> None:
    fields = {"action": "pause", "name": "report", "minutes": minutes}
    reply = acting.post("/act", fields, **LOGGED_IN)
    assert reply.status == 409
    assert "Not done" in reply.text


@pytest.mark.parametrize("action", ["pause", "now", "cancel", "rerun"])
def test_an_action_on_what_does_not_exist_is_refused(acting: Site, action: str) -> None:
    """With the reason, as a page; nothing is recorded."""
    fields = {"action": action, "name": "<b>", "run": "<b>"}
    reply = acting.post("/act", fields, **LOGGED_IN)
    assert reply.status in (409, 502)
    assert "Not done" in reply.text
    assert "<b>" not in reply.text
