"""What the channel itself does with operations; the kit proves them on every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.plugins import Registry, registry

if TYPE_CHECKING:
    from tests.conftest import Storage


def test_the_design_snippet_does_what_it_says(shared_storage: Storage) -> None:
    """The public operations, one by one."""
    with shared_storage.open() as channel:
        channel.set({"id": 1}, {"id": 1, "state": "new"})
        assert channel.get({"id": 1}) == {"id": 1, "state": "new"}
        assert channel.get({"id": 9}) is None
        assert channel.get_all(match={"state": "new"}) == [{"id": 1, "state": "new"}]
        with channel.lock("nightly", ttl=30, wait=5, keep_alive=True) as lease:
            channel.set({"id": 1}, {"id": 1, "state": "done"}, fence=lease.fence)
        again = channel.try_lock("nightly", ttl=30)
        assert again is not None
        assert channel.try_lock("nightly", ttl=30) is None
        again.extend(60)
        again.release()
        assert channel.lock_info("nightly") is None
        assert channel.locks() == []
        assert channel.force_unlock("nightly") is None
        assert channel.get_set({"state": "new"}, {"id": 1}, {"id": 1, "state": "taken"}) is None
        assert channel.add({"id": 2}, {"id": 2, "state": "new"})
        assert not channel.add({"id": 2}, {"id": 2, "state": "new"})


def test_a_backend_without_atomic_batches_refuses_more_than_one(
    simple_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is not atomic is refused instead of silently half done."""
    poor = replace(registry().find("simple"), capabilities=frozenset())
    monkeypatch.setattr(Registry, "find", lambda *_: poor)
    channel = simple_storage.open()
    channel.set_all({"a": 1})
    for attempt in (
        lambda: channel.set_all({"b": 1, "c": 2}),
        lambda: channel.unset_all(["a", "b"]),
    ):
        with pytest.raises(oc.NotSupported, match="2 entries in one step"):
            attempt()
    assert channel.get_keys() == ["a"]
    assert channel.unset_all(["a"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda channel: channel.set("b", 0),
        lambda channel: channel.set_all({"d": 4, "a": 5}),
        lambda channel: channel.unset("b"),
        lambda channel: channel.unset("b", fence=7),
        lambda channel: channel.unset_all(["a", "c"]),
        lambda channel: channel.get_set(2, "b", 6),
        lambda channel: channel.pop(),
        lambda channel: channel.shift(),
        lambda channel: channel.destroy(),
    ],
    ids=["set", "set_all", "unset", "fenced", "unset_all", "get_set", "pop", "shift", "destroy"],
)
def test_what_was_read_before_a_change_does_not_stand_for_what_is_there_now(
    storage: Storage, change: Callable[[oc.Channel], object]
) -> None:
    """All ways to read agree after any change, on the same handle and on others."""
    handles = storage.open(), storage.open()
    handles[0].set_all({"a": 1, "b": 2, "c": 3})
    before = [_read(handle) for handle in handles]
    change(handles[0])
    after = [_read(handle) for handle in handles]
    assert after[0] == after[1] != before[0] == before[1]


def _read(channel: oc.Channel) -> list[tuple[object, object]]:
    """Return all pairs; fail if two ways to read them differ."""
    pairs = [(key, value) for key, value in channel.items()]
    pages = []
    position = None
    while page := list(channel.items(limit=1, newest_first=True, after=position)):
        pages += [(key, value) for key, value in page]
        position = page[0].position
    assert pages == pairs[::-1]
    assert [channel.get(key) for key, _ in pairs] == [value for _, value in pairs]
    assert channel.get_all() == [value for _, value in pairs]
    assert channel.get_keys() == [key for key, _ in pairs]
    assert channel.size() == len(pairs)
    return pairs


def test_a_channel_beside_another_is_in_the_same_storage(storage: Storage) -> None:
    """It has the same options, other documents, and is closed by itself."""
    channel = storage.open()
    with channel.beside(f"{channel.name}-notes") as notes:
        notes.set(1, "one")
        assert channel.size() == 0
        assert storage.open(notes.name).get(1) == "one"
        assert (notes.type, notes.capabilities) == (channel.type, channel.capabilities)
        notes.destroy()
    assert not channel.closed
