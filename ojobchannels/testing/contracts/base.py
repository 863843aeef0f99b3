"""The base of the contracts: marks, fixtures, and the guard against overridden promises."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.contracts.first_check import wrong_result
from ojobchannels.testing.forks import Forks
from ojobchannels.testing.kit.background import Background, WaitObserver
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.interleaving import Interleaving
from ojobchannels.testing.kit.report import NOT_CLAIMED, PROMISE, TRACE
from ojobchannels.testing.kit.stacks import all_stacks
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl
from ojobchannels.testing.kit.trace import Trace
from ojobchannels.testing.stalls import stalls_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Contract", "guard", "put_all", "requires", "timed", "without"]

_WRONG_RESULTS = pytest.StashKey[dict[str, "str | None"]]()
HANGS = 90.0
"""Seconds after which a promise counts as hanging."""
_HOME = __name__.rpartition(".")[0]
_Marked = TypeVar("_Marked", bound=Callable[..., Any] | type)


def requires(*capabilities: str) -> Callable[[_Marked], _Marked]:
    """Mark a promise, or all promises of a contract, as valid only with these capabilities.

    ``"a|b"`` requires one of two capabilities.
    """
    return promised(pytest.mark.ojob_requires(*capabilities))


def without(*capabilities: str) -> Callable[[_Marked], _Marked]:
    """Mark a promise as valid only without these capabilities, such as a clear refusal."""
    return promised(pytest.mark.ojob_without(*capabilities))


def timed(target: _Marked) -> _Marked:
    """Mark a promise that lets short leases expire in real time, so that a stall can break it."""
    return promised(pytest.mark.ojob_timed)(target)


def promised(mark: pytest.MarkDecorator) -> Callable[[_Marked], _Marked]:
    """Put a mark on a promise, or on each promise that a class defines itself.

    A class that combines contracts would inherit a mark on the class for all its promises.
    """

    def apply(target: _Marked) -> _Marked:
        if not isinstance(target, type):
            mark(target)
            return target
        for name, promise in vars(target).items():
            if name.startswith("test_"):
                mark(promise)
        return target

    return apply


class Contract:
    """Base class of the contracts; a subclass with a fixture `ojob_subject` runs the promises.

    Example::

        class TestMine(ChannelConformance):
            @pytest.fixture
            def ojob_subject(self, tmp_path):
                return Subject("mine", {"folder": str(tmp_path)})
    """

    __test__: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__test__" not in vars(cls):
            cls.__test__ = not is_ours(cls)
        if not is_ours(cls) and GUARD in vars(cls):
            raise TypeError(f"{cls.__name__} overrides {GUARD}; remove the override")

    def test_no_promise_is_overridden(self) -> None:
        """A subclass overrides or deletes a promise only with `xfail(reason=…)`."""
        __tracebackhide__ = True
        errors = guard(type(self))
        if errors:
            pytest.fail("\n".join(errors))

    @pytest.fixture(autouse=True)
    def subject(self, request: pytest.FixtureRequest, ojob_subject: Subject) -> Iterator[Subject]:
        """The storage under test; its handles are closed after the test."""
        if not isinstance(ojob_subject, Subject):
            pytest.fail(
                f"the fixture ojob_subject of {type(self).__name__} returned {ojob_subject!r}, "
                "not a Subject; example: return Subject('mine', {'folder': str(tmp_path)})",
                pytrace=False,
            )
        node = request.node
        _check_first(request, ojob_subject)
        node.user_properties.append((PROMISE, [ojob_subject.label, *_contract_and_name(node)]))
        lacking = _lacking(node, ojob_subject)
        if lacking:
            node.user_properties.append((NOT_CLAIMED, lacking))
            pytest.skip(f"{ojob_subject.label}: {lacking}")
        ojob_subject.trace = node.stash[TRACE] = Trace(stalls_of(node).call)
        with _watched(request), ojob_subject.cleanup():
            yield ojob_subject

    @pytest.fixture
    def trace(self, subject: Subject) -> Trace:
        """The trace of the test."""
        assert subject.trace is not None
        return subject.trace

    @pytest.fixture
    def timing(self, request: pytest.FixtureRequest, subject: Subject, trace: Trace) -> TimeControl:
        """Time for handles that are opened after this fixture."""
        clock = None
        if "clock" in subject.capabilities:
            subject.clock = clock = ManualClock()
            stalls_of(request.node).matter = False
        return TimeControl(clock, trace)

    @pytest.fixture
    def clock(self, timing: TimeControl) -> ManualClock:
        """The manual clock, for promises that require the capability `clock`."""
        assert timing.clock is not None
        return timing.clock

    @pytest.fixture
    def channel(self, request: pytest.FixtureRequest, subject: Subject) -> Channel:
        """A handle on an empty channel."""
        if "timing" in request.fixturenames:
            request.getfixturevalue("timing")
        return subject.open()

    @pytest.fixture
    def background(self, subject: Subject, trace: Trace) -> Iterator[Background]:
        """Runs functions on other threads, and waits for them after closing the handles."""
        running = Background(trace)
        yield running
        for channel in subject.opened:
            channel.close()
        running.join()

    @pytest.fixture
    def interleaving(self, background: Background) -> Interleaving:
        """Runs an operation line by line, with a rival in between."""
        return Interleaving(background)

    @pytest.fixture
    def races(self) -> Iterator[None]:
        """Switches between threads very often, to provoke race conditions."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        yield
        sys.setswitchinterval(before)

    @pytest.fixture
    def observer(self) -> WaitObserver:
        """An extension that counts calls of the hook `wait`."""
        return WaitObserver()

    @pytest.fixture
    def children(self, _ojob_forks: Forks) -> Iterator[Children]:
        """Starts processes, and ends them after the test."""
        started = Children(_ojob_forks)
        yield started
        started.clean_up()


