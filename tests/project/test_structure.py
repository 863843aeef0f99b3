"""The structure of the source: no import circles, small modules, small folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "ojobchannels", *sorted(ROOT.glob("plugins/*/ojobchannels_*"))]
SOURCES = [
    *PACKAGES,
    ROOT / "benchmarks",
    ROOT / "docs",
    ROOT / "tests",
    *sorted(ROOT.glob("plugins/*/tests")),
]
MOST_LINES = 400
MOST_MODULES = 14

pytestmark = [
    pytest.mark.skipif(not (ROOT / "plugins").is_dir(), reason="needs the repository"),
    pytest.mark.kit,  # on one interpreter: the imports are the same on all
]


def modules() -> dict[str, Path]:
    """Return all modules of the packages, by their dotted names."""
    return {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for package in PACKAGES
        for path in package.rglob("*.py")
    }


def imported_names(node: ast.AST) -> Iterator[str]:
    """Yield the dotted names that code imports, also inside functions, but not for types only."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for other in node.orelse:
            yield from imported_names(other)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported_names(child)


def imports() -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    known = modules()
    graph: dict[str, set[str]] = {}
    for module, path in known.items():
        names = set(imported_names(ast.parse(path.read_text("utf-8"))))
        owners = {name if name in known else name.rpartition(".")[0] for name in names}
        graph[module] = (owners & known.keys()) - {module}
    return graph


def test_there_is_no_import_circle() -> None:
    """Neither at module level nor through imports inside functions."""
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_no_module_is_longer_than_400_lines() -> None:
    """Neither of the source nor of the tests: split it by subject."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for folder in SOURCES
        for path in folder.rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_no_folder_has_more_than_14_modules() -> None:
    """Besides `__init__.py`: group them by subject."""
    counts = {
        str(folder.relative_to(ROOT)): sum(
            path.name != "__init__.py" for path in folder.glob("*.py")
        )
        for source in SOURCES
        for folder in (source, *source.rglob("*/"))
    }
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_every_ignore_has_its_reason() -> None:
    """A check that is switched off for a line says why, behind it or for the whole file."""
    ignore = re.compile(
        r"# (?:type: ignore\[.*?\]|noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|pragma: no cover)(.*)$", re.M
    )
    bare = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for folder in SOURCES
        for path in sorted(folder.rglob("*.py"))
        for found in ignore.finditer(path.read_text("utf-8"))
        if not re.match(r"\s+(?:# )?[\w/-]", found[1])
    ]
    assert bare == [], "\n".join(bare)
