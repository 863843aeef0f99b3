"""The torture test, on the embedded types and on backends with defects."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ojobchannels as oc
from ojobchannels import plugins
from ojobchannels.testing.torture.plan import FAULTS, Plan
from ojobchannels.testing.torture.result import Result, judge
from ojobchannels.testing.torture.runner import torture
from ojobchannels.testing.torture.targets import open_target
from ojobchannels.testing.torture.worker import Worker

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting programs

BROKEN = """
import random
import ojobchannels as oc
from ojobchannels import backends
from ojobchannels.backends.file.backend import FileBackend, open_backend
from ojobchannels.hookspecs import Busy, Granted, hookimpl

class TwoIn(FileBackend):
    @hookimpl
    def lock(self, name, token, ttl, holder):
        result = FileBackend.lock(self, name, token, ttl, holder)
        if isinstance(result, Busy) and random.random() < 0.05:
            return Granted(result.fence + 1, None)
        return result

class FallingFences(FileBackend):
    @hookimpl
    def lock(self, name, token, ttl, holder):
        result = FileBackend.lock(self, name, token, ttl, holder)
        if isinstance(result, Granted) and random.random() < 0.05:
            return Granted(result.fence - 10**9, result.previous)
        return result

class StaleWrites(FileBackend):
    @hookimpl
    def set(self, key, value, fence):
        return FileBackend.set(self, key, value, None)

class Revived(FileBackend):
    @hookimpl
    def extend(self, name, token, ttl):
        return True

class Stuck(FileBackend):
    @hookimpl
    def lock(self, name, token, ttl, holder):
        return Busy(1, {}, 1000)

    @hookimpl
    def wait(self, name, seen_fence, token, timeout):
        import time
        time.sleep(1)
        return True

class Raising(FileBackend):
    @hookimpl
    def lock(self, name, token, ttl, holder):
        raise RuntimeError("unexpected error")

def opener(cls):
    def open(channel, options):
        backend = open_backend(channel, **options)
        backend.__class__ = cls
        return backend
    return open

@hookimpl
def ojobchannels_channel_types():
    (file,) = (one for one in backends.ojobchannels_channel_types() if one.name == "file")
    return [
        oc.ChannelType(
            name=cls.__name__.lower(), summary="", open=opener(cls),
            options=file.options, capabilities=file.capabilities,
        )
        for cls in (TwoIn, FallingFences, StaleWrites, Revived, Stuck, Raising)
    ]
"""


def run(channel: str, plan: Plan) -> Result:
    """Run a torture test."""
    with open_target(channel) as target:
        return torture(target, plan)


@pytest.mark.torture
@pytest.mark.thorough
@pytest.mark.parametrize("type", ["file", "db"])
def test_killed_holders_do_not_break_exclusion(type: str) -> None:
    """Of eight processes, killed at random, no two are in a section at once."""
    result = run(type, Plan(sections=200, pause=0.15))
    assert result.violations == [], result.lines()
    assert result.sections >= 200
    assert result.done["kill"] > 0


@pytest.mark.parametrize("faults", [("kill",), ("kill", "stop")])
def test_a_lock_with_slots_has_no_more_holders_than_slots(faults: tuple[str, ...]) -> None:
    """Each slot has one holder at a time, also when holders are killed or suspended."""
    result = run("db", Plan(sections=120, names=1, slots=3, faults=faults, pause=0.15))
    assert result.violations == [], result.lines()
    assert result.sections >= 120
    assert sum(result.done.values()) > 0, "no fault was injected"


@pytest.mark.torture
@pytest.mark.thorough
@pytest.mark.parametrize("type", ["file", "db"])
def test_suspended_holders_do_not_break_exclusion(type: str) -> None:
    """Holders that resume after their lease has expired cannot extend it or write."""
    result = run(type, Plan(sections=100, faults=("stop",), ttl=0.3, pause=0.1))
    assert result.violations == [], result.lines()
    assert result.sections >= 100
    assert result.done["stop"] > 0


@pytest.mark.torture
@pytest.mark.timeout(500)
@pytest.mark.parametrize("sections", [2_500, pytest.param(10_000, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("type", ["file", "db"])
def test_thousands_of_sections(type: str, sections: int) -> None:
    """Exclusion holds for thousands of sections and many kills, for threads and for tasks."""
    result = run(type, Plan(sections=sections, pause=0.5, asynchronous=True))
    assert result.violations == [], result.lines()
    assert result.done["kill"] >= sections / 1000


@pytest.mark.torture
@pytest.mark.timeout(500)
@pytest.mark.parametrize("type", ["file", "db"])
def test_kills_and_stops_together(type: str) -> None:
    """Exclusion holds while holders are killed and suspended at random."""
    late = refused = 0
    while not (late and refused):  # depends on where in a section holders are suspended
        result = run(type, Plan(sections=10**6, seconds=8, faults=("kill", "stop"), pause=0.15))
        assert result.violations == [], result.lines()
        late += result.late
        refused += result.refused


class StopAfter:
    """An extension that stops the workers after a number of sections."""

    def __init__(self, sections: int, folder: Path) -> None:
        self._left = iter(range(sections - 1, -1, -1))  # `next` is atomic
        self._folder = folder

    @oc.hookimpl(wrapper=True)
    def unlock(self) -> Generator[None, bool, bool]:
        done = yield
        if next(self._left, 1) == 0:
            (self._folder / "stop").touch()
        return done


@pytest.mark.torture
def test_ten_thousand_sections_of_threads(tmp_path: Path) -> None:
    """Exclusion holds for eight threads on four locks of type `simple`."""
    plan, rng = Plan(faults=()), random.Random()
    settings = {"folder": tmp_path, "names": plan.names, "ttl": 60, "wait": 60}
    settings |= {"lapses": False, "server_fails": False, "slots": plan.slots}
    with (
        oc.open_channel("torture", extensions=[StopAfter(plan.sections, tmp_path)]) as channel,
        ThreadPoolExecutor(plan.processes) as pool,
    ):
        workers = [Worker(channel, settings, rng) for _ in range(plan.processes)]
        for done in [pool.submit(worker.work, os.getppid()) for worker in workers]:
            done.result()
    result = judge(tmp_path / "history", "type simple", plan, 60, 0, Counter(), "")
    assert result.violations == [], result.lines()
    assert result.sections >= plan.sections


@pytest.fixture
def broken_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the channel types with defects, for this process and its children."""
    (tmp_path / "broken_by_torture.py").write_text(BROKEN)
    metadata = tmp_path / "broken_by_torture-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[ojobchannels]\nbroken = broken_by_torture\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_registry", None)