GUARD = Contract.test_no_promise_is_overridden.__name__


def is_ours(cls: type) -> bool:
    """Return whether a class belongs to the kit."""
    return cls.__module__.startswith(_HOME)


def promises(cls: type) -> dict[str, type]:
    """Return the promises of a class by name, each with the contract that defines it."""
    contracts: dict[str, type] = {}
    for base in cls.__mro__:
        if is_ours(base):
            for name in vars(base):
                if name.startswith("test_"):
                    contracts.setdefault(name, base)
    return contracts


def guard(cls: type) -> list[str]:
    """Return an error for each promise that a class or its bases override without a reason."""
    errors = []
    for name, contract in promises(cls).items():
        for between in cls.__mro__:
            if is_ours(between) or name not in vars(between):
                continue
            if not _explained(vars(between)[name]):
                verb = "deletes" if vars(between)[name] is None else "overrides"
                errors.append(
                    f"{between.__name__} {verb} {name} of {contract.__name__}: mark it "
                    "@pytest.mark.xfail(reason=…), so that users know what does not hold"
                )
    return errors


def put_all(
    channel: Channel, pairs: Mapping[Any, Document] | Iterable[tuple[Document, Document]]
) -> None:
    """Store several values, in one step if the backend supports that."""
    items = list(dict(pairs).items() if hasattr(pairs, "keys") else pairs)
    if "atomic_batches" in channel.capabilities:
        channel.set_all(items)
        return
    for key, value in items:
        channel.set(key, value)


@contextmanager
def _watched(request: pytest.FixtureRequest) -> Iterator[None]:
    """Write the stacks of all processes to standard error if a promise takes very long."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write() -> None:
        text = f"{request.node.nodeid} has not ended after {HANGS:g} s\n{all_stacks()}\n"
        if capture is not None:
            capture.suspend_global_capture()
        sys.stderr.write(text)
        sys.stderr.flush()
        if capture is not None:
            capture.resume_global_capture()

    timer = threading.Timer(HANGS, write)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check_first(request: pytest.FixtureRequest, subject: Subject) -> None:
    """Stop before the first promise if an operation has a result of the wrong kind."""
    __tracebackhide__ = True
    wrong = request.session.stash.setdefault(_WRONG_RESULTS, {})
    if subject.type not in wrong:
        wrong[subject.type] = wrong_result(subject)
    reason = wrong[subject.type]
    if reason:
        if request.config.getoption("ojob_conformance"):
            request.session.shouldfail = reason
        pytest.fail(reason, pytrace=False)


def _explained(override: Any) -> bool:
    marks = getattr(override, "pytestmark", [])
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)


def _contract_and_name(node: pytest.Item) -> list[str]:
    name = getattr(node, "originalname", None) or node.name
    contract = promises(getattr(node, "cls", Contract)).get(name)
    return [contract.__name__ if contract else "no contract", name]


def _lacking(node: pytest.Item, subject: Subject) -> str:
    for mark in node.iter_markers("ojob_requires"):
        lacking = [arg for arg in mark.args if not subject.capabilities & set(arg.split("|"))]
        if lacking:
            return f"does not claim {', '.join(sorted(lacking)).replace('|', ' or ')}"
    for mark in node.iter_markers("ojob_without"):
        claimed = sorted(set(mark.args) & subject.capabilities)
        if claimed:
            return f"claims {', '.join(claimed)}"
    return ""
