"""A job file, and what the command line does with it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc

TYPES = ("db", "file")
URLS = {"db": "sqlite:///{}.db", "file": "file:{}.file"}
JOB_FILE = """
include: [oJobManager.yaml]
jobs:
- name: Open
  to: oJobManager Init
  args:
    chJobs: {type: TYPE, args: {file: jobs.TYPE}}
    chLocks: {type: TYPE, args: {file: locks.TYPE}}
- name: Work
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {name: work}
  exec: |
    import sys
    log(f"limit {args.get('limit')!r}")
    if args.get("hold"):
        sys.stdin.readline()
    if args.get("fail"):
        raise ValueError("no\\nsuch day")
todo: [Open, Work]
"""


class Jobs:
    """A job file, and the command line that works with it."""

    def __init__(self, ojob: Any, type: str) -> None:
        self.ojob = ojob
        self.folder: Path = ojob.folder
        self.type = type
        self.locations = (
            "--jobs",
            URLS[type].format("jobs"),
            "--locks",
            URLS[type].format("locks"),
        )
        (self.folder / "work.yaml").write_text(JOB_FILE.replace("TYPE", type), encoding="utf-8")

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the file."""
        done: subprocess.CompletedProcess[str] = self.ojob("run", "work.yaml", *args)
        return done

    def hold(self) -> subprocess.Popen[str]:
        """Start a run that works until its input ends, and return once its job is running."""
        process: subprocess.Popen[str] = self.ojob.start("run", "work.yaml", "hold=true")
        assert process.stdout is not None
        while "limit" not in (line := process.stdout.readline()):
            assert line, process.communicate()
        return process

    def show(self, *words: str, reply: str = "") -> str:
        """Return the output of a command that must succeed without a message."""
        done = self.ojob(*words, *self.locations, reply=reply)
        assert (done.returncode, done.stderr) == (0, "")
        out: str = done.stdout
        return out

    def records(self, *words: str) -> list[dict[str, Any]]:
        """Return the records that a command prints as JSON."""
        records: list[dict[str, Any]] = json.loads(self.show(*(words or ("history",)), "--json"))
        return records

    @staticmethod
    def rows(table: str) -> list[list[str]]:
        """Return the words of each row of a table."""
        return [line.split() for line in table.splitlines()[1:]]

    def manager(self) -> oc.JobManager:
        """Open the same channels in this process."""
        jobs, locks = (
            {"type": self.type, "args": {"file": self.folder / f"{name}.{self.type}"}}
            for name in ("jobs", "locks")
        )
        return oc.JobManager(jobs, locks)


@pytest.fixture
def jobs(ojob: Any) -> Jobs:
    """A job file on `db`."""
    return Jobs(ojob, "db")


@pytest.fixture(params=TYPES)
def each(request: pytest.FixtureRequest, ojob: Any) -> Jobs:
    """A job file on each persistent type."""
    return Jobs(ojob, request.param)
