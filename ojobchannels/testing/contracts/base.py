"""What contracts share: how a promise is marked, run and noted, and the fixtures it may take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.kit.background import Announcer, Background
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.report import NOT_CLAIMED, PROMISE, STORY
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import Hourglass
from ojobchannels.testing.kit.trace import Story

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Contract", "guard", "put_all", "requires", "without"]

_HOME = __name__.rpartition(".")[0]
_Marked = TypeVar("_Marked", bound=Callable[..., Any] | type)


def requires(*capabilities: str) -> Callable[[_Marked], _Marked]:
    """Marks a promise, or all of a contract, of backends that claim these capabilities only.

    One written as ``this|that`` is there where either is.
    """
    return promised(pytest.mark.ojob_requires(*capabilities))


def without(*capabilities: str) -> Callable[[_Marked], _Marked]:
    """Marks a promise of backends that do not claim this capability: to refuse in clear words."""
    return promised(pytest.mark.ojob_without(*capabilities))


def promised(mark: pytest.MarkDecorator) -> Callable[[_Marked], _Marked]:
    """Puts a mark on a promise, or on each that a class makes itself.

    A mark on the class would be inherited by whoever puts several contracts together.
    """

    def put(thing: _Marked) -> _Marked:
        if not isinstance(thing, type):
            mark(thing)
            return thing
        for name, promise in vars(thing).items():
            if name.startswith("test_"):
                mark(promise)
        return thing

    return put


class Contract:
    """Base of the contracts: a subclass with a fixture `ojob_subject` runs their promises.

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
            raise TypeError(f"{cls.__name__} overrides {GUARD}, which keeps the kit honest")

    def test_no_promise_is_overridden(self) -> None:
        """A promise that a subclass overrides or deletes carries `xfail(reason=…)` there."""
        __tracebackhide__ = True
        faults = guard(type(self))
        if faults:
            pytest.fail("\n".join(faults))

    @pytest.fixture(autouse=True)
    def subject(self, request: pytest.FixtureRequest, ojob_subject: Subject) -> Iterator[Subject]:
        """The storage to prove; its handles are closed in the end."""
        if not isinstance(ojob_subject, Subject):
            pytest.fail(
                f"the fixture ojob_subject of {type(self).__name__} gave {ojob_subject!r}; it "
                "gives a Subject, as in: return Subject('mine', {'folder': str(tmp_path)})",
                pytrace=False,
            )
        node = request.node
        node.user_properties.append((PROMISE, [ojob_subject.label, *_place(node)]))
        lacking = _lacking(node, ojob_subject)
        if lacking:
            node.user_properties.append((NOT_CLAIMED, lacking))
            pytest.skip(f"{ojob_subject.label}: {lacking}")
        ojob_subject.story = node.stash[STORY] = Story()
        with ojob_subject.lent():
            yield ojob_subject

    @pytest.fixture
    def story(self, subject: Subject) -> Story:
        """What notes the steps."""
        assert subject.story is not None
        return subject.story

    @pytest.fixture
    def hourglass(self, subject: Subject, story: Story) -> Hourglass:
        """What lets time pass for handles that are opened after it."""
        clock = None
        if "clock" in subject.capabilities:
            subject.clock = clock = ManualClock()
        return Hourglass(clock, story)

    @pytest.fixture
    def clock(self, hourglass: Hourglass) -> ManualClock:
        """The clock to turn, for promises that require the capability `clock`."""
        assert hourglass.clock is not None
        return hourglass.clock

    @pytest.fixture
    def channel(self, request: pytest.FixtureRequest, subject: Subject) -> Channel:
        """A handle on an empty channel."""
        if "hourglass" in request.fixturenames:
            request.getfixturevalue("hourglass")
        return subject.open()

    @pytest.fixture
    def background(self, subject: Subject, story: Story) -> Iterator[Background]:
        """Runs functions on other threads; ends before the handles are closed."""
        running = Background(story)
        yield running
        for channel in subject.opened:
            channel.close()
        running.join()

    @pytest.fixture
    def races(self) -> Iterator[None]:
        """Has threads change places far more often, so that races come out."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        yield
        sys.setswitchinterval(before)

    @pytest.fixture
    def announcer(self) -> Announcer:
        """An extension that tells who goes to wait."""
        return Announcer()

    @pytest.fixture
    def children(self) -> Iterator[Children]:
        """Starts processes; they do not outlive the promise."""
        started = Children()
        yield started
        started.clear_away()


GUARD = Contract.test_no_promise_is_overridden.__name__


def is_ours(cls: type) -> bool:
    """Tells whether a class is one of the kit's own."""
    return cls.__module__.startswith(_HOME)


def promises(cls: type) -> dict[str, type]:
    """Returns the names of a class's promises, each with the contract that makes it."""
    found: dict[str, type] = {}
    for base in cls.__mro__:
        if is_ours(base):
            for name in vars(base):
                if name.startswith("test_"):
                    found.setdefault(name, base)
    return found


def guard(cls: type) -> list[str]:
    """Returns what a class, or one between it and the kit, does to promises without a reason."""
    faults = []
    for name, contract in promises(cls).items():
        for between in cls.__mro__:
            if is_ours(between) or name not in vars(between):
                continue
            if not _explained(vars(between)[name]):
                what = "deletes" if vars(between)[name] is None else "overrides"
                faults.append(
                    f"{between.__name__} {what} {name} of {contract.__name__}: mark it "
                    "@pytest.mark.xfail(reason=…), so that users see what the backend does not keep"
                )
    return faults


def put_all(
    channel: Channel, pairs: Mapping[Any, Document] | Iterable[tuple[Document, Document]]
) -> None:
    """Stores several values, in one step only where the backend can."""
    items = list(dict(pairs).items() if hasattr(pairs, "keys") else pairs)
    if "atomic_batches" in channel.capabilities:
        channel.set_all(items)
        return
    for key, value in items:
        channel.set(key, value)


def _explained(override: Any) -> bool:
    marks = getattr(override, "pytestmark", [])
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)


def _place(node: pytest.Item) -> list[str]:
    name = getattr(node, "originalname", None) or node.name
    contract = promises(getattr(node, "cls", Contract)).get(name)
    return [contract.__name__ if contract else "beyond the kit", name]


def _lacking(node: pytest.Item, subject: Subject) -> str:
    for mark in node.iter_markers("ojob_requires"):
        lacking = [one for one in mark.args if not subject.capabilities & set(one.split("|"))]
        if lacking:
            return f"does not claim {', '.join(sorted(lacking)).replace('|', ' or ')}"
    for mark in node.iter_markers("ojob_without"):
        claimed = sorted(set(mark.args) & subject.capabilities)
        if claimed:
            return f"claims {', '.join(claimed)}"
    return ""
