"""Promises that depend on real time are repeated if the machine or the server stalled meanwhile.

A lease of a second says nothing about a backend if the next call takes two. Such a promise fails
only if it fails without a stall, or three times. The report names what was repeated, and why.

A pytest plugin that `conformance.pytest_plugin` registers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol  # as pytest-rerunfailures does: there is no public way

STALL: Final = 0.2
"""Seconds by which a thread or a call that does not wait is late before that counts as a stall."""
_REPEATS: Final = 2
_TICK: Final = 0.02
_FOUND: Final = pytest.StashKey["Stalls"]()
_REPEATED: Final = "ojob_repeated"


class Stalls:
    """The longest stall during one attempt at a test.

    Attributes:
        longest: Its seconds.
        matter: Whether a stall explains a failure; not with a clock that the test turns.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.matter = True

    def call(self, seconds: float) -> None:
        """Add the duration of a call that should not wait."""
        self.longest = max(self.longest, seconds)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Add the lateness of a thread that does nothing but sleep."""
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=[ended], name="stalls", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _watch(self, ended: threading.Event) -> None:
        due = time.monotonic() + _TICK
        while not ended.wait(max(due - time.monotonic(), 0)):
            self.call(time.monotonic() - due)
            due = time.monotonic() + _TICK


def stalls_of(item: pytest.Item) -> Stalls:
    """Return where the stalls of the current attempt are counted."""
    return item.stash.setdefault(_FOUND, Stalls())


class Repeats:
    """Repeats promises that failed while something stalled, and reports them."""

    def __init__(self) -> None:
        self._repeated: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> object:
        """Run a promise that depends on real time up to three times."""
        if not depends_on_time(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = _run(item, nextitem)
        repeated: list[str] = []
        while len(repeated) < _REPEATS and (why := _stalled(item, reports)):
            repeated.append(why)
            item.user_properties.clear()
            item.stash[_FOUND] = Stalls()
            reports = _run(item, nextitem)
        for report in reports:
            if repeated and report.when == "teardown":
                report.user_properties.append((_REPEATED, [item.nodeid, *repeated]))
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what was repeated; under pytest-xdist, in the controller process."""
        found: Any = dict(report.user_properties).get(_REPEATED)
        if found:
            self._repeated += [f"{found[0]}: {reason}" for reason in found[1:]]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write what was repeated, and why."""
        if self._repeated:
            terminalreporter.section("repeated after a stall")
            for line in self._repeated:
                terminalreporter.line(line)


def _run(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    with stalls_of(item).watched():
        return runtestprotocol(item, nextitem=nextitem, log=False)


def depends_on_time(item: pytest.Item) -> bool:
    """Return whether a promise lets short leases expire in real time."""
    uses_time = "timing" in getattr(item, "fixturenames", ())
    return uses_time or item.get_closest_marker("ojob_timed") is not None


def _stalled(item: pytest.Item, reports: list[pytest.TestReport]) -> str:
    """Return why a test is to be repeated, or an empty string."""
    failed = [report for report in reports if report.failed]
    stalls = stalls_of(item)
    if not (failed and stalls.matter and stalls.longest >= STALL):
        return ""
    error = str(failed[0].longrepr).strip().splitlines()[-1].strip()
    return f"something stalled for {stalls.longest:.1f} s, and the attempt failed: {error}"
