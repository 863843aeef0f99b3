"""Many entries, odd ones, and what is stored where."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels_redis.keys import Keys, slot

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    import redis

    from ojobchannels.testing.kit.subject import Subject

    Background = Callable[..., Future[Any]]

ODD_NAMES = [
    "a", "a:b", "a:", ":a", "{", "}", "{}", "{a}", "a}b{c", "%", "%7B", "%3A", "a b", "*", "a*",
    "[a]", "a?b", "\\", "^", "é", "e\u0301", "\n", "😀", "values", "a:lock",
    "}:lock", "x" * 4096, "é" * 2048,
]  # fmt: skip
ODD_KEYS: list[Any] = [
    "", {}, 0, 1, "1", True, False, "true", 1.5, -(2**63), 2**63 - 1, 1e300, 5e-324, "null", "\r\n",
    "{", "é", "e\u0301", "\u2028", "😀" * 100, " ", "0", {"a": None}, {"a": [1, [2, {}]]},
    {"b": 1, "a": 2}, {"": ""}, {"$set": 1, "a.b": 2}, "k" * 100_000, "\x01\x7f", "__proto__",
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, 0, -0.0, 2**63 - 1, -(2**63), 2**53 + 1, 1e300, 5e-324, 0.1, "", "null",
    [], {}, [[]], [{}], {"a": []}, [None], "\x00", "\r\n$5\r\n", "é😀\u2028", {"": {"": ""}},
    {"$a": {"b.c": 1}}, [1, "1", 1.0, True], "x" * 1_000_000,
]  # fmt: skip


@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: repr(key)[:20])
def test_odd_keys_come_back_as_they_went_in(channel: oc.Channel, key: Any) -> None:
    """By every way in and out."""
    channel.set(key, {"n": 1}, fence=3)
    assert channel.get(key) == {"n": 1}
    assert repr(channel.get_keys()) == repr([key])
    assert repr(list(channel.items())) == repr([(key, {"n": 1})])
    with pytest.raises(oc.StaleFence):
        channel.set(key, 2, fence=2)
    assert channel.get_set({"n": 1}, key, None) == {"n": 1}
    assert channel.unset(key)
    assert channel.add(key, 1)
    assert channel.unset_all([key]) == 1


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: repr(value)[:20])
def test_odd_values_come_back_as_they_went_in(channel: oc.Channel, value: Any) -> None:
    """By every way in and out; integers beyond 2**53 and empty lists are not touched."""
    channel.set("key", value)
    channel.add("added", value)
    channel.set_all([("batch", value)])
    assert repr(channel.get("key")) == repr(value)
    assert repr(channel.get_all()) == repr([value] * 3)
    assert repr([found for _, found in channel.items()]) == repr([value] * 3)
    assert repr(channel.get_set(value, "key", 1, default="no")) == repr(value)
    assert repr(channel.pop()) == repr(1)
    assert repr(channel.pop()) == repr(value)
    assert repr(channel.shift()) == repr(value)


def test_odd_channel_and_lock_names_never_meet(url: str) -> None:
    """Names with what has a meaning in keys: each channel and lock is its own."""
    base = f"test-names-{random.random()}"
    channels = [oc.open_channel(base + name, url) for name in ODD_NAMES if len(name) < 2000]
    for number, channel in enumerate(channels):
        channel.set("key", number)
        channel.lock("nightly", ttl=30, holder={"number": number})
    for number, channel in enumerate(channels):
        assert (channel.get("key"), channel.size()) == (number, 1)
        info = channel.lock_info("nightly")
        assert info is not None
        assert info.holder["number"] == number
        assert [found.name for found in channel.locks()] == ["nightly"]
    leases = [channels[0].lock(name, ttl=30) for name in ODD_NAMES]
    listed = {info.name: info.fence for info in channels[0].locks() if info.name != "nightly"}
    assert listed == {lease.name: lease.fence for lease in leases}
    for channel in channels:
        channel.destroy()
        channel.close()


def test_documents_share_a_slot_and_locks_do_not() -> None:
    """A cluster can do each script on one node, and spread the locks over all."""
    for name in ODD_NAMES:
        keys = Keys("ojob", name)
        assert len({slot(key) for key in keys.documents}) == 1
        assert [keys.lock_name(keys.lock(one)) for one in ODD_NAMES] == ODD_NAMES
        assert len({keys.lock(one) for one in ODD_NAMES}) == len(ODD_NAMES)
    assert len({slot(Keys("ojob", "a").lock(str(n))) for n in range(100)}) > 90


def test_marks_compare_integers_of_any_size(channel: oc.Channel) -> None:
    """As numbers: not as text, and not rounded to what Lua knows."""
    for low, high in [(9, 10), (-10, -9), (-1, 1), (2**53, 2**53 + 1), (10**30, 10**30 + 1)]:
        key = f"{low}"
        channel.set(key, "high", fence=high)
        with pytest.raises(oc.StaleFence) as refused:
            channel.set(key, "low", fence=low)
        assert (refused.value.fence, refused.value.mark) == (low, high)
        channel.set(key, "equal", fence=high)
        assert channel.get(key) == "equal"


def test_a_channel_of_200_000_entries_reads_whole(storage: Subject) -> None:
    """In pages, in order, each entry once; and nothing takes out of proportion long."""
    channel = storage.open(timeout=60)
    count = 200_000
    began = time.monotonic()
    for start in range(0, count, 50_000):
        channel.set_all((n, {"n": n, "even": n % 2 == 0}) for n in range(start, start + 50_000))
    filled = time.monotonic()
    assert channel.size() == count
    assert [value["n"] for value in channel.get_all()] == list(range(count))
    assert channel.get_keys() == list(range(count))
    assert len(channel.get_all(match={"even": True})) == count // 2
    assert [key for key, _ in channel.items(newest_first=True, limit=5)] == [
        count - 1 - n for n in range(5)
    ]
    assert sum(1 for _ in channel.items()) == count
    assert channel.shift() == {"n": 0, "even": True}
    assert channel.pop() == {"n": count - 1, "even": False}
    channel.destroy()
    assert channel.size() == 0
    assert time.monotonic() - filled < 10 * (filled - began) + 10


def test_beyond_a_snapshot_what_did_not_change_appears_once(
    storage: Subject, in_background: Background
) -> None:
    """While others write, remove and add all over the channel."""
    channel, other = storage.open(timeout=60), storage.open(timeout=60)
    channel.set_all((n, n) for n in range(30_000))
    stop = False

    def disturb() -> int:
        dice, turns = random.Random(7), 0
        while not stop:
            n = dice.randrange(0, 30_000, 3)
            other.set(n, n) if dice.random() < 0.5 else other.unset(n)
            turns += 1
        return turns

    disturbing = in_background(disturb)
    for _ in range(5):
        values = channel.get_all()
        untouched = [value for value in values if value % 3]
        assert untouched == [n for n in range(30_000) if n % 3]
        listed = [key for key in channel.get_keys() if key % 3]
        assert listed == untouched
    stop = True
    assert disturbing.result(30) > 0


def test_a_batch_that_is_too_large_is_refused_whole(channel: oc.Channel) -> None:
    """With the number that goes."""
    with pytest.raises(oc.NotSupported, match="300000"):
        channel.set_all((n, 1) for n in range(300_001))
    assert channel.size() == 0


def test_nothing_but_fences_and_marks_stays_behind(
    channel: oc.Channel, client: redis.Redis
) -> None:
    """After destroy and unlock: the counter, the marks, and locks that end by themselves."""
    channel.set({"b": 1, "a": 2}, 1, fence=1)
    channel.set_all({"a": 1, "b": 2})
    channel.lock("nightly", ttl=30).release()
    channel.destroy()
    stem = f"ojob:{{{channel.name}"
    left = {key.decode(): client.ttl(key) for key in client.scan_iter(f"{stem}*")}
    assert left.keys() == {f"{stem}}}:count", f"{stem}}}:marks", f"{stem}:nightly}}:lock"}
    assert 0 < left[f"{stem}:nightly}}:lock"] <= 86_500


def test_taking_everything_out_leaves_no_trace(channel: oc.Channel, client: redis.Redis) -> None:
    """Values, order and written keys go together, whatever takes them."""
    keys: list[Any] = [{"b": n, "a": 1.0} for n in range(10)]
    channel.set_all((key, 1) for key in keys)
    channel.pop()
    channel.shift()
    channel.unset(keys[1])
    channel.unset_all(keys[2:])
    stem = f"ojob:{{{channel.name}}}"
    assert [key.decode() for key in client.scan_iter(f"{stem}*")] == [f"{stem}:count"]
