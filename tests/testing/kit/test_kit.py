"""The conformance kit as authors of backends use it: collection, guard, options, reports."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels import testing
from ojobchannels.testing import ChannelConformance
from ojobchannels.testing.contracts.base import GUARD, Contract, guard, promises
from ojobchannels.testing.kit.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """
import pytest
from ojobchannels.testing import ChannelConformance, CompareAndSetContract, Subject

class Mine(CompareAndSetContract):
    __test__ = False
    @pytest.fixture
    def ojob_subject(self):
        return Subject("simple")
"""
# A backend with a defect, offered by an entry point as an author's own is.
SLOPPY = """
import ojobchannels as oc
from ojobchannels.backends.simple import backend as simple

class Sloppy(simple.SimpleBackend):
    @oc.hookimpl
    def unset(self, key, fence):
        return bool(super().unset(key, fence)) or True

def open(channel, options):
    store = simple._stores.setdefault(channel, simple._Store())
    return Sloppy(channel, store, **options)

@oc.hookimpl
def ojobchannels_channel_types():
    from ojobchannels.backends import ojobchannels_channel_types as built_in
    options = built_in()[0].options
    return [oc.ChannelType("sloppy", "forgets", open, options, capabilities=frozenset({"clock"}))]
"""


ONE_CONTRACT = (
    "from ojobchannels.testing import CompareAndSetContract as C\nclass TestMine(C): ...\n"
)


class Project:
    """A folder in which an author runs pytest."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")

    def offer_sloppy(self) -> None:
        """Installs the backend with the defect, as far as this folder goes."""
        self.write("sloppy.py", SLOPPY)
        self.write("sloppy.egg-info/PKG-INFO", "Metadata-Version: 2.1\nName: sloppy\nVersion: 1\n")
        self.write("sloppy.egg-info/entry_points.txt", "[ojobchannels]\nsloppy = sloppy\n")
        self._monkeypatch.setenv("PYTHONPATH", str(self.folder), prepend=":")

    def pytest(self, *words: str, status: int = 0) -> str:
        """Runs it in a process of its own and returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "ojobchannels.pytest_plugin", *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty one, with no settings."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # ours alone loads much faster
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nstrict_markers = true\nfilterwarnings = error\n"
    )
    return Project(tmp_path, monkeypatch)


def contracts() -> list[type[Contract]]:
    return [
        base
        for base in ChannelConformance.__mro__
        if base not in (ChannelConformance, Contract, object)
    ]


def test_there_are_150_promises_each_with_a_sentence() -> None:
    """Every one is a method with a telling name and a docstring, of one contract alone."""
    made = [name for one in contracts() for name in vars(one) if name.startswith("test_")]
    assert len(made) >= 150
    assert [name for name, count in Counter(made).items() if count > 1] == []
    for name in made:
        told = inspect.getdoc(getattr(ChannelConformance, name)) or ""
        assert told.endswith("."), f"{name} has no sentence"


def test_every_contract_is_offered_by_its_name() -> None:
    """`from ojobchannels.testing import DocumentContract` works for each."""
    for one in contracts():
        assert getattr(testing, one.__name__) is one
    with pytest.raises(AttributeError, match="NoSuchContract"):
        testing.NoSuchContract  # noqa: B018
    for name in testing.__all__:
        assert getattr(testing, name)


def test_the_extra_is_told_by_name_where_pytest_is_lacking() -> None:
    """Whoever asks for the kit without pytest is told what to install."""
    script = """
import sys
sys.modules["pytest"] = None
from ojobchannels import testing
try:
    testing.ChannelConformance
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "needs pytest; install it with: pip install 'ojobchannels[testing]'" in done.stdout


# The guard.


class Kept(ChannelConformance):
    """Overrides with a reason."""

    __test__ = False

    @pytest.mark.xfail(reason="the server sorts by itself")
    def test_pop_takes_the_last_in_order(self) -> None:  # type: ignore[override]
        """Not kept."""


class Deleted(Kept):
    """Deletes without one, one level below."""

    __test__ = False
    test_shift_takes_the_first_in_order = None  # type: ignore[assignment]


class Overridden(Deleted):
    """Overrides without one, two levels below; what it adds is its own."""

    __test__ = False

    @pytest.mark.xfail
    def test_what_was_set_is_read_back(self) -> None:  # type: ignore[override]
        """A mark without a reason is no reason."""

    def test_of_its_own(self) -> None:
        """Nobody's promise."""


