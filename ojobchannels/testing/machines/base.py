"""The base of the state machines: handles on one channel, and a trace in sentences."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from hypothesis.strategies import SearchStrategy

from ojobchannels.channels.channel import Channel
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.trace import ShortRepr

SHRINK_SECONDS = 25.0  # seconds
_CLIENTS = ("alice", "bob", "carol")
_SHORT = ShortRepr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxdict, _SHORT.maxlevel = 60, 60, 6, 5
_M = TypeVar("_M", bound=Callable[..., Any])


class ShrinkTimeout(KeyboardInterrupt):
    """Ends shrinking after its time limit; Hypothesis lets only a KeyboardInterrupt through."""


class Failure(NamedTuple):
    """A failing example: its time in seconds, its trace, and the error."""

    at: float
    trace: tuple[str, ...]
    error: Exception


class ChannelMachine(RuleBasedStateMachine):
    """Opens handles on a new channel for each example; each step is one sentence of the trace.

    Attributes:
        subject: The storage under test; `runner` sets it on a subclass.
        failures: The failing examples, while they are shrunk.
    """

    subject: ClassVar[Subject]
    failures: ClassVar[list[Failure]]

    def __init__(self) -> None:
        super().__init__()
        self._sentence = ""
        self._turn = 0
        self._trace: list[str] = []
        self._handles: dict[str, Channel] = {}

    def begin(self) -> None:
        """Choose a channel with a new name."""
        if self.failures and time.monotonic() > self.failures[0].at + SHRINK_SECONDS:
            raise ShrinkTimeout
        subject = self.subject
        self.current = Subject(subject.type, subject.options, label=subject.label)
        self.log(f"an empty channel of type {subject.type!r}")

    def handle(self, client: str) -> Channel:
        """Return the handle of a client, opened on first use."""
        if client not in self._handles:
            self._handles[client] = self.open_handle(client)
        return self._handles[client]

    def handles(self) -> dict[str, Channel]:
        """Return the open handles by client; open one if there is none."""
        return self._handles or {_CLIENTS[0]: self.handle(_CLIENTS[0])}

    def next_handle(self) -> tuple[str, Channel]:
        """Return the open handles in turn, one for each call."""
        self._turn += 1
        return list(self.handles().items())[self._turn % len(self._handles)]

    def close_handle(self, client: str) -> None:
        """Close the handle of a client; its next operation opens a new one."""
        self.handle(client).close()
        del self._handles[client]

    def open_handle(self, client: str) -> Channel:  # noqa: ARG002  subclasses use it
        """Open a handle for a client."""
        return self.current.open()

    def check(self) -> None:
        """Compare the visible state with the model; called after each step."""

    def teardown(self) -> None:
        """Remove the documents and close all handles."""
        with ExitStack() as closing:
            for channel in self._handles.values():
                closing.callback(channel.close)
            for channel in list(self._handles.values())[:1]:
                channel.destroy()

    def log(self, text: str) -> None:
        """Append to the sentence of this step."""
        self._sentence += text

    def skip(self) -> None:
        """Leave this step out of the trace: it calls no operation."""
        self._sentence = ""

    def fail(self, message: str) -> None:
        """Raise AssertionError."""
        __tracebackhide__ = True
        raise AssertionError(message)

    def expect(self, result: object, expected: object, what: str) -> None:
        """Compare exactly: ``1``, ``1.0`` and ``True`` are different results."""
        __tracebackhide__ = True
        if repr(result) != repr(expected):
            self.fail(f"{what}: got {short(result)}, expected {short(expected)}")

    @contextmanager
    def refused(self, kind: type[Exception], why: str) -> Iterator[None]:
        """Expect an error in the `with` block."""
        __tracebackhide__ = True
        try:
            yield
        except kind:
            self.log(f" -> {kind.__name__}")
        else:
            self.fail(f"expected {kind.__name__}: {why}")

    def _repr_step(self, rule: Any, data: Any, result: Any) -> str:
        """Return what Hypothesis prints for a step."""
        return self._sentence or super()._repr_step(rule, data, result)


def step(
    when: Callable[[Any], bool] | None = None, **drawn: SearchStrategy[Any]
) -> Callable[[_M], _M]:
    """Make a rule of a method; after each run, the state is compared with the model.

    Args:
        when: Precondition, called with the machine.
        drawn: Strategies for the arguments, as for `hypothesis.stateful.rule`.
    """

    def accept(method: _M) -> _M:
        @functools.wraps(method)
        def run(self: ChannelMachine, **arguments: Any) -> None:
            __tracebackhide__ = True
            self._trace.append(self._sentence)
            self._sentence = ""
            try:
                method(self, **arguments)
                self.check()
            except Exception as error:
                trace = tuple(filter(None, (*self._trace, self._sentence)))
                self.failures.append(Failure(time.monotonic(), trace, error))
                raise

        made = cast("Any", rule)(**drawn)(run)
        return cast("_M", precondition(when)(made) if when else made)

    return accept


def from_machine(choose: Callable[[Any], SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """Draw from a strategy that depends on the state of the machine."""
    return st.runner().flatmap(choose)


def clients() -> SearchStrategy[str]:
    """Draw the client whose handle is used."""
    return st.sampled_from(_CLIENTS)


def short(value: object) -> str:
    """Return a shortened representation."""
    return _SHORT.repr(value)
