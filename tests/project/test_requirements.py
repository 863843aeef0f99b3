"""The lock files in tests/requirements hold all that pyproject.toml asks for, and no host."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[2]
LOCKS = CHECKOUT / "tests" / "requirements"
if not (CHECKOUT / "plugins").is_dir():
    pytest.skip("the plugins are not in the source archive", allow_module_level=True)

# By lock file: the dependency groups in it, and whether it holds the package's own dependencies.
FILES = {
    "test": (["test"], True),
    "asyncio": (["test", "asyncio"], True),
    "servers": (["test", "servers"], True),
    "lint": (["lint"], False),
    "type": (["type"], True),
    "docs": (["docs"], True),
    "package": (["package"], False),
    "bench": (["bench"], True),
}


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def requirements(group: str) -> list[Requirement]:
    """Return the requirements of a dependency group, with those of the groups that it includes."""
    found: list[Requirement] = []
    for entry in project(CHECKOUT)["dependency-groups"][group]:
        if isinstance(entry, dict):
            found += requirements(entry["include-group"])
        else:
            found.append(Requirement(entry))
    return found


def locked(name: str) -> dict[str, list[str]]:
    """Return the versions in a lock file by package, one for each range of Python versions."""
    versions: dict[str, list[str]] = {}
    text = (LOCKS / f"{name}.txt").read_text("utf-8")
    for package, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE):
        versions.setdefault(package, []).append(version)
    return versions


def unmet(wanted: list[Requirement], versions: dict[str, list[str]]) -> list[str]:
    return [
        str(requirement)
        for requirement in wanted
        if not any(
            requirement.specifier.contains(version, prereleases=True)
            for version in versions.get(canonicalize_name(requirement.name), [])
        )
    ]


@pytest.mark.parametrize("name", FILES)
def test_a_lock_file_meets_its_groups(name: str) -> None:
    """If this fails, run `tox -e lock`."""
    groups, with_package = FILES[name]
    wanted = [requirement for group in groups for requirement in requirements(group)]
    if with_package:
        wanted += [Requirement(text) for text in project(CHECKOUT)["project"]["dependencies"]]
    assert unmet(wanted, locked(name)) == []


def test_the_lock_file_for_servers_meets_the_plugins() -> None:
    """They are installed without their dependencies; if this fails, run `tox -e lock`."""
    plugins = sorted(CHECKOUT.glob("plugins/*/pyproject.toml"))
    assert len(plugins) >= 3
    texts = [text for path in plugins for text in project(path.parent)["project"]["dependencies"]]
    wanted = [Requirement(text) for text in texts if not text.startswith("ojobchannels")]
    assert unmet(wanted, locked("servers")) == []


@pytest.mark.parametrize("path", sorted(LOCKS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_lock_file_has_hashes_and_no_host(path: Path) -> None:
    """It is valid wherever packages come from, and tox has an environment that uses it."""
    assert path.stem in FILES
    text = path.read_text("utf-8")
    assert "://" not in text
    pins = re.findall(r"^\S+==[^\n]*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[^\s#]", text, re.MULTILINE))
