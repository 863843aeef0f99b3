"""Collects thousands of tests quickly; each process of pytest-xdist collects all of them."""

from __future__ import annotations

import gc
import re
from collections.abc import Generator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

CONTRACTS = "ojobchannels.testing.contracts."
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
    """Put the tests into the same order in all processes.

    pytest-xdist gives each process an equal share of the list, from the end of which others take
    tests when they have none left. So each share begins with tests that take long, and ends with
    promises of the kit, which are short.
    """
    worker = getattr(config, "workerinput", None)
    if worker:
        items.sort(key=lambda item: item.path)
    yield  # the order becomes random
    if worker:
        shares: list[list[pytest.Item]] = [[] for _ in range(worker["workercount"])]
        for together in sorted(_kept_together(items), key=_urgency, reverse=True):
            min(shares, key=len).extend(together)
        items[:] = chain.from_iterable(shares)


def _kept_together(items: list[pytest.Item]) -> list[list[pytest.Item]]:
    """Return the tests one by one, except those of a file that share a fixture."""
    groups: dict[object, list[pytest.Item]] = {}
    for item in items:
        key = item.path if _scopes(item) & {"module", "class"} else item
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def _scopes(item: pytest.Item) -> set[str]:
    fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return {definitions[-1].scope for definitions in fixtures.values()}


def _urgency(together: list[pytest.Item]) -> tuple[float, bool]:
    """Return the longest time limit of their own that tests have, and whether they may be long."""
    limits = [marker.args[0] for item in together for marker in item.iter_markers("timeout")]
    return max(limits, default=0), not all(map(_is_short, together))


def _is_short(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or "ojob_own_server" in item.fixturenames:
        return False
    return str(item.function.__module__).startswith(CONTRACTS)
