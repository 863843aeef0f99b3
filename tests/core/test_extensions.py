"""Extensions: hook wrappers around any operation, for one channel or for all."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.hookspecs import ChannelSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.conftest import Storage

OPERATIONS = [name for name in vars(ChannelSpec) if not name.startswith("_")]


class Metrics:
    """Counts the calls of `set` and `get` and times nothing."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    @oc.hookimpl(wrapper=True)
    def set(self, key: object) -> Iterator[None]:
        self.calls.append(f"set {key}")
        return (yield)

    @oc.hookimpl(wrapper=True)
    def get(self, key: object) -> Iterator[None]:
        self.calls.append(f"get {key}")
        return (yield)


def everything() -> Any:
    """An extension that wraps every operation of the spec and records its name."""

    def wrapper(name: str) -> Callable[..., Iterator[None]]:
        @oc.hookimpl(wrapper=True, specname=name)
        def wrap(self: Any) -> Iterator[None]:
            self.seen.append(name)
            return (yield)

        return wrap

    made = type("Everything", (), {name: wrapper(name) for name in OPERATIONS})()
    made.seen = []
    return made


def use_all_operations(channel: oc.Channel) -> None:
    channel.set("a", 1)
    channel.get("a")
    channel.get_all()
    list(channel.items())
    channel.hook.index(fields=("state",))
    channel.hook.below(field="endTime", bound=1, limit=1)
    channel.hook.size_until(position=1)
    channel.get_keys()
    channel.size()
    channel.get_set(1, "a", 2)
    channel.unset("a")
    channel.set_all({"b": 1, "c": 2, "d": 3})
    channel.pop()
    channel.shift()
    channel.unset_all(["c"])
    lease = channel.lock("nightly", ttl=30)
    with pytest.raises(oc.LockBusy):
        channel.lock("nightly", ttl=30, wait=0.01)
    channel.hook.watch(name="nightly", seen_fence=0, token=lease.token, notify=lambda: None).close()
    lease.extend()
    lease.share()
    channel.lock_info("nightly")
    channel.locks()
    channel.hook.extend_all(leases=[], timeout=10)
    channel.lease_from(lease.to_document()).release()
    channel.force_unlock("nightly")
    assert channel.hook.asynchronous() is None
    channel.subscribe(print).close()
    channel.hook.asynchronous()
    channel.destroy()
    channel.close()


def test_every_operation_can_be_wrapped(storage: Storage) -> None:
    """One wrapper per name of the hook spec, and each of them is called."""
    extension = everything()
    use_all_operations(storage.open(extensions=[extension]))
    assert set(extension.seen) == set(OPERATIONS)


def test_the_hook_spec_describes_every_operation() -> None:
    """Each has a docstring, and returns one result."""
    for name in OPERATIONS:
        operation = getattr(ChannelSpec, name)
        assert inspect.getdoc(operation)
        assert operation.ojobchannels_spec["firstresult"]


def test_an_extension_of_one_channel_is_of_that_one_only(storage: Storage) -> None:
    """Other handles on the same storage are not affected."""
    metrics = Metrics()
    with_it, without = storage.open(extensions=[metrics]), storage.open()
    with_it.set("a", 1)
    without.set("b", 2)
    without.get("a")
    assert with_it.get("b") == 2
    assert metrics.calls == ['set "a"', 'get "b"']


def test_an_extension_for_all_counts_for_what_is_opened_later(storage: Storage) -> None:
    """Until it is removed; open channels do not change."""
    before = storage.open()
    metrics = Metrics()
    oc.add_extension(metrics)
    try:
        during = storage.open()
    finally:
        oc.remove_extension(metrics)
    after = storage.open()
    for number, channel in enumerate([before, during, after]):
        channel.set(number, number)
    assert metrics.calls == ["set 1"]


