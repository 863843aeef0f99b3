"""The job files under docs/examples run as their headers say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ojobchannels.ojob import check_file, run_file

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
# Those that need a server are run by the tests of the plugin that reaches it, and those that run
# until they are stopped by ../daemon/test_examples.py.
ELSEWHERE = ("distributed-", "scheduled.", "monitoring.", "batch-system.")
try:
    float("eighty")
except ValueError as error:
    NOT_A_NUMBER = str(error)  # in the words of this interpreter
ALL = sorted(path.name for path in EXAMPLES.glob("*.yaml") if "distributed-" not in path.name)
NAMES = [name for name in ALL if not name.startswith(ELSEWHERE)]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "docs" / "examples")
    monkeypatch.chdir(tmp_path)


def run(name: str, **args: Any) -> int:
    return run_file(f"docs/examples/{name}.yaml", args).exit_status


def test_every_pattern_has_an_example() -> None:
    assert set(NAMES) >= {
        "automatic-error-handling.yaml",
        "basic.yaml",
        "conditional.yaml",
        "custom-error-handling.yaml",
        "dependencies.yaml",
        "dynamic-launching.yaml",
        "history-report.yaml",
        "query-status.yaml",
        "timeout.yaml",
    }


@pytest.mark.parametrize("name", ALL)
def test_an_example_checks_out_and_its_header_shows_how_to_run_it(name: str) -> None:
    check_file(f"docs/examples/{name}")
    assert f"ojob run docs/examples/{name}\n" in Path("docs/examples", name).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_can_run_twice_and_keeps_its_state_in_one_folder(name: str) -> None:
    expected = 1 if name == "automatic-error-handling.yaml" else 0
    assert [run(Path(name).stem) for _ in range(2)] == [expected] * 2
    assert {path.name for path in Path().iterdir()} == {"docs", "ojob-data"}


def test_basic(capsys: pytest.CaptureFixture[str]) -> None:
    run("basic")
    out = capsys.readouterr().out
    assert "Count Words | harbour.txt: 53 words" in out
    assert "137 words; most frequent: the (23)" in out
    assert re.search(r"Count Words \| completed in \d\.\d\d s \(daily-word-count\)", out)
    assert run("basic", folder="docs") == 1


def test_automatic_error_handling(capsys: pytest.CaptureFixture[str]) -> None:
    run("automatic-error-handling")
    out, err = capsys.readouterr()
    assert f"ValueError: {NOT_A_NUMBER}" in err
    assert f"Show Last Run | error: ValueError: {NOT_A_NUMBER}" in out
    assert run("automatic-error-handling", file="docs/examples/data/sales.csv") == 0
    assert "Roll Up Sales | north        165.75" in capsys.readouterr().out


def test_custom_error_handling() -> None:
    assert run("custom-error-handling") == 0
    assert not Path("ojob-data/alerts.txt").exists()
    assert run("custom-error-handling", file="docs/examples/data/sales-with-a-fault.csv") == 1
    alert = f"check-sales: {NOT_A_NUMBER}\n"
    assert Path("ojob-data/alerts.txt").read_text() == alert


def test_dynamic_launching(capsys: pytest.CaptureFixture[str]) -> None:
    run("dynamic-launching")
    out = capsys.readouterr().out
    for batch in ("harbour", "lighthouse", "orchard"):
        assert f"(batch-{batch})" in out
    assert "Process Batches | 35 long words in total" in out


def test_query_status(capsys: pytest.CaptureFixture[str]) -> None:
    run("query-status")
    assert "daily-word-count has not run yet" in capsys.readouterr().out
    run("basic")
    capsys.readouterr()
    run("query-status")
    out = capsys.readouterr().out
    assert "Job:      daily-word-count" in out
    assert "Status:   completed" in out


def test_history_report(capsys: pytest.CaptureFixture[str]) -> None:
    run("history-report")
    assert "No job has run yet" in capsys.readouterr().out
    run("basic")
    run("basic")
    run("automatic-error-handling")
    capsys.readouterr()
    run("history-report")
    rows = [line.split()[:4] for line in capsys.readouterr().out.splitlines()]
    assert ["daily-word-count", "2", "2", "0"] in rows
    assert ["roll-up-sales", "1", "0", "1"] in rows


def test_conditional(capsys: pytest.CaptureFixture[str]) -> None:
    run("conditional")
    assert "Count If Idle | the longest word is 'lighthouse'" in capsys.readouterr().out


def test_dependencies(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("dependencies") == 0
    out = capsys.readouterr().out
    assert re.findall(r"\| (\w+) \| started", out) == [
        "Init",
        "Extract",
        "Transform",
        "Load",
    ]
    report = Path("ojob-data/sales-by-region.csv").read_text()
    assert report == "region,amount\nharbour,249.90\nnorth,165.75\nsouth,92.75\n"
    assert run("dependencies", file="docs/examples/data/sales-with-a-fault.csv") == 1
    assert "Load | not run: dependency 'Transform'" in capsys.readouterr().out


def test_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    run("timeout")
    assert "Count In Time | harbour.txt: 53 words" in capsys.readouterr().out
    assert run("timeout", reserve=9_999_999) == 0
    out = capsys.readouterr().out
    assert "Count In Time | warning: almost out of time: 3 files left" in out
