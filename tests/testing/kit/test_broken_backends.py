"""The conformance kit detects each backend with a defect, by the promises named for it."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from ojobchannels.testing import ChannelConformance
from ojobchannels.testing.contracts.base import promises

BROKEN_FOLDER = Path(__file__).parent / "broken"
PAGE = BROKEN_FOLDER.parents[3] / "docs" / "reference" / "conformance.md"

sys.path.insert(0, str(BROKEN_FOLDER))
try:
    import broken_backends
    import broken_clocks
    import broken_processes
    import broken_tokens
    import broken_values
    import broken_waits
    import broken_writes
finally:
    sys.path.remove(str(BROKEN_FOLDER))

if TYPE_CHECKING:
    from broken_backends import Broken

pytestmark = [pytest.mark.kit, pytest.mark.timeout(600)]  # one fixture runs the kit on all of them

MODULES = (
    *(broken_values, broken_writes, broken_tokens, broken_clocks, broken_waits, broken_processes),
)
BROKEN: list[Any] = broken_backends.BROKEN
PLUGINS = ("-p", "ojobchannels.pytest_plugin", "-p", "xdist")
ENTRY_POINT = "[ojobchannels]\nbroken = broken_backends\n"
EACH = pytest.mark.parametrize("broken", BROKEN, ids=[broken.type for broken in BROKEN])


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, set[str]]:
    """Names of failed promises by test class; the first test process runs the kit for all."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "broken"
    folder.mkdir(exist_ok=True)
    verdict = folder / "verdict.xml"
    with (folder / "gate").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if not verdict.exists():
            _run_kit(folder, verdict)
    return _verdict(verdict)


def _run_kit(folder: Path, verdict: Path) -> None:
    installed = folder / "broken.egg-info"
    installed.mkdir()
    (installed / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINT)
    suite = folder / "broken_suite.py"
    suite.write_text((BROKEN_FOLDER / "broken_suite.py").read_text("utf-8"), "utf-8")
    promises_to_run = [
        f"{suite}::Test{broken.__name__}::{promise}"
        for broken in BROKEN
        for promise in broken.caught_by.split()
    ]
    options = ["--rootdir", str(folder), "--junitxml", str(verdict), "-n", "2"]
    on_path = [str(folder), str(BROKEN_FOLDER), os.environ.get("PYTHONPATH", "")]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGINS, *options, *promises_to_run],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, on_path))}
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode != pytest.ExitCode.TESTS_FAILED:
        verdict.unlink(missing_ok=True)
        pytest.fail(run.stdout, pytrace=False)


def _verdict(report: Path) -> dict[str, set[str]]:
    failed: dict[str, set[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  pytest wrote it
        suite = case.get("classname", "").rpartition(".")[2]
        names = failed.setdefault(suite, set())
        if case.find("failure") is not None:
            names.add(case.get("name", "").partition("[")[0])
    return failed


@EACH
def test_the_kit_detects(broken: type[Broken], failed: dict[str, set[str]]) -> None:
    """Each promise of `caught_by` fails."""
    assert set(broken.caught_by.split()) <= failed[f"Test{broken.__name__}"]


def test_each_broken_backend_describes_its_defect() -> None:
    """There are at least 30, and each promise of `caught_by` belongs to the kit."""
    assert len(BROKEN) >= 30
    assert {broken.__module__ for broken in BROKEN} == {module.__name__ for module in MODULES}
    assert all(broken.__doc__ and broken.__doc__ != broken.__base__.__doc__ for broken in BROKEN)
    named = {promise for broken in BROKEN for promise in broken.caught_by.split()}
    assert named <= promises(ChannelConformance).keys()


def test_the_reference_lists_the_broken_backends() -> None:
    """With name, defect and promises."""
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \| (`test_.+`) \|$", PAGE.read_text("utf-8"), re.M)
    expected = [
        (broken.type, _in_one_line(broken.__doc__), _spans(broken.caught_by))
        for broken in sorted(BROKEN, key=lambda each: (MODULES.index(_module(each)), each.type))
    ]
    assert rows == expected, "\n".join(f"| `{a}` | {b} | {c} |" for a, b, c in expected)


def _module(broken: type) -> Any:
    return sys.modules[broken.__module__]


def _in_one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _spans(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split())