def test_several_extensions_wrap_each_other(storage: Storage) -> None:
    """The last one is outermost, as in pluggy."""
    order = []

    def named(name: str) -> object:
        class Named:
            @oc.hookimpl(wrapper=True)
            def get(self) -> Iterator[None]:
                order.append(f"{name} before")
                result = yield
                order.append(f"{name} after")
                return result

        return Named()

    channel = storage.open(extensions=[named("first"), named("second")])
    channel.get("a")
    assert order == ["second before", "first before", "first after", "second after"]


def test_an_extension_can_change_the_result_and_see_the_arguments(storage: Storage) -> None:
    """Enough for a cache, encryption or fault injection."""

    class Doubling:
        @oc.hookimpl(wrapper=True)
        def get(self, key: Any) -> Iterator[None]:
            result: Any = yield
            return [key.document, result, result]  # type: ignore[return-value]  # the wrong kind

    channel = storage.open(extensions=[Doubling()])
    channel.set({"id": 1}, 7)
    assert channel.get({"id": 1}) == [{"id": 1}, 7, 7]
    assert channel.get("missing") == ["missing", oc.MISSING, oc.MISSING]


def test_an_extension_can_raise_before_and_after(storage: Storage) -> None:
    """Before the yield, the backend is not called; after it, it was."""

    class Fault:
        def __init__(self, late: bool) -> None:
            self.late = late

        @oc.hookimpl(wrapper=True)
        def set(self) -> Iterator[None]:
            if not self.late:
                raise oc.OutcomeUnknown("test", "set", "look")
            yield
            raise oc.OutcomeUnknown("test", "set", "look")

    plain = storage.open()
    for late in (False, True):
        with pytest.raises(oc.OutcomeUnknown):
            storage.open(extensions=[Fault(late)]).set("a", late)
        assert (plain.get("a") is not None) is late


def test_an_extension_sees_the_error_of_the_backend(storage: Storage) -> None:
    """And may pass it on, or return a result instead."""
    seen = []

    class Forgiving:
        @oc.hookimpl(wrapper=True)
        def set(self) -> Iterator[None]:
            try:
                return (yield)
            except oc.StaleFence as error:
                seen.append(error)
                return None

    channel = storage.open(extensions=[Forgiving()])
    channel.set("a", 1, fence=2)
    channel.set("a", 2, fence=1)
    assert len(seen) == 1
    assert channel.get("a") == 1


def test_an_extension_works_on_every_page_of_items(storage: Storage) -> None:
    """Also for pages that the channel reads by itself."""
    pages = []

    class Pages:
        @oc.hookimpl(wrapper=True)
        def items(
            self, limit: int, after: int | None
        ) -> Generator[None, list[oc.Item], list[oc.Item]]:
            result = yield
            pages.append((limit, after is None, len(result)))
            return result

    channel = storage.open(extensions=[Pages()])
    channel.set_all((n, n) for n in range(1500))
    assert len(list(channel.items())) == 1500
    assert pages == [
        (128, True, 128),
        (256, False, 256),
        (512, False, 512),
        (1024, False, 604),
    ]


def test_a_misspelt_hook_is_reported_and_nothing_is_opened(storage: Storage) -> None:
    """An extension that would never be called is a mistake."""

    class Misspelt:
        @oc.hookimpl(wrapper=True)
        def gett(self) -> Iterator[None]:
            return (yield)

    class WrongArgument:
        @oc.hookimpl(wrapper=True)
        def get(self, kee: object) -> Iterator[None]:  # noqa: ARG002  its name is the fault
            return (yield)

    for extension, word in ((Misspelt(), "gett"), (WrongArgument(), "kee")):
        with pytest.raises(oc.InvalidOption, match=word):
            storage.open(extensions=[extension])


def test_an_extension_can_serve_many_channels(storage: Storage) -> None:
    """One object, any number of handles."""
    metrics = Metrics()
    for number in range(3):
        storage.open(extensions=[metrics]).set(number, number)
    assert metrics.calls == ["set 0", "set 1", "set 2"]
