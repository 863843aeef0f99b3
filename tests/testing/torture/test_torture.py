"""Exclusivity under fire: processes killed and stopped, and backends that the torture must find."""

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
from ojobchannels.testing.torture.arenas import open_arena
from ojobchannels.testing.torture.plan import FAULTS, Plan
from ojobchannels.testing.torture.result import Result, judge
from ojobchannels.testing.torture.runner import torture
from ojobchannels.testing.torture.worker import Worker

BROKEN = """
import random
import ojobchannels as oc
from ojobchannels import backends
from ojobchannels.backends.file.backend import FileBackend, open_backend
from ojobchannels.hookspecs import Busy, Granted, hookimpl

class TwoIn(FileBackend):
    @hookimpl
    def lock(self, name, token, ttl, holder):
        answer = FileBackend.lock(self, name, token, ttl, holder)
        if isinstance(answer, Busy) and random.random() < 0.05:
            return Granted(answer.fence + 1, None)
        return answer

class FallingFences(FileBackend):
    @hookimpl
    def lock(self, name, token, ttl, holder):
        answer = FileBackend.lock(self, name, token, ttl, holder)
        if isinstance(answer, Granted) and random.random() < 0.05:
            return Granted(answer.fence - 10**9, answer.previous)
        return answer

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
        raise RuntimeError("nobody expected this")

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
    """Tortures a channel."""
    with open_arena(channel) as arena:
        return torture(arena, plan)


@pytest.mark.parametrize("type", ["file", "db"])
def test_holders_that_are_killed_let_nobody_else_in(type: str) -> None:
    """Eight processes, killed at random, never are in one section at once, and lose no count."""
    result = run(type, Plan(sections=200, pause=0.15))
    assert result.faults == [], result.lines()
    assert result.sections >= 200
    assert result.done["kill"] > 0


@pytest.mark.parametrize("type", ["file", "db"])
def test_holders_that_are_stopped_let_nobody_else_in(type: str) -> None:
    """Nor do those that wake beyond their lease go on with it, or write what passes."""
    result = run(type, Plan(sections=100, faults=("stop",), ttl=0.3, pause=0.1))
    assert result.faults == [], result.lines()
    assert result.sections >= 100
    assert result.done["stop"] > 0


@pytest.mark.torture
@pytest.mark.timeout(500)
@pytest.mark.parametrize("type", ["file", "db"])
def test_ten_thousand_sections(type: str) -> None:
    """The same holds for ten thousand sections and many kills."""
    result = run(type, Plan(sections=10_000))
    assert result.faults == [], result.lines()
    assert result.done["kill"] >= 10


@pytest.mark.torture
@pytest.mark.timeout(500)
@pytest.mark.parametrize("type", ["file", "db"])
def test_kills_and_stops_together(type: str) -> None:
    """Holders killed and stopped, in any order, for long."""
    told = refused = 0
    while not (told and refused):  # it is chance where in a section a holder is stopped
        result = run(type, Plan(sections=10**6, seconds=8, faults=("kill", "stop"), pause=0.15))
        assert result.faults == [], result.lines()
        told += result.told
        refused += result.refused


class Enough:
    """An extension that ends the work of threads after so many sections."""

    def __init__(self, sections: int, folder: Path) -> None:
        self._left = iter(range(sections - 1, -1, -1))  # `next` of it is one step for all threads
        self._folder = folder

    @oc.hookimpl(wrapper=True)
    def unlock(self) -> Generator[None, bool, bool]:
        done = yield
        if next(self._left, 1) == 0:
            (self._folder / "enough").touch()
        return done


@pytest.mark.torture
def test_ten_thousand_sections_of_threads(tmp_path: Path) -> None:
    """Eight threads on four locks of the type simple: the same witnesses, and no lost count."""
    plan, dice = Plan(faults=()), random.Random()
    given = {"folder": tmp_path, "names": plan.names, "ttl": 60, "wait": 60}
    given |= {"lapses": False, "unsure": False}
    with (
        oc.open_channel("tortured", extensions=[Enough(plan.sections, tmp_path)]) as channel,
        ThreadPoolExecutor(plan.processes) as pool,
    ):
        workers = [Worker(channel, given, dice) for _ in range(plan.processes)]
        for done in [pool.submit(worker.work, os.getppid()) for worker in workers]:
            done.result()
    result = judge(tmp_path / "history", "type simple", plan, 60, 0, Counter(), "")
    assert result.faults == [], result.lines()
    assert result.sections >= plan.sections


@pytest.fixture
def broken_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the broken types, for this process and those that it starts."""
    (tmp_path / "broken_by_torture.py").write_text(BROKEN)
    metadata = tmp_path / "broken_by_torture-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[ojobchannels]\nbroken = broken_by_torture\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_registry", None)


