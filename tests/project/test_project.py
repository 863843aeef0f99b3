"""The project itself: what gets tested, which way imports go, and what an import costs."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import ojobchannels

HEAVY = set("click psycopg pydantic pyignite pymongo redis rich ruamel sqlite3 tinydb".split())


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="only tox installs the wheel")
def test_tox_tests_the_installed_package() -> None:
    assert ojobchannels.__file__ is not None
    assert Path(ojobchannels.__file__).is_relative_to(sysconfig.get_path("purelib"))


def test_imports_go_in_one_direction(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    lint_imports = Path(sysconfig.get_path("scripts"), "lint-imports")
    config = pytestconfig.rootpath / "pyproject.toml"
    done = subprocess.run(
        [lint_imports, "--no-cache", "--config", config],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="coverage imports sqlite3")
def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import ojobchannels"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("|") for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {row[-1].strip() for row in rows}
    assert "ojobchannels" in imported, done.stderr
    assert {name for name in imported if name.partition(".")[0] in HEAVY} == set()


def test_public_names_are_sorted_and_exist() -> None:
    names = ojobchannels.__all__
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), name))
    assert [name for name in names if not hasattr(ojobchannels, name)] == []
    assert set(names) <= set(dir(ojobchannels))
