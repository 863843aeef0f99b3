"""Extensions: hook wrappers around the operations of one channel, or of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Storage


class Audit:
    """Writes down what is stored, and what came of it."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, Any, str]] = []

    @oc.hookimpl(wrapper=True)
    def set(self, key: oc.Key, value: Any) -> Any:
        """Wraps `set`, and takes only the arguments that it wants."""
        try:
            answer = yield
        except oc.StaleFence:
            self.seen.append((key.document, value, "refused"))
            raise
        self.seen.append((key.document, value, "stored"))
        return answer


class Doubling:
    """Changes what is read."""

    @oc.hookimpl(wrapper=True)
    def get(self) -> Any:
        """Wraps `get`."""
        value = yield
        return value if value is oc.MISSING else value * 2


@pytest.fixture
def everywhere() -> Iterator[Audit]:
    """An audit of all channels that a test opens."""
    audit = Audit()
    oc.add_extension(audit)
    yield audit
    oc.remove_extension(audit)


def test_an_extension_wraps_one_channel(storage: Storage) -> None:
    """An extension given at the opening sees the operations of that channel, and of no other."""
    audit = Audit()
    audited, plain = storage.open(extensions=[audit]), storage.open()
    audited.set({"id": 1}, "new")
    plain.set({"id": 2}, "new")
    assert audit.seen == [({"id": 1}, "new", "stored")]


def test_an_extension_wraps_all_channels_opened_later(storage: Storage, everywhere: Audit) -> None:
    """An extension that was added sees every channel opened after it, until it is removed."""
    storage.open().set("a", 1)
    oc.remove_extension(everywhere)
    storage.open().set("b", 2)
    oc.add_extension(everywhere)
    assert everywhere.seen == [("a", 1, "stored")]


def test_an_extension_sees_errors_pass(storage: Storage) -> None:
    """A wrapper meets the error that the backend raises, and the caller still gets it."""
    audit = Audit()
    channel = storage.open(extensions=[audit])
    channel.set("a", 1, fence=9)
    with pytest.raises(oc.StaleFence):
        channel.set("a", 2, fence=3)
    assert [outcome for *_, outcome in audit.seen] == ["stored", "refused"]


def test_an_extension_may_change_an_answer(storage: Storage) -> None:
    """What a wrapper returns is what the caller gets; a missing key stays missing."""
    channel = storage.open(extensions=[Doubling()])
    channel.set("a", 21)
    assert channel.get("a") == 42
    assert channel.get("b", "none") == "none"


def test_the_last_extension_is_the_outermost(storage: Storage) -> None:
    """Extensions wrap each other in the order in which they were given."""

    class Adding:
        @oc.hookimpl(wrapper=True)
        def get(self) -> Any:
            return (yield) + 1

    channel = storage.open(extensions=[Doubling(), Adding()])
    channel.set("a", 10)
    assert channel.get("a") == 21


def test_an_extension_that_names_no_operation_is_refused(storage: Storage) -> None:
    """A misspelt hook is told at the opening, by name, and nothing is left open."""

    class Misspelt:
        @oc.hookimpl(wrapper=True)
        def gett(self) -> Any:
            return (yield)

    with pytest.raises(oc.InvalidOption, match="gett"):
        storage.open(extensions=[Misspelt()])
