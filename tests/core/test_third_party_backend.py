"""The backend of the how-to, a distribution of its own, installed into a fresh environment."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.kit

CHECKOUT = Path(__file__).parents[2]
SOURCE = CHECKOUT / "docs" / "examples" / "ojobchannels-folder"
PAGE = CHECKOUT / "docs" / "how-to" / "write-a-backend.md"


class Environment:
    """A virtual environment that has what this one has, and one distribution more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=True, symlinks=True)
        ours = sorted({sysconfig.get_path("purelib"), *site.getsitepackages()})
        lines = [f"import site; site.addsitedir({path!r})\n" for path in ours]
        purelib = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
        (Path(purelib) / "those-of-the-tests.pth").write_text("".join(lines), "utf-8")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a Python module in it, outside the checkout."""
        return subprocess.run(
            [self.folder / "bin" / "python", "-m", *words],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One in which the backend was installed by pip, from its folder."""
    made = Environment(tmp_path_factory.mktemp("fresh") / "env")
    quietly = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    installed = made.run("pip", "install", "-q", *quietly, str(SOURCE))
    assert installed.returncode == 0, installed.stdout
    return made


def test_the_installed_type_is_found(environment: Environment) -> None:
    """By its entry point alone."""
    output = environment.run("ojobchannels", "channels").stdout
    assert re.search(r"^folder +ojobchannels-folder +a folder with a JSON file", output, re.M)


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_the_kit_proves_it(environment: Environment) -> None:
    """All that it claims, and the report says what it does not."""
    in_parallel = ("-n", "3", "--dist", "worksteal")
    run = environment.run("pytest", "--ojob-conformance=folder", "-q", *in_parallel)
    assert run.returncode == 0, run.stdout
    (proven,) = re.findall(r"^(\d+) promises kept$", run.stdout, re.M)
    assert int(proven) > 300
    lacks = re.findall(r"^not claimed: (.+) \(", run.stdout, re.M)
    events = ["events_every", "events_every or events_coalesced"]
    assert sorted(lacks) == ["atomic_batches", "crash_release", *events, "fifo"]


def test_torture_supplies_its_folder(environment: Environment) -> None:
    """As the kit does, for every option that must name a file or folder."""
    plan = ("--sections", "30", "--processes", "2", "--seed", "1")
    run = environment.run("ojobchannels.testing.torture", "--channel", "folder", *plan)
    assert run.returncode == 0, run.stdout
    assert "no violations" in run.stdout


def test_the_page_shows_the_code_that_is_proven() -> None:
    """Every block of Python and TOML on the page is in the distribution as shown."""
    code = "\n".join(path.read_text("utf-8") for path in sorted(SOURCE.iterdir()) if path.is_file())
    blocks = re.findall(r"^<!-- part -->\n```\w+\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert len(blocks) >= 5
    assert [block for block in blocks if block not in code] == []