@pytest.mark.usefixtures("broken_types")
@pytest.mark.parametrize(
    ("type", "faults", "message"),
    [
        ("twoin", ("kill",), r"fence \d+ of process \d+ and the lease with fence \d+ of process"),
        ("twoin", ("kill", "stop"), r"the lease with fence \d+ of process \d+"),
        ("fallingfences", ("kill",), r"fence \d+ of process \d+ and the lease with fence \d+"),
        ("stalewrites", ("stop",), r"overwrote key '\w', written with fence \d+"),
        ("revived", ("stop",), r"was extended although the lease with fence \d+"),
        ("raising", ("kill",), "ended unexpectedly: .*unexpected error"),
    ],
)
def test_a_defect_is_reported(type: str, faults: tuple[str, ...], message: str) -> None:
    """The violation names the leases or the error."""
    ttl = 0.3 if "stop" in faults else None
    plan = Plan(sections=10**6, seconds=30, faults=faults, ttl=ttl, pause=0.1)
    result = run(type, plan)
    summary = " ".join(result.lines())
    assert any(re.search(message, each, re.DOTALL) for each in result.violations), summary
    assert "VIOLATION: " in summary


@pytest.mark.usefixtures("broken_types")
def test_a_stalled_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a backend that never grants a lock, the test ends with a violation."""
    monkeypatch.setattr("ojobchannels.testing.torture.runner._STALL_SECONDS", 2.0)
    result = run("stuck", Plan(sections=10, faults=()))
    assert result.violations == ["no progress for 2 s"]


def command(*words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    known = [str(path)] if path else []
    return subprocess.run(
        [sys.executable, "-m", "ojobchannels.testing.torture", *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*known, *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_command_prints_the_seed_first_and_a_summary_last() -> None:
    """The seed is known even if the run hangs."""
    done = command("--channel", "file", "--sections", "60", "--processes", "3", "--seed", "7")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == "seed 7"
    assert rest[0] == "type file: 3 processes, 4 locks, leases of 60 s"
    assert "sections in" in rest[1]
    assert "longest wait" in rest[1]
    assert rest[-1].startswith("no violations: ")


def test_the_command_prints_json() -> None:
    """With --json, standard output is one line of JSON that includes the seed."""
    done = command("--channel", "db", "--sections", "40", "--faults", "", "--seed", "8", "--json")
    result = json.loads(done.stdout)
    assert result["plan"]["seed"] == 8
    assert result["sections"] >= 40
    assert result["violations"] == []
    assert done.stderr == "seed 8\n"


@pytest.mark.usefixtures("broken_types")
def test_the_command_fails_with_violations(tmp_path: Path) -> None:
    """The exit status is 1, and the violations are printed."""
    done = command("--channel", "twoin", "--sections", "100000", path=tmp_path)
    assert done.returncode == 1
    assert "VIOLATION: " in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--channel", "simple"], "use a type with the capability 'processes'"),
        (["--channel", "nosuch"], "unknown channel type 'nosuch'"),
        (["--channel", "file", "--faults", "kil"], "use kill, stop, cut"),
        (
            ["--channel", "file", "--faults", "cut"],
            "not supported by type file; use kill, stop",
        ),
        (["--channel", "file", "--option", "fil=x"], "did you mean 'file'?"),
    ],
)
def test_a_wrong_call_is_an_error(words: list[str], message: str) -> None:
    """The exit status is 2, and one line says what to do."""
    done = command(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_fault_and_option_is_documented() -> None:
    """The help describes each fault; the reference has a row for each fault and option."""
    text = " ".join(command("--help").stdout.split())
    assert all(f"{fault}: {what}" in text for fault, what in FAULTS.items())
    page = Path(__file__).parents[3] / "docs" / "reference" / "torture.md"
    rows = set(re.findall(r"^\| `([-\w]+)", page.read_text("utf-8"), re.MULTILINE))
    assert set(FAULTS) | set(re.findall(r"(--[a-z]+)", text)) - {"--help"} <= rows
