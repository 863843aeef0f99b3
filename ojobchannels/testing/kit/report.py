"""The reports of the kit: a trace for each failure, and a summary of the promises at the end.

A pytest plugin that `conformance.pytest_plugin` registers. It imports nothing else of the package.
"""

from __future__ import annotations

import linecache
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from ojobchannels.testing.kit.trace import Trace

PROMISE: Final = "ojob_promise"
CAUSE: Final = "ojob_cause"
NOT_CLAIMED: Final = "ojob_not_claimed"
TRACE: Final = pytest.StashKey["Trace"]()
_GUARD: Final = "test_no_promise_is_overridden"
_LACKS: Final = "does not claim "
_PACKAGE = Path(__file__).parents[2]
_CONTRACTS = Path(__file__).parents[1] / "contracts"
_HIDDEN_FRAMES = ("_pytest", "pluggy", "concurrent", "threading.py", "contextlib.py")


class Report:
    """Collects the outcomes of the promises; under pytest-xdist, in the controller process."""

    def __init__(self, config: pytest.Config) -> None:
        self._keeps_traces = bool(config.getoption("fulltrace", False))
        self._outcomes: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(dict)
        self._lacking: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._causes: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._first_of_cause: dict[str, str] = {}
        self._broken: dict[str, dict[str, str]] = defaultdict(dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Show a failing promise as a trace; an xfail of the guard counts as a failure."""
        report = yield
        trace = item.stash.get(TRACE, None)
        if trace is None or call.excinfo is None:
            return report
        if report.skipped and hasattr(report, "wasxfail") and item.name.startswith(_GUARD):
            report.outcome = "failed"
            del report.wasxfail
        if report.failed and not self._keeps_traces:
            cause = _cause(call.excinfo)
            item.user_properties.append((CAUSE, cause))
            report.user_properties = item.user_properties
            first = self._first_of_cause.setdefault(cause, item.name)
            report.longrepr = (
                _failure_report(item, call.excinfo, trace)
                if first == item.name
                else f"the same cause as in {first}: {cause}"
            )
        return report

    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> tuple[str, str, str] | None:
        """Count promises of capabilities that are not claimed apart from skipped ones."""
        lack = _properties(report).get(NOT_CLAIMED)
        if not (lack and report.skipped):
            return None
        return ("not claimed" if lack.startswith(_LACKS) else "not applicable"), "-", "NOT CLAIMED"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record an outcome."""
        properties = _properties(report)
        if PROMISE not in properties:
            return
        label, contract, name = properties[PROMISE]
        outcome = "broken" if hasattr(report, "wasxfail") else report.outcome
        if properties.get(NOT_CLAIMED):
            lack = properties[NOT_CLAIMED]
            if lack.startswith(_LACKS):
                self._lacking[label][lack.removeprefix(_LACKS)].add(name)
        elif report.when == "call" or outcome != "passed":
            self._outcomes[label].setdefault((contract, name), set()).add(outcome)
        if CAUSE in properties and report.failed:
            self._causes[label][properties[CAUSE]].append(name)
        if outcome == "broken":
            self._broken[label][name] = report.wasxfail

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the summary."""
        for label in sorted({*self._outcomes, *self._lacking}):
            terminalreporter.section(f"conformance of {label}")
            for line in self.lines(label):
                terminalreporter.line(line)

    def lines(self, label: str) -> list[str]:
        """Return the summary of one subject."""
        outcomes = {
            promise: seen for promise, seen in self._outcomes[label].items() if promise[1] != _GUARD
        }
        kept = Counter(contract for (contract, _), seen in outcomes.items() if seen == {"passed"})
        checked = Counter(contract for contract, _ in outcomes)
        lines = [
            f"{sum(kept.values())} promises kept"
            + (f" of {len(outcomes)}" if kept != checked else "")
        ]
        parts = [
            f"{contract.removesuffix('Contract')} {kept[contract]}"
            + (f" of {count}" if count != kept[contract] else "")
            for contract, count in sorted(checked.items())
        ]
        lines += textwrap.wrap(", ".join(parts), 96, initial_indent="  ", subsequent_indent="  ")
        lines += [
            f"not claimed: {lack} ({len(names)} promise{'s' * (len(names) != 1)})"
            for lack, names in sorted(self._lacking[label].items())
        ]
        lines += [f"broken: {name}: {why}" for name, why in sorted(self._broken[label].items())]
        for cause, names in self._causes[label].items():
            if len({*names}) > 1:
                lines.append(f"one cause of {len({*names})} failures: {cause}")
        lines += _names("failed", outcomes, "failed")
        lines += _names("skipped", outcomes, "skipped")
        return lines


def _names(word: str, outcomes: dict[tuple[str, str], set[str]], outcome: str) -> Iterable[str]:
    return [f"{word}: {name}" for (_, name), seen in outcomes.items() if outcome in seen]


def _properties(report: pytest.TestReport | pytest.CollectReport) -> dict[str, Any]:
    return dict(getattr(report, "user_properties", ()))


def _failure_report(
    item: pytest.Item, failure: pytest.ExceptionInfo[BaseException], trace: Trace
) -> str:
    promise: Any = dict(item.user_properties).get(PROMISE, ["", "", item.name])
    docstring = " ".join((getattr(item, "obj", None).__doc__ or "").split())
    steps = trace.lines() or ["     no operation"]
    return "\n".join(
        [
            f"PROMISE of {promise[1]}: {_sentence(promise[2])}",
            *textwrap.wrap(docstring, 92, initial_indent="     ", subsequent_indent="     "),
            f"STEPS on {promise[0]}, each with its result:",
            *steps,
            "FAILURE:",
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
        notes = [*notes, f"caused by {type(cause).__name__}: {cause}"]
    return "\n".join([text, *notes])


def _cause(failure: pytest.ExceptionInfo[BaseException]) -> str:
    """Return a short description that is equal for failures of the same cause.

    That is the line of the backend that failed, or else the error without its numbers.
    """
    frames = [frame for frame in _frames(failure) if not frame.is_promise]
    if frames:
        return f"{type(failure.value).__name__} at {frames[-1].path}:{frames[-1].line}"
    first, _, _ = failure.exconly(tryshort=True).partition("\n")
    return re.sub(r"[0-9a-f]*\d[0-9a-f]*", "N", first)


class _Frame(NamedTuple):
    path: str
    line: int
    source: str
    is_promise: bool


def _where(failure: pytest.ExceptionInfo[BaseException]) -> list[str]:
    """Return the failing line of the promise, and the frames in the code of the backend."""
    return [
        f"{' ' * (5 if frame.is_promise else 7)}{frame.path}:{frame.line}  {frame.source}"
        for frame in _frames(failure)
    ]


def _frames(failure: pytest.ExceptionInfo[BaseException]) -> Iterator[_Frame]:
    for entry in failure.traceback:
        path = Path(entry.path)
        is_promise = path.is_relative_to(_CONTRACTS) and path.name != "base.py"
        if not is_promise and (
            path.is_relative_to(_PACKAGE) or any(part in path.parts for part in _HIDDEN_FRAMES)
        ):
            continue
        line = entry.lineno + 1
        source = linecache.getline(str(path), line).strip()
        yield _Frame(path.name if is_promise else str(path), line, source, is_promise)
