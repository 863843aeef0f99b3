"""A past run again without a daemon: ``ojob rerun --here``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ojobchannels as oc
from ojobchannels.cli import cli

FILE = """
include: oJobManager.yaml
ojob: {daemon: true}
jobs:
- name: Add up
  typeArgs: {cron: "0 0 1 1 *"}
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {name: add-up}
  exec: |
    if args["day"] == "sunday":
        raise ValueError("no work on sundays")
- name: Other
  exec: raise SystemError("the rest of the todo must not run")
todo: [oJobManager Init, Add up, Other]
"""


class Site:
    """A job file, the channels of its manager, and one past run of its job."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:////{folder / 'jobs.db'}"
        self.file = folder / "nightly.yaml"
        self.file.write_text(FILE, encoding="utf-8")
        with self.manager() as manager, manager.run("add-up", args={"day": "{{monday}}"}):
            pass

    def manager(self) -> oc.JobManager:
        return oc.JobManager(self.url, self.url)

    def rerun(self, *words: str) -> Result:
        here = ("--here", str(self.file), "--jobs", self.url)
        return CliRunner().invoke(cli, ["rerun", *words, *here])

    def runs(self) -> list[Any]:
        with self.manager() as manager:
            return [*manager.runs()]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_it_runs_with_the_args_of_the_past_run(site: Site) -> None:
    """As they were, also where they look like templates; the record names who wanted it."""
    done = site.rerun("add-up", "--reason", "once more")
    assert (done.exit_code, site.runs()[0]["args"]) == (0, {"day": "{{monday}}"})
    assert site.runs()[0]["requested"]["reason"] == "once more"
    with site.manager() as manager:
        (action,) = manager.actions()
    assert (action.action, action.target) == ("rerun", "add-up")


def test_its_exit_status_is_that_of_the_run(site: Site) -> None:
    """An arg that is changed makes it fail."""
    assert site.rerun("add-up", "day=sunday").exit_code == 1
    assert [run["status"] for run in site.runs()] == ["failed", "completed"]


def test_a_file_without_that_job_is_refused(site: Site) -> None:
    """Nothing runs, and no action is recorded."""
    site.file.write_text(FILE.replace("name: add-up", "name: another"), encoding="utf-8")
    done = site.rerun("add-up")
    assert done.exit_code == 2
    assert "starts runs of that name" in done.stderr
    with site.manager() as manager:
        assert (manager.actions(), len(manager.runs())) == ([], 1)
