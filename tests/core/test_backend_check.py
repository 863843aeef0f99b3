"""A backend that does not implement the operations as specified is refused when it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels import plugins
from ojobchannels.backend_check import OPERATIONS, check_backend
from ojobchannels.backends.simple.backend import SimpleBackend
from ojobchannels.hookspecs import ChannelSpec

NONE: frozenset[str] = frozenset()


class Renamed(SimpleBackend):
    """An operation is misspelt."""

    get_set = None  # type: ignore[assignment]  # missing on purpose

    @oc.hookimpl
    def get_sett(self) -> None:
        """Never called."""


class Argument(SimpleBackend):
    """An argument is misspelt."""

    @oc.hookimpl
    def get(self, kee: oc.Key) -> oc.Document:
        return kee


class Lacking(SimpleBackend):
    """Two operations are missing."""

    get_keys = None  # type: ignore[assignment]  # missing on purpose
    share = None  # type: ignore[assignment]  # missing on purpose


class Unmarked(SimpleBackend):
    """An operation is not marked."""

    def size(self) -> int:
        return 0


class Plain:
    """No operation is marked."""


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Renamed, "`get_sett` is not an operation (did you mean `get_set`?)"),
        (Argument, "`get` has no argument `kee` (did you mean `key`?)"),
        (Lacking, "`get_keys` is missing; `share` is missing"),
        (Unmarked, "`size` is not marked with `@hookimpl`"),
        (Plain, "none of its methods is marked with `@hookimpl`"),
    ],
)
def test_a_wrong_backend_is_refused_in_one_sentence(kind: type, reason: str) -> None:
    """It names the class, the channel type, and each operation that is wrong."""
    with pytest.raises(oc.InvalidBackend) as refused:
        check_backend("acme", object.__new__(kind), NONE)
    message = f"the backend {kind.__name__} of channel type 'acme' is invalid: {reason}"
    assert str(refused.value) == message


def test_subscribe_is_needed_for_events_only() -> None:
    """A type without such a capability has no changes to report."""

    class NoEvents(SimpleBackend):
        subscribe = None  # type: ignore[assignment]  # missing on purpose

    check_backend("acme", NoEvents.__new__(NoEvents), NONE)
    with pytest.raises(oc.InvalidBackend, match="`subscribe` is missing"):
        check_backend("acme", NoEvents.__new__(NoEvents), frozenset({"events_every"}))


def test_a_backend_may_leave_out_arguments() -> None:
    """As pluggy passes them by name; arguments with a default are its own."""

    class Frugal(SimpleBackend):
        @oc.hookimpl
        def wait(self, extra: int = 1) -> bool:  # type: ignore[override]  # wrong on purpose
            return bool(extra)

    check_backend("acme", Frugal.__new__(Frugal), NONE)


def test_open_channel_checks_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every channel type, before the first operation."""
    registry = plugins.registry()

    @contextmanager
    def provided(type: oc.ChannelType) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setitem(registry._providers, type.name, [plugins.Provided(type, "acme")])
            yield

    def open_plain(*_: Any) -> object:
        return Plain()

    with (
        provided(oc.ChannelType("plain", "", open_plain)),
        pytest.raises(oc.InvalidBackend, match="backend Plain of channel type 'plain'"),
    ):
        oc.open_channel("orders", type="plain")


def test_all_operations_are_checked() -> None:
    """Those of the hook spec."""
    assert OPERATIONS.keys() == {name for name in vars(ChannelSpec) if name[0] != "_"}
    assert len(OPERATIONS) >= 25
