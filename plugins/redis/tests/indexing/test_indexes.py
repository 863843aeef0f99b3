"""Indexes on fields: readers keep them, and they never decide what is found."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ojobchannels as oc
from ojobchannels_redis.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis


@pytest.fixture
def pair(url: str) -> Iterator[tuple[oc.Channel, oc.Channel]]:
    """Return two handles on a channel, of which only the first uses indexes."""
    name = f"test-{secrets.token_hex(6)}"
    with oc.open_channel(name, url) as indexed, oc.open_channel(name, url) as plain:
        indexed.hook.index(fields=("state",))
        yield indexed, plain
        plain.destroy()


_text = st.sampled_from(["new", "newer", "", "n\u00e9w", "new\x01"])
_value = st.one_of(
    st.builds(lambda text, at: {"state": text, "at": at}, _text, st.integers(-3, 3)),
    st.sampled_from([None, "new", {"state": 1}, {"at": True}, {"at": 2**53 + 1}]),
)
_change = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 5), _value),
    st.tuples(st.just("set"), st.integers(0, 5), _value),
    st.tuples(st.just("unset"), st.integers(0, 5)),
    st.tuples(st.just("pop")),
    st.tuples(st.just("shift")),
    st.tuples(st.just("destroy")),
    st.tuples(st.just("read")),
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(_change, max_size=30), after=st.integers(0, 30), limit=st.integers(1, 3))
def test_reading_by_an_index_finds_what_reading_everything_finds(
    pair: tuple[oc.Channel, oc.Channel], changes: list[tuple[Any, ...]], after: int, limit: int
) -> None:
    """After any changes by handles that do not know of indexes, and reads between them."""
    indexed, plain = pair
    plain.destroy()
    for name, *arguments in changes:
        if name == "read":
            list(indexed.items({"state": "new"}))
        else:
            getattr(plain, name)(*arguments)
    for text in ("new", "newer", "", "new\x01"):
        for newest_first in (False, True):
            for begin in (None, after):
                wanted: dict[str, Any] = {"newest_first": newest_first, "after": begin}
                expected = list(plain.items({"state": text}, **wanted))
                assert list(indexed.items({"state": text}, **wanted)) == expected
                part = indexed.items({"state": text}, limit=limit, **wanted)
                assert list(part) == expected[:limit]
    below = indexed.hook.below(field="at", bound=2, limit=100)
    numbers = [item for item in plain.items() if isinstance(item[1], dict) and "at" in item[1]]
    assert sorted(item.position for item in below) == [
        item.position for item in numbers if item[1]["at"] is not True and item[1]["at"] < 2
    ]
    assert len(indexed.hook.below(field="at", bound=2, limit=limit)) == min(len(below), limit)


def test_channels_without_an_index_have_none(
    pair: tuple[oc.Channel, oc.Channel], client: redis.Redis
) -> None:
    """It is made by the first read that uses it, from all entries, and removed with them."""
    indexed, plain = pair
    keys = Keys("ojob", plain.name)
    plain.set_all({n: {"state": "new" if n % 100 else "rare"} for n in range(2500)})
    list(indexed.items())
    assert client.exists(keys.indexes) == 0
    assert len(list(indexed.items({"state": "rare"}))) == 25
    assert client.zcard(keys.index("text", "state")) == 2500 + 1
    plain.destroy()
    assert client.exists(keys.indexes, keys.index("text", "state")) == 0


def test_an_index_that_is_gone_is_made_again(
    pair: tuple[oc.Channel, oc.Channel], client: redis.Redis
) -> None:
    """It was evicted or deleted, and what was known of it was not: no entry is left out."""
    indexed, plain = pair
    keys = Keys("ojob", plain.name)
    plain.set_all({n: {"state": "new", "at": n} for n in range(20)})
    for _ in range(2):
        assert len(list(indexed.items({"state": "new"}))) == 20
        assert len(indexed.hook.below(field="at", bound=2**62, limit=100)) == 20
        assert client.delete(keys.index("text", "state"), keys.index("number", "at")) == 2


def test_an_index_does_not_outgrow_the_entries(
    pair: tuple[oc.Channel, oc.Channel], client: redis.Redis
) -> None:
    """Changed and removed entries leave it, although no read meets them."""
    indexed, plain = pair
    for number in range(60):
        plain.set_all({key: {"state": f"{number}"} for key in range(40)})
        assert list(indexed.items({"state": "absent"})) == []
    assert 40 <= client.zcard(Keys("ojob", plain.name).index("text", "state")) <= 1000 + 3 * 40


def test_a_reader_that_may_not_write_reads_everything(
    pair: tuple[oc.Channel, oc.Channel], client: redis.Redis, url: str
) -> None:
    """It cannot add what has changed to the index."""
    _, plain = pair
    name = f"reader-{secrets.token_hex(4)}"
    rights = "~ojob:* &ojob:* +@read +@scripting +@pubsub +time +ping +info +role +client +select"
    command: Any = client.execute_command  # it has no types
    command("ACL", "SETUSER", name, "on", ">word", "resetchannels", *rights.split())
    try:
        plain.set(1, {"state": "new", "at": 1})
        own = url.replace("redis://", f"redis://{name}:word@")
        with oc.open_channel(plain.name, own) as reader:
            reader.hook.index(fields=("state",))
            assert [item[0] for item in reader.items({"state": "new"})] == [1]
            assert reader.hook.below(field="at", bound=5, limit=5) is None
    finally:
        command("ACL", "DELUSER", name)
