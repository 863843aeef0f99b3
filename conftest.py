"""Collects thousands of tests quickly; each process of pytest-xdist collects all of them."""

from __future__ import annotations

import gc
import re
from collections.abc import Generator
from functools import cache
from pathlib import Path

import pytest

FOR_ALL_TESTS = re.compile(r"^pytestmark = (?:\[.*?^\]|.*?$)", re.MULTILINE | re.DOTALL)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, which takes half of that time and finds nothing.

    Later it runs less often than usual, which saves a tenth of the time of the tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file in which the option `-m` selects no test.

    The markers are in the file, or in the `conftest.py` beside it.
    """
    if not collection_path.match("test_*.py"):
        return None
    wanted, unwanted = _markers(str(config.getoption("markexpr")))
    text = collection_path.read_text("utf-8")
    on_all = " ".join(FOR_ALL_TESTS.findall(text))
    markers = text + _text_of(collection_path.with_name("conftest.py"))
    needless = any(f"mark.{name}" not in markers for name in wanted)
    return needless or any(f"mark.{name}" in on_all for name in unwanted) or None


@cache
def _text_of(conftest: Path) -> str:
    return conftest.read_text("utf-8") if conftest.exists() else ""


@cache
def _markers(expression: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return which markers each test must have, and which none may have, as in `a and not b`."""
    wanted, unwanted = set(), set()
    for term in expression.split(" and "):
        match term.split():
            case [name]:
                wanted.add(name)
            case ["not", name]:
                unwanted.add(name)
            case _:
                return frozenset(), frozenset()
    return frozenset(wanted), frozenset(unwanted)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let each process begin with other files, and find the rest compiled by other processes."""
    report = yield
    worker = getattr(collector.config, "workerinput", None)
    if worker and isinstance(collector, pytest.Directory):
        number = int(worker["workerid"].removeprefix("gw"))
        first = len(report.result) * number // worker["workercount"]
        report.result = report.result[first:] + report.result[:first]
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Put the tests into the same order in all processes, and begin with those that take long."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path)
    yield  # the order becomes random
    if hasattr(config, "workerinput"):
        items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> float:
    """Return the time limit of its own that a test has, or 0."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker and marker.args else 0
