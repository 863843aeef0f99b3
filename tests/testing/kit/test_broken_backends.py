"""The conformance kit detects each backend with a defect, by the promises named for it."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from collections import Counter
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
    import defective
finally:
    sys.path.remove(str(BROKEN_FOLDER))

if TYPE_CHECKING:
    from defective import Defective

pytestmark = [pytest.mark.kit, pytest.mark.timeout(600)]  # one fixture runs the kit on all of them

ALL: list[Any] = defective.DEFECTIVE
PLUGINS = ("-p", "ojobchannels.pytest_plugin", "-p", "xdist")
ENTRY_POINT = "[ojobchannels]\ndefective = defective\n"
EACH = pytest.mark.parametrize("each", ALL, ids=[each.type for each in ALL])


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, set[str]]:
    """Names of failed promises by channel type; the first test process runs the kit for all."""
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
    """Run on each backend only the promises that detect it: most of the time goes into waiting."""
    installed = folder / "defective.egg-info"
    installed.mkdir()
    (installed / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: defective\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINT)
    suite = folder / "broken_suite.py"
    suite.write_text((BROKEN_FOLDER / "broken_suite.py").read_text("utf-8"), "utf-8")
    for mutant in defective.MUTANTS:
        mutant.write(folder)
    to_run = [f"{suite}::Test_{each.type}::{name}" for each in ALL for name in each.caught_by]
    options = ["--rootdir", str(folder), "--junitxml", str(verdict), "--tb", "no"]
    parallel = ["-n", "4", "--dist", "loadscope"]
    on_path = [str(folder), str(BROKEN_FOLDER), os.environ.get("PYTHONPATH", "")]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGINS, *options, *parallel, *to_run],
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
        suite = case.get("classname", "").rpartition(".Test_")[2]
        names = failed.setdefault(suite, set())
        if case.find("failure") is not None:
            names.add(case.get("name", "").partition("[")[0])
    return failed


@EACH
def test_the_kit_detects(each: Defective, failed: dict[str, set[str]]) -> None:
    """Each promise of `caught_by` fails."""
    assert set(each.caught_by) <= failed[each.type]


def test_each_defect_is_described_once() -> None:
    """More than 30 are subclasses, at least 40 edits, and each is detected by a known promise."""
    mutants = defective.MUTANTS
    assert len(mutants) >= 40
    assert len(ALL) - len(mutants) > 30
    assert [type for type, count in Counter(each.type for each in ALL).items() if count > 1] == []
    assert all(each.defect.endswith(".") for each in ALL)
    assert {name for each in ALL for name in each.caught_by} <= promises(ChannelConformance).keys()


def test_the_reference_lists_the_defects() -> None:
    """With name, defect and promises."""
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \| (`test_.+`) \|$", PAGE.read_text("utf-8"), re.M)
    expected = [
        (each.type, each.defect.replace("|", "\\|"), ", ".join(f"`{n}`" for n in each.caught_by))
        for each in ALL
    ]
    assert rows == expected, "\n".join(f"| `{a}` | {b} | {c} |" for a, b, c in expected)
