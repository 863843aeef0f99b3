"""Damaged files of `file`: one clear error with the position, and nothing is overwritten."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]


ENTRY = '{"key": "a", "value": 1}'


DAMAGED = {
    "empty": (b"", "it is empty"),
    "blank": (b" \n\n ", "it is empty"),
    "truncated": (b'{"name": {"1": {"key": "a", "val', "line 1"),
    "text": (b"Dear diary,\n", "line 1, column 1"),
    "not UTF-8": (b'{"\xff": {}}', "byte 2 is not UTF-8"),
    "binary": (b"\x00\x01\x02", "line 1"),
    "two documents": (b"{}\n{}", "line 2, column 1"),
    "NaN": (b'{"name": {"1": {"key": "a", "value": NaN}}}', "$.value: nan is not JSON"),
    "no tables": (b"[]", "not a JSON object of tables"),
    "no entries": (b'{"name": []}', "'name' is not a JSON object"),
    "no number": (b'{"name": {"first": %s}}' % ENTRY.encode(), "'first'"),
    "negative": (b'{"name": {"-1": %s}}' % ENTRY.encode(), "'-1'"),
    "no entry": (b'{"name": {"1": 7}}', "entry 1"),
    "no key": (b'{"name": {"1": {"value": 7}}}', "entry 1"),
    "bad key": (
        b'{"name": {"1": {"key": null, "value": 7}}}',
        "entry 1 of the table 'name': invalid key at $",
    ),
    "bad value": (
        b'{"name": {"1": {"key": 1, "value": {"n": 1e999}}}}',
        "entry 1 of the table 'name', at $.value.n: inf is not JSON",
    ),
    "bad value elsewhere": (
        b'{"name": {}, "other": {"7": {"key": 1, "value": [-1e400]}}}',
        "entry 7 of the table 'other', at $.value[0]: -inf is not JSON",
    ),
    "long number": (
        b'{"name": {"1": {"key": 1, "value": ' + b"9" * 5000 + b"}}}",
        "entry 1 of the table 'name', at $.value: the integer does not fit into 64 bits",
    ),
    "long fence": (
        b'{"name": {"1": {"key": 1, "value": 1, "fence": ' + b"9" * 30 + b"}}}",
        "entry 1 of the table 'name', at $.fence",
    ),
    "padded": (b'{"name": {"01": %s}}' % ENTRY.encode(), "'01' in the table 'name'"),
    "beyond 64 bits": (
        b'{"name": {"9223372036854775808": %s}}' % ENTRY.encode(),
        "'9223372036854775808' in the table 'name'",
    ),
    "surrogate in a value": (
        b'{"name": {"1": {"key": "a", "value": "\\ud800"}}}',
        "entry 1 of the table 'name', at $.value: the text contains a lone surrogate",
    ),
    "surrogate in a name": (b'{"name": {}, "\\udfff": {}}', "of the table '\\udfff': the text"),
    "bad number": (b'{"name": {"1": {"key": 1, "value": 9223372036854775808}}}', "64 bits"),
    "surrogate": (b'{"name": {"1": {"key": "\\ud800", "value": 7}}}', "lone surrogate"),
    "bad fence": (b'{"name": {"1": {"key": 1, "value": 7, "fence": "x"}}}', "fence of entry 1"),
    "same key": (
        b'{"name": {"1": {"key": 1, "value": 1}, "2": {"key": 1.0, "value": 2}}}',
        "the entries 1 and 2 of the table 'name' have the same key",
    ),
    "same number": (b'{"name": {"1": %s, "1": {"key": "b", "value": 2}}}' % ENTRY.encode(), "'1'"),
    "too deep": (b'{"name": {"1": {"key": 1, "value": ' + b"[" * 5000 + b"]" * 5000 + b"}}}", ""),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_raises_one_clear_error_and_is_left_unchanged(
    file_storage: Storage, damage: str
) -> None:
    """It gives path, reason and advice, at open and in open handles."""
    content, reason = DAMAGED[damage]
    content = content.replace(b"name", file_storage.name.encode())
    reason = reason.replace("name", file_storage.name)
    channel = file_storage.open()
    channel.set("a", 1)
    whole = file_storage.path.read_bytes()
    file_storage.path.write_bytes(content)
    for attempt in (
        file_storage.open,
        lambda: channel.get("a"),
        channel.get_all,
        lambda: channel.set("b", 1),
        lambda: channel.unset("a"),
        channel.destroy,
    ):
        with pytest.raises(oc.ChannelDamaged) as damaged:
            attempt()
        assert damaged.value.path == str(file_storage.path)
        assert reason in damaged.value.reason
        assert "left unchanged" in str(damaged.value)
        assert file_storage.path.read_bytes() == content
    file_storage.path.write_bytes(whole)
    assert channel.get("a") == 1
    channel.set("b", 2)
    assert file_storage.open().get_all() == [1, 2]


def test_locks_work_while_the_file_is_damaged(file_storage: Storage) -> None:
    """A holder can still renew and release, because locks are not in that file."""
    channel = file_storage.open()
    channel.set("a", 1)
    with channel.lock("nightly", ttl=30) as lease:
        file_storage.path.write_bytes(b"")
        lease.extend()
    assert channel.lock_info("nightly") is None


@pytest.mark.parametrize("counters", [b"\xff" * 16, struct.pack("<QQ", 1, 2**63), b"?"])
def test_damaged_counters_do_not_damage_the_file(file_storage: Storage, counters: bytes) -> None:
    """Later writes can be read by all handles."""
    channel = file_storage.open()
    channel.set("a", 1)
    file_storage.path.with_name(f"{file_storage.path.name}.ojob").joinpath("version").write_bytes(
        counters
    )
    channel.set("b", 2)
    assert file_storage.open().get_all() == channel.get_all() == [1, 2]


def test_an_entry_number_that_is_too_large_is_reported(file_storage: Storage) -> None:
    """No write creates a file that cannot be read."""
    entry = {"key": "a", "value": 1}
    content = json.dumps({file_storage.name: {str(2**63 - 1): entry}})
    file_storage.path.write_text(content)
    channel = file_storage.open()
    with pytest.raises(oc.ChannelDamaged, match="is too large to add another entry"):
        channel.set("b", 2)
    assert file_storage.path.read_text() == content
    assert file_storage.open().get_all() == [1]
