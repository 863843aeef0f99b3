"""Names of keys, marks, and what is stored under which key."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels_redis.keys import Keys, slot

if TYPE_CHECKING:
    import redis

ODD_NAMES = [
    "a", "a:b", "a:", ":a", "{", "}", "{}", "{a}", "a}b{c", "%", "%7B", "%3A", "a b", "*", "a*",
    "[a]", "a?b", "\\", "^", "é", "e\u0301", "\n", "😀", "values", "a:lock",
    "}:lock", "x" * 4096, "é" * 2048,
]  # fmt: skip


def test_odd_channel_and_lock_names_never_meet(url: str) -> None:
    """Names with characters that have a meaning in keys: each channel and lock is distinct."""
    base = f"test-names-{secrets.token_hex(6)}"
    channels = [oc.open_channel(base + name, url) for name in ODD_NAMES if len(name) < 2000]
    for number, channel in enumerate(channels):
        channel.set("key", number)
        channel.lock("nightly", ttl=30, holder={"number": number})
    for number, channel in enumerate(channels):
        assert (channel.get("key"), channel.size()) == (number, 1)
        info = channel.lock_info("nightly")
        assert info is not None
        assert info.holder["number"] == number
        assert [lock.name for lock in channel.locks()] == ["nightly"]
    leases = [channels[0].lock(name, ttl=30) for name in ODD_NAMES]
    listed = {info.name: info.fence for info in channels[0].locks() if info.name != "nightly"}
    assert listed == {lease.name: lease.fence for lease in leases}
    for channel in channels:
        channel.destroy()
        channel.close()


def test_documents_share_a_hash_slot_and_locks_do_not() -> None:
    """A cluster can run each script on one node, and distribute the locks over all nodes."""
    for name in ODD_NAMES:
        keys = Keys("ojob", name)
        assert len({slot(key) for key in keys.documents}) == 1
        assert [keys.lock_name(keys.lock(other)) for other in ODD_NAMES] == ODD_NAMES
        assert len({keys.lock(other) for other in ODD_NAMES}) == len(ODD_NAMES)
    assert len({slot(Keys("ojob", "a").lock(str(n))) for n in range(100)}) > 90


def test_marks_are_compared_as_integers(channel: oc.Channel) -> None:
    """As numbers: not as text, and not rounded to the precision of Lua."""
    for low, high in [(0, 1), (9, 10), (2**53, 2**53 + 1), (2**63 - 2, 2**63 - 1)]:
        key = f"{low}"
        channel.set(key, "high", fence=high)
        with pytest.raises(oc.StaleFence) as refused:
            channel.set(key, "low", fence=low)
        assert (refused.value.fence, refused.value.mark) == (low, high)
        channel.set(key, "equal", fence=high)
        assert channel.get(key) == "equal"


def test_a_batch_that_is_too_large_is_refused_whole(channel: oc.Channel) -> None:
    """The error names the largest size."""
    with pytest.raises(oc.NotSupported, match="300000"):
        channel.set_all((n, 1) for n in range(300_001))
    assert channel.size() == 0


def test_only_fences_and_marks_remain(channel: oc.Channel, client: redis.Redis) -> None:
    """After destroy and unlock: the counter, the marks, and locks with an expiry."""
    channel.set({"b": 1, "a": 2}, 1, fence=1)
    channel.set_all({"a": 1, "b": 2})
    channel.lock("nightly", ttl=30).release()
    channel.destroy()
    stem = f"ojob:{{{channel.name}"
    left = {key.decode(): client.ttl(key) for key in client.scan_iter(f"{stem}*")}
    assert left.keys() == {f"{stem}}}:count", f"{stem}}}:marks", f"{stem}:nightly}}:lock"}
    assert 0 < left[f"{stem}:nightly}}:lock"] <= 86_500


def test_removing_every_entry_removes_its_keys(channel: oc.Channel, client: redis.Redis) -> None:
    """Values, order and written keys are removed together, whichever operation does it."""
    keys: list[Any] = [{"b": n, "a": 1.0} for n in range(10)]
    channel.set_all((key, 1) for key in keys)
    channel.pop()
    channel.shift()
    channel.unset(keys[1])
    channel.unset_all(keys[2:])
    stem = f"ojob:{{{channel.name}}}"
    assert [key.decode() for key in client.scan_iter(f"{stem}*")] == [f"{stem}:count"]
