"""The conformance kit: its contracts, the guard against overrides, and the collection."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from ojobchannels import testing
from ojobchannels.testing import ChannelConformance
from ojobchannels.testing.contracts.base import GUARD, Contract, guard, promises

if TYPE_CHECKING:
    from tests.testing.kit.conftest import Project

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting programs

HEAD = """
import pytest
from ojobchannels.testing import ChannelConformance, CompareAndSetContract, Subject

class Mine(CompareAndSetContract):
    __test__ = False
    @pytest.fixture
    def ojob_subject(self):
        return Subject("simple")
"""
ONE_CONTRACT = (
    "from ojobchannels.testing import CompareAndSetContract as C\nclass TestMine(C): ...\n"
)


def contracts() -> list[type[Contract]]:
    return [
        base
        for base in ChannelConformance.__mro__
        if base not in (ChannelConformance, Contract, object)
    ]


def test_each_promise_has_a_unique_name_and_a_sentence() -> None:
    """There are at least 150 promises."""
    names = [name for each in contracts() for name in vars(each) if name.startswith("test_")]
    assert len(names) >= 150
    assert [name for name, count in Counter(names).items() if count > 1] == []
    for name in names:
        doc = inspect.getdoc(getattr(ChannelConformance, name)) or ""
        assert doc.endswith("."), f"{name} has no sentence"


def test_every_contract_can_be_imported() -> None:
    """`from ojobchannels.testing import DocumentContract` works for each contract."""
    for contract in contracts():
        assert getattr(testing, contract.__name__) is contract
    with pytest.raises(AttributeError, match="NoSuchContract"):
        testing.NoSuchContract  # noqa: B018  it raises
    for name in testing.__all__:
        assert getattr(testing, name)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("ojobchannels.testing", "QueueContract", "FifoContract"),
        ("ojobchannels.testing", "Place", "IsolatedStorage"),
        ("ojobchannels.testing.fixtures.storage", "Place", "IsolatedStorage"),
        ("ojobchannels.changes", "News", "FeedUpdate"),
        ("ojobchannels.testing.kit.histories", "Held", "HeldLease"),
        ("ojobchannels.testing.kit.histories", "faults", "violations"),
        ("ojobchannels.testing.torture.targets", "open_arena", "open_target"),
    ],
)
def test_an_old_name_works_with_a_warning(module: str, old: str, new: str) -> None:
    """Names of version 0.1 that the documentation named."""
    home = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new};"):
        assert getattr(home, old) is getattr(home, new)


def test_without_pytest_the_error_names_the_extra() -> None:
    """The ImportError has the command that installs the extra."""
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


class Kept(ChannelConformance):
    """Overrides a promise with a reason."""

    __test__ = False

    @pytest.mark.xfail(reason="the server sorts by itself")
    def test_pop_removes_the_last_entry(self) -> None:  # type: ignore[override]  # what the guard finds
        """An expected failure."""


class Deleted(Kept):
    """Deletes a promise without a reason."""

    __test__ = False
    test_shift_removes_the_first_entry = None  # type: ignore[assignment]  # likewise


class Overridden(Deleted):
    """Overrides a promise without a reason, and adds a test."""

    __test__ = False

    @pytest.mark.xfail
    def test_what_was_set_is_read_back(self) -> None:  # type: ignore[override]  # what the guard finds
        """A mark without a reason."""

    def test_of_its_own(self) -> None:
        """Not a promise of the kit."""


def test_the_guard_accepts_an_override_with_a_reason() -> None:
    """The reason of an `xfail`."""
    assert guard(Kept) == []


def test_the_guard_reports_overrides_without_a_reason() -> None:
    """The error names the class, the promise and the contract, and says what to do."""
    (deleted,) = guard(Deleted)
    assert deleted.startswith("Deleted deletes test_shift_removes_the_first_entry of OrderContract")
    assert "@pytest.mark.xfail(reason=…)" in deleted
    errors = guard(Overridden)
    assert len(errors) == 2
    assert any(error.startswith("Overridden overrides test_what_was_set_is_") for error in errors)


def test_the_guard_itself_cannot_be_overridden() -> None:
    """A class that overrides or deletes it cannot be defined."""
    for override in (None, lambda _: None):
        with pytest.raises(TypeError, match=GUARD):
            type("TestMine", (ChannelConformance,), {GUARD: override})


def test_the_guard_fails_a_run(project: Project) -> None:
    """Also if the whole class is marked xfail."""
    project.write(
        "test_mine.py",
        HEAD
        + """
class TestDeletes(Mine):
    test_one_of_many_adds_stores = None

@pytest.mark.xfail(reason="all of it")
class TestHides(Mine):
    def test_one_of_many_get_sets_succeeds(self): ...
""",
    )
    output = project.pytest("-k", "overridden", status=1)
    assert "TestDeletes deletes test_one_of_many_adds_stores of CompareAndSetContract" in output
    assert (
        "TestHides overrides test_one_of_many_get_sets_succeeds of CompareAndSetContract" in output
    )
    assert "2 failed" in output


def test_the_summary_has_overrides_with_their_reasons(project: Project) -> None:
    """An overridden promise does not count as kept."""
    project.write(
        "test_mine.py",
        HEAD
        + """
class TestMine(Mine):
    @pytest.mark.xfail(reason="the server rounds")
    def test_add_returns_whether_it_stored(self, channel):
        assert channel.add("key", 1) is None
""",
    )
    output = project.pytest("-k", "add")
    assert "broken: test_add_returns_whether_it_stored: the server rounds" in output
    assert "promises kept of" in output
    assert "1 xfailed" in output


def test_a_subclass_of_a_contract_is_collected(project: Project) -> None:
    """Its name does not matter; imported contracts are not collected."""
    project.write("test_mine.py", f"{HEAD}\nclass MineConforms(Mine):\n    '''Mine.'''\n")
    output = project.pytest("-v")
    assert "MineConforms::test_one_of_many_adds_stores PASSED" in output
    assert f"{len(promises(testing.CompareAndSetContract))} passed" in output


def test_the_subject_may_be_parametrized_in_a_conftest(project: Project) -> None:
    """The report has a section for each subject."""
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
    output = project.pytest("-k", "null")
    assert "conformance of simple" in output
    assert "conformance of file" in output


def test_a_missing_subject_is_an_error_with_an_example(project: Project) -> None:
    """The error shows the fixture to write."""
    project.write(
        "test_mine.py",
        ONE_CONTRACT,
    )
    output = project.pytest("-k", "null", status=1)
    assert "TestMine has no fixture ojob_subject" in output
    assert "return Subject('mine', {'folder': str(tmp_path)})" in output


def test_a_subject_of_another_type_is_an_error(project: Project) -> None:
    """The fixture must return a Subject."""
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
    output = project.pytest("-k", "null", status=1)
    assert "the fixture ojob_subject of TestMine returned 'simple', not a Subject" in output
