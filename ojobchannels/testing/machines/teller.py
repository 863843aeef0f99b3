"""A state machine that tells what it does in sentences."""

from __future__ import annotations

import functools
import reprlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from hypothesis.strategies import SearchStrategy

from ojobchannels.channels.channel import Channel
from ojobchannels.testing.kit.subject import Subject

SHRINKING = 25.0  # seconds
_PEOPLE = ("alice", "bob", "carol")
_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxdict, _SHORT.maxlevel = 60, 60, 6, 5
_M = TypeVar("_M", bound=Callable[..., Any])


class Enough(KeyboardInterrupt):
    """There was enough time to shrink what failed; nothing but this ends that early."""


class Failure(NamedTuple):
    """An example that failed: when (seconds), its story, and how."""

    at: float
    story: tuple[str, ...]
    error: Exception


class Teller(RuleBasedStateMachine):
    """Opens handles on a fresh channel for each example; each step is one sentence of the story.

    Attributes:
        subject: Storage and options to work on; whoever runs the machine makes a class with it.
        failures: How examples failed, while they were shrunk.
    """

    subject: ClassVar[Subject]
    failures: ClassVar[list[Failure]]

    def __init__(self) -> None:
        super().__init__()
        self._sentence = ""
        self._turn = 0
        self._story: list[str] = []
        self._handles: dict[str, Channel] = {}

    def begin(self) -> None:
        """Takes a channel of a new name."""
        if self.failures and time.monotonic() > self.failures[0].at + SHRINKING:
            raise Enough
        given = self.subject
        self.here = Subject(given.type, given.options, label=given.label)
        self.tell(f"an empty channel of type {given.type!r}")

    def handle(self, who: str) -> Channel:
        """Returns somebody's handle, and opens it first where that is not done."""
        if who not in self._handles:
            self._handles[who] = self.open_handle(who)
        return self._handles[who]

    def handles(self) -> dict[str, Channel]:
        """Returns the open handles."""
        return self._handles or {_PEOPLE[0]: self.handle(_PEOPLE[0])}

    def next_handle(self) -> tuple[str, Channel]:
        """Returns each of the open handles in turn."""
        self._turn += 1
        return list(self.handles().items())[self._turn % len(self._handles)]

    def close_handle(self, who: str) -> None:
        """Closes a handle; who uses it next has another."""
        self.handle(who).close()
        del self._handles[who]

    def open_handle(self, who: str) -> Channel:  # noqa: ARG002  a machine may tell them apart
        """Opens one more handle."""
        return self.here.open()

    def check(self) -> None:
        """Compares all that can be seen with the model; called after each step."""

    def teardown(self) -> None:
        """Removes the documents and closes everything."""
        with ExitStack() as closing:
            for channel in self._handles.values():
                closing.callback(channel.close)
            for channel in list(self._handles.values())[:1]:
                channel.destroy()

    def tell(self, what: str) -> None:
        """Adds to the sentence of this step."""
        self._sentence += what

    def doubt(self, wrong: str) -> None:
        """Fails with a sentence."""
        __tracebackhide__ = True
        raise AssertionError(wrong)

    def expect(self, answer: object, expected: object, what: str) -> None:
        """Compares exactly: ``1``, ``1.0`` and ``True`` are three answers."""
        __tracebackhide__ = True
        if repr(answer) != repr(expected):
            self.doubt(f"{what}: got {short(answer)}, and should be {short(expected)}")

    @contextmanager
    def refused(self, kind: type[Exception], why: str) -> Iterator[None]:
        """Expects an error."""
        __tracebackhide__ = True
        try:
            yield
        except kind:
            self.tell(f" -> {kind.__name__}")
        else:
            self.doubt(f"this should raise {kind.__name__}: {why}")

    def _repr_step(self, rule: Any, data: Any, result: Any) -> str:
        """What Hypothesis prints of a step."""
        return self._sentence or super()._repr_step(rule, data, result)


def step(
    when: Callable[[Any], bool] | None = None, **drawn: SearchStrategy[Any]
) -> Callable[[_M], _M]:
    """Makes a rule of a method, after which all is compared with the model.

    Args:
        when: Tells of the machine whether the step can be done.
        drawn: What the method takes, as in Hypothesis' own `rule`.
    """

    def accept(method: _M) -> _M:
        @functools.wraps(method)
        def run(self: Teller, **given: Any) -> None:
            __tracebackhide__ = True
            self._story.append(self._sentence)
            self._sentence = ""
            try:
                method(self, **given)
                self.check()
            except Exception as error:
                story = (*self._story, self._sentence)
                self.failures.append(Failure(time.monotonic(), story, error))
                raise

        made = cast("Any", rule)(**drawn)(run)
        return cast("_M", precondition(when)(made) if when else made)

    return accept


def of_the_machine(choose: Callable[[Any], SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """Draws from what the machine has at that moment."""
    return st.runner().flatmap(choose)


def people() -> SearchStrategy[str]:
    """Draws whose handle is used."""
    return st.sampled_from(_PEOPLE)


def short(thing: object) -> str:
    """Returns a representation of bearable length."""
    return _SHORT.repr(thing)
