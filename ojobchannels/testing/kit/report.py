"""What the kit tells: a failure as a story, and at the end what was proven and what is not claimed.

A light pytest plugin of its own, `conformance` registers it; nothing here imports the package.
"""

from __future__ import annotations

import linecache
import textwrap
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from ojobchannels.testing.kit.trace import Story

PROMISE: Final = "ojob_promise"
NOT_CLAIMED: Final = "ojob_not_claimed"
STORY: Final = pytest.StashKey["Story"]()
_GUARD: Final = "test_no_promise_is_overridden"
_LACKS: Final = "does not claim "
_PACKAGE = Path(__file__).parents[2]
_CONTRACTS = Path(__file__).parents[1] / "contracts"
_MACHINERY = ("_pytest", "pluggy", "concurrent", "threading.py", "contextlib.py")


class Report:
    """Gathers what became of the promises; of a run with xdist, on the process that reports."""

    def __init__(self, config: pytest.Config) -> None:
        self._keeps_traces = bool(config.getoption("fulltrace", False))
        self._outcomes: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(dict)
        self._lacking: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._broken: dict[str, dict[str, str]] = defaultdict(dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Tells a failing promise as a story; the guard itself is never expected to fail."""
        report = yield
        story = item.stash.get(STORY, None)
        if story is None or call.excinfo is None:
            return report
        if report.skipped and hasattr(report, "wasxfail") and item.name.startswith(_GUARD):
            report.outcome = "failed"
            del report.wasxfail
        if report.failed and not self._keeps_traces:
            report.longrepr = _tell(item, call.excinfo, story)
        return report

    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> tuple[str, str, str] | None:
        """What is not claimed counts apart from what was skipped."""
        lack = _facts(report).get(NOT_CLAIMED)
        if not (lack and report.skipped):
            return None
        return ("not claimed" if lack.startswith(_LACKS) else "not asked"), "-", "NOT CLAIMED"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes note of an outcome."""
        facts = _facts(report)
        if PROMISE not in facts:
            return
        label, contract, name = facts[PROMISE]
        outcome = "broken" if hasattr(report, "wasxfail") else report.outcome
        if facts.get(NOT_CLAIMED):
            lack = facts[NOT_CLAIMED]
            if lack.startswith(_LACKS):
                self._lacking[label][lack.removeprefix(_LACKS)].add(name)
        elif report.when == "call" or outcome != "passed":
            self._outcomes[label].setdefault((contract, name), set()).add(outcome)
        if outcome == "broken":
            self._broken[label][name] = report.wasxfail

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Writes the closing report."""
        for label in sorted({*self._outcomes, *self._lacking}):
            terminalreporter.section(f"what the kit proved of {label}")
            for line in self.lines(label):
                terminalreporter.line(line)

    def lines(self, label: str) -> list[str]:
        """Tells of one subject."""
        outcomes = {
            promise: seen for promise, seen in self._outcomes[label].items() if promise[1] != _GUARD
        }
        proven = Counter(contract for (contract, _), seen in outcomes.items() if seen == {"passed"})
        asked = Counter(contract for contract, _ in outcomes)
        told = [
            f"{sum(proven.values())} promises proven"
            + (f" of {len(outcomes)}" if proven != asked else "")
        ]
        parts = [
            f"{contract.removesuffix('Contract')} {proven[contract]}"
            + (f" of {count}" if count != proven[contract] else "")
            for contract, count in sorted(asked.items())
        ]
        told += textwrap.wrap(", ".join(parts), 96, initial_indent="  ", subsequent_indent="  ")
        told += [
            f"not claimed: {lack} ({len(names)} promise{'s' * (len(names) != 1)})"
            for lack, names in sorted(self._lacking[label].items())
        ]
        told += [f"broken: {name}: {why}" for name, why in sorted(self._broken[label].items())]
        told += _names("failed", outcomes, "failed")
        told += _names("skipped", outcomes, "skipped")
        return told


def _names(word: str, outcomes: dict[tuple[str, str], set[str]], outcome: str) -> Iterable[str]:
    return [f"{word}: {name}" for (_, name), seen in outcomes.items() if outcome in seen]


def _facts(report: pytest.TestReport | pytest.CollectReport) -> dict[str, Any]:
    return dict(getattr(report, "user_properties", ()))


def _tell(item: pytest.Item, failure: pytest.ExceptionInfo[BaseException], story: Story) -> str:
    promise: Any = dict(item.user_properties).get(PROMISE, ["", "", item.name])
    docstring = " ".join((getattr(item, "obj", None).__doc__ or "").split())
    steps = story.lines() or ["     nothing yet"]
    return "\n".join(
        [
            f"PROMISED by {promise[1]}: {_sentence(promise[2])}",
            *textwrap.wrap(docstring, 92, initial_indent="     ", subsequent_indent="     "),
            f"DONE with {promise[0]}, each step with its answer:",
            *steps,
            "SEEN:",
            *_where(failure),
            textwrap.indent(_what(failure), "     "),
        ]
    )


def _sentence(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


def _what(failure: pytest.ExceptionInfo[BaseException]) -> str:
    text = failure.exconly(tryshort=True)
    notes = getattr(failure.value, "__notes__", [])
    cause = failure.value.__cause__
    if cause is not None:
        notes = [*notes, f"because of {type(cause).__name__}: {cause}"]
    return "\n".join([text, *notes])


def _where(failure: pytest.ExceptionInfo[BaseException]) -> list[str]:
    """Tells the promise's own line, and below it the frames of who wrote the backend."""
    lines = []
    for entry in failure.traceback:
        path = Path(entry.path)
        if path.is_relative_to(_CONTRACTS) and path.name != "base.py":
            name, ours = path.name, True
        elif path.is_relative_to(_PACKAGE) or any(part in path.parts for part in _MACHINERY):
            continue
        else:
            name, ours = str(path), False
        source = linecache.getline(str(path), entry.lineno + 1).strip()
        indent = " " * (5 if ours else 7)
        lines.append(f"{indent}{name}:{entry.lineno + 1}  {source}")
    return lines
