"""Marks of fences are swept at an open, once a day."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels_redis.keys import Keys

if TYPE_CHECKING:
    import redis

DAY = 86_400_000_000


def marked(client: redis.Redis, name: str) -> set[bytes | str]:
    """Return the keys that have a mark."""
    return set(client.hkeys(Keys("ojob", name).marks))


def test_marks_are_swept_a_day_after_the_clock_has_passed_them(
    url: str, client: redis.Redis
) -> None:
    """Not those of held leases of any channel, not numbers of the caller's own, and once a day."""
    name = f"test-{secrets.token_hex(6)}"
    keys = Keys("ojob", name)
    old = time.time_ns() // 1000 - 2 * DAY
    with oc.open_channel(name, url) as channel, oc.open_channel(f"{name}-locks", url) as locks:
        lease = locks.lock("held", ttl=600)
        key = Keys("ojob", locks.name).lock("held")
        text = client.get(key)
        assert isinstance(text, bytes)
        client.set(key, text.replace(b"%d" % lease.fence, b"%d" % (old + 2)), keepttl=True)
        fences = {"new": lease.fence, "own": 7, "old": old, "removed": old + 1, "held": old + 2}
        for entry, fence in fences.items():
            channel.set(entry, 1, fence=fence)
        channel.unset("removed")
        everything = marked(client, name)
        assert len(everything) == 5
        oc.open_channel(name, url).close()
        assert marked(client, name) == {b'"new"', b'"own"', b'"held"'}
        channel.set("again", 1, fence=old)
        oc.open_channel(name, url).close()
        assert b'"again"' in marked(client, name)
        client.delete(keys.swept)
        oc.open_channel(name, url).close()
        assert b'"again"' not in marked(client, name)
        with pytest.raises(oc.StaleFence):
            channel.set("held", 2, fence=old)
        channel.destroy()
        client.delete(key)


def test_an_open_of_a_channel_without_marks_stores_nothing(url: str, client: redis.Redis) -> None:
    """It remembers no sweep either."""
    name = f"test-{secrets.token_hex(6)}"
    oc.open_channel(name, url).close()
    assert list(client.scan_iter(f"*{name}*")) == []