def test_the_guard_lets_an_explained_override_pass() -> None:
    """`xfail` with a reason is what it asks for."""
    assert guard(Kept) == []


def test_the_guard_names_what_is_deleted_or_overridden_on_every_level() -> None:
    """The class that did it, the promise, the contract, and what to do."""
    (deleted,) = guard(Deleted)
    assert deleted.startswith(
        "Deleted deletes test_shift_takes_the_first_in_order of OrderContract"
    )
    assert "@pytest.mark.xfail(reason=…)" in deleted
    faults = guard(Overridden)
    assert len(faults) == 2
    assert any(fault.startswith("Overridden overrides test_what_was_set_is_") for fault in faults)


def test_the_guard_itself_cannot_be_overridden() -> None:
    """Neither deleted nor replaced: the class cannot be made."""
    for override in (None, lambda _: None):
        with pytest.raises(TypeError, match=GUARD):
            type("TestMine", (ChannelConformance,), {GUARD: override})


def test_a_run_fails_by_the_guard(project: Project) -> None:
    """Also where the whole class is expected to fail."""
    project.write(
        "test_mine.py",
        HEAD
        + """
class TestDeletes(Mine):
    test_one_of_many_adds = None

@pytest.mark.xfail(reason="all of it")
class TestHides(Mine):
    def test_one_of_many_takes(self): ...
""",
    )
    told = project.pytest("-k", "overridden", status=1)
    assert "TestDeletes deletes test_one_of_many_adds of CompareAndSetContract" in told
    assert "TestHides overrides test_one_of_many_takes of CompareAndSetContract" in told
    assert "2 failed" in told


def test_an_explained_override_is_told_at_the_end(project: Project) -> None:
    """With its reason, and it does not count as proven."""
    project.write(
        "test_mine.py",
        HEAD
        + """
class TestMine(Mine):
    @pytest.mark.xfail(reason="the server rounds")
    def test_add_tells_whether_it_stored(self, channel):
        assert channel.add("key", 1) is None
""",
    )
    told = project.pytest("-k", "add")
    assert "broken: test_add_tells_whether_it_stored: the server rounds" in told
    assert "promises kept of" in told
    assert "1 xfailed" in told


# What is collected.


def test_one_contract_can_be_taken_alone_and_bases_are_not_collected(project: Project) -> None:
    """Importing the kit into a module runs nothing; a subclass runs, whatever its name."""
    project.write("test_mine.py", f"{HEAD}\nclass ProvesMine(Mine):\n    '''Mine.'''\n")
    told = project.pytest("-v")
    assert "ProvesMine::test_one_of_many_adds PASSED" in told
    assert f"{len(promises(testing.CompareAndSetContract))} passed" in told


def test_a_subject_may_be_parametrised_and_live_in_conftest(project: Project) -> None:
    """It is a fixture like any other; each subject is told of apart."""
    project.write(
        "conftest.py",
        """
import pytest
from ojobchannels.testing import Subject

@pytest.fixture(params=["simple", "file"])
def ojob_subject(request, tmp_path):
    yield Subject(request.param, {"file": str(tmp_path / "x")} if request.param == "file" else {})
""",
    )
    project.write(
        "test_mine.py",
        ONE_CONTRACT,
    )
    told = project.pytest("-k", "null")
    assert "conformance of simple" in told
    assert "conformance of file" in told


def test_without_a_subject_the_kit_says_what_to_write(project: Project) -> None:
    """A fixture of a few lines, shown."""
    project.write(
        "test_mine.py",
        ONE_CONTRACT,
    )
    told = project.pytest("-k", "null", status=1)
    assert "TestMine has no fixture ojob_subject" in told
    assert "return Subject('mine', {'folder': str(tmp_path)})" in told


def test_a_subject_of_another_kind_is_refused(project: Project) -> None:
    """A channel is no Subject."""
    project.write(
        "test_mine.py",
        """
import ojobchannels as oc, pytest
from ojobchannels.testing import CompareAndSetContract
class TestMine(CompareAndSetContract):
    @pytest.fixture
    def ojob_subject(self):
        return "simple"
""",
    )
    told = project.pytest("-k", "null", status=1)
    assert "the fixture ojob_subject of TestMine returned 'simple', not a Subject" in told


# `--ojob-conformance`


def test_a_type_is_proven_with_no_code_at_all(project: Project) -> None:
    """The embedded ones in a temporary file; the report counts and names what is not claimed."""
    told = project.pytest("--ojob-conformance=file", "-k", "fifo or order or unset")
    assert "conformance of file" in told
    assert "Order" in told
    assert "not claimed: fifo (1 promise)" in told
    assert list(project.folder.glob("*.json")) == []