@pytest.mark.usefixtures("broken_types")
@pytest.mark.parametrize(
    ("type", "faults", "wrong"),
    [
        ("twoin", ("kill",), r"fence \d+ of process \d+ and the lease with fence \d+ of process"),
        ("twoin", ("kill", "stop"), r"the lease with fence \d+ of process \d+"),
        ("fallingfences", ("kill",), r"fence \d+ of process \d+ and the lease with fence \d+"),
        ("stalewrites", ("stop",), r"wrote key '\w', which fence \d+ had written"),
        ("revived", ("stop",), r"was extended although the lease with fence \d+"),
        ("raising", ("kill",), "ended by itself: .*nobody expected this"),
    ],
)
def test_a_broken_backend_is_caught(type: str, faults: tuple[str, ...], wrong: str) -> None:
    """Two that hold one lock, and each other broken promise, are found; the leases are named."""
    ttl = 0.3 if "stop" in faults else None
    plan = Plan(sections=10**6, seconds=30, faults=faults, ttl=ttl, pause=0.1)
    result = run(type, plan)
    said = " ".join(result.lines())
    assert result.faults, said
    assert any(re.search(wrong, fault, re.DOTALL) for fault in result.faults), said
    assert "WRONG: " in said


@pytest.mark.usefixtures("broken_types")
def test_processes_that_do_not_get_on_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that grants nothing ends the torture with that word, and does not hang it."""
    monkeypatch.setattr("ojobchannels.testing.torture.runner._STUCK", 2.0)
    result = run("stuck", Plan(sections=10, faults=()))
    assert result.faults == ["no process got on for 2 s"]


def command(*words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    known = [str(path)] if path else []
    return subprocess.run(
        [sys.executable, "-m", "ojobchannels.testing.torture", *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*known, *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_command_tells_its_seed_first_and_a_summary_last() -> None:
    """With the seed the same can be run again; the summary is for people."""
    done = command("--channel", "file", "--sections", "60", "--processes", "3", "--seed", "7")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == "seed 7"
    assert rest[0] == "type file: 3 processes, 4 locks, leases of 60 s"
    assert "sections in" in rest[1]
    assert "longest wait" in rest[1]
    assert rest[-1].endswith("leases, and no two overlapped; all fences grew")


def test_the_command_speaks_json() -> None:
    """A program reads one line of JSON, with the seed in it."""
    done = command("--channel", "db", "--sections", "40", "--faults", "", "--seed", "8", "--json")
    told = json.loads(done.stdout)
    assert told["plan"]["seed"] == 8
    assert told["sections"] >= 40
    assert told["faults"] == []
    assert done.stderr == "seed 8\n"


@pytest.mark.usefixtures("broken_types")
def test_the_command_fails_when_something_is_wrong(tmp_path: Path) -> None:
    """Status 1, and both leases by name."""
    done = command("--channel", "twoin", "--sections", "100000", path=tmp_path)
    assert done.returncode == 1
    assert "WRONG: " in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--channel", "simple"], "torture a type with the capability processes"),
        (["--channel", "nosuch"], "no plugin offers the channel type 'nosuch'"),
        (["--channel", "file", "--faults", "kil"], "give kill, stop, cut"),
        (
            ["--channel", "file", "--faults", "cut"],
            "it cannot be done to type file; give kill, stop",
        ),
        (["--channel", "file", "--option", "fil=x"], "did you mean 'file'?"),
    ],
)
def test_the_command_says_what_cannot_be(words: list[str], said: str) -> None:
    """Status 2, and one line that says what to do."""
    done = command(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_fault_and_option_is_told() -> None:
    """The help says what each fault is; the reference has a row for each, and for each option."""
    said = " ".join(command("--help").stdout.split())
    assert all(f"{fault}: {what}" in said for fault, what in FAULTS.items())
    page = Path(__file__).parents[3] / "docs" / "reference" / "torture.md"
    rows = set(re.findall(r"^\| `([-\w]+)", page.read_text("utf-8"), re.MULTILINE))
    assert set(FAULTS) | set(re.findall(r"(--[a-z]+)", said)) - {"--help"} <= rows