def test_options_are_passed_on(project: Project) -> None:
    """As often as there are some; a file that is named is used."""
    path = project.folder / "named.db"
    words = ["--ojob-conformance=db", f"--ojob-conformance-option=file={path}"]
    project.pytest(*words, "--ojob-conformance-option", "durable=false", "-k", "add_tells")
    assert path.exists()


def test_the_report_comes_through_xdist(project: Project) -> None:
    """Once, for all workers together."""
    pytest.importorskip("xdist")
    told = project.pytest(
        "--ojob-conformance=simple", "-p", "xdist", "-n", "2", "-k", "null or add_tells or kill_9"
    )
    assert told.count("conformance of simple") == 1
    assert "not claimed: crash_release (1 promise)" in told
    assert "not claimed" in told.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--ojob-conformance=nosuch"], "no plugin offers the channel type 'nosuch'"),
        (["--ojob-conformance=db", "--ojob-conformance-option=fil=x"], "did you mean 'file'?"),
        (["--ojob-conformance=db", "--ojob-conformance-option=file"], "write NAME=VALUE"),
        (["--ojob-conformance=db", "tests"], "remove the test paths"),
    ],
    ids=["type", "option", "form", "paths"],
)
def test_a_wrong_call_is_told_in_one_line(project: Project, words: list[str], reason: str) -> None:
    """Before anything runs."""
    (project.folder / "tests").mkdir()
    told = project.pytest(*words, status=4)
    assert reason in told
    assert "Traceback" not in told


# What a failure looks like.


def test_a_failure_is_a_story(project: Project) -> None:
    """What was promised, what was done in order with each answer, what was seen; no wall."""
    project.offer_sloppy()
    told = project.pytest("--ojob-conformance=sloppy", "-k", "unset_tells", status=1)
    trace = told.partition("PROMISE of DocumentContract: ")[2].partition("====")[0]
    assert trace.startswith("unset tells whether the key was there\n")
    for part in (
        "The first answers True, the second False.",
        "STEPS on sloppy, each with its result:",
        "   1. A.set(key='key', value=1) → ",
        "   2. A.unset(key='key') → True",
        "   3. A.unset(key='key') → True",
        "FAILURE:",
        'assert channel.unset("key") is False',
    ):
        assert part in trace
    assert len(trace.splitlines()) < 15
    assert "failed: test_unset_tells_whether_the_key_was_there" in told


def test_a_story_tells_fields_in_their_order() -> None:
    """As they were given and answered, since that may be what is wrong; long maps are cut."""
    trace = Trace()
    with oc.open_channel("told", extensions=[trace.handle_extension(None)]) as channel:
        channel.set("key", {"b": {"d": 1, "c": {}}, "a": 2})
        channel.set("key", {str(9 - n): n for n in range(9)})
        channel.destroy()
    few, many, _ = trace.lines()[:3]
    assert "value={'b': {'d': 1, 'c': {}}, 'a': 2}" in few
    assert "value={'9': 0, '8': 1, '7': 2, '6': 3, '5': 4, '4': 5, ...}" in many


def test_a_backend_without_a_capability_is_held_to_refuse(project: Project) -> None:
    """Promises for those that do not claim it are asked of it, and told in the report."""
    project.offer_sloppy()
    told = project.pytest("--ojob-conformance=sloppy", "-v", "-k", "batch")
    refusal = "test_a_larger_batch_is_refused_where_it_cannot_be_one_step"
    assert f"{refusal} PASSED" in told
    assert "not claimed: atomic_batches" in told


def test_an_error_of_the_backend_is_told_with_its_line(project: Project) -> None:
    """The author sees the own frames, and none of ours or of pytest."""
    project.offer_sloppy()
    broken = SLOPPY.replace("return bool(super().unset(key, fence)) or True", "return 1 / 0")
    project.write("sloppy.py", broken)
    told = project.pytest("--ojob-conformance=sloppy", "-k", "unset_tells", status=1)
    assert "sloppy.py:8  return 1 / 0" in told
    assert "ZeroDivisionError: " in told
    assert "pluggy" not in told.partition("PROMISE of")[2]
    whole = project.pytest(
        "--ojob-conformance=sloppy", "-k", "unset_tells", "--full-trace", status=1
    )
    assert "_execution.py" in whole
