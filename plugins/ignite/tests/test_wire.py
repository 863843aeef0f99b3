"""The binary protocol: replies that are errors, malformed, or only the beginning of many rows."""

from __future__ import annotations

import struct
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from pyignite.utils import cache_id

import ojobchannels as oc
from ojobchannels.plugins import checked_options, registry
from ojobchannels.steps import drive
from ojobchannels.testing.contracts.remote.base import PATIENT
from ojobchannels_ignite.errors import Refused
from ojobchannels_ignite.options import settings_of
from ojobchannels_ignite.protocol import wire
from ojobchannels_ignite.protocol.node import SocketConnection
from ojobchannels_ignite.protocol.requests import Requests
from ojobchannels_ignite.protocol.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing import Subject

REQUEST = wire.request(wire.CACHE_GET, wire.cache(1) + wire.value("key"))
NUMBER = REQUEST[6:14]
TIME = 1_792_975_500_123  # in an hour that clocks in Europe repeat
ROW = wire.value("é") + wire.value(None) + struct.pack("<BqiBi", 33, TIME, 999_999, 3, -7)


def reply(body: bytes, flags: int = 0) -> bytes:
    """Return the reply to the request."""
    return struct.pack("<i8sh", 10 + len(body), NUMBER, flags) + body


REPLIES: list[tuple[bytes, Callable[[Reply], Any], Any]] = [
    (reply(wire.value("é")), Reply.text, "é"),
    (reply(wire.value(None)), Reply.text, None),
    (reply(b"\1"), Reply.truth, True),
    (reply(wire.long(-7), flags=2)[:14] + bytes(12) + wire.long(-7), Reply.long, -7),
    (reply(b""), Reply.nothing, None),
    (reply(struct.pack("<qii", 5, 4, 0) + b"\0"), Reply.rows, ([], None)),
    (
        reply(struct.pack("<qii", 5, 4, 2) + 2 * ROW + b"\1"),
        Reply.rows,
        ([["é", None, TIME, -7]] * 2, 5),
    ),
]


@pytest.mark.parametrize(("data", "read", "result"), REPLIES, ids=range(len(REPLIES)))
def test_a_reply_is_read_whole_or_is_malformed(
    data: bytes, read: Callable[[Reply], Any], result: Any
) -> None:
    """One that is cut, has more at its end, or another byte anywhere, raises no other error."""
    assert wire.result(REQUEST, data, read) == result
    for wrong in [*(data[:size] for size in range(len(data))), data + b"\0"]:
        with pytest.raises(ConnectionError, match="malformed"):
            wire.result(REQUEST, wrong, read)
    for position in range(4, len(data)):
        for byte in (0, 1, 2, 3, 4, 8, 9, 33, 101, 127, 128, 255):
            with suppress(ConnectionError, Refused):
                wire.result(REQUEST, data[:position] + bytes([byte]) + data[position + 1 :], read)


@pytest.mark.parametrize(("width", "height"), [(0, 1), (-1, 1), (0, 2**31 - 1), (1, -1)])
def test_a_number_of_rows_or_columns_that_cannot_be_is_malformed(width: int, height: int) -> None:
    """And is not counted to."""
    with pytest.raises(ConnectionError, match="malformed"):
        wire.result(REQUEST, reply(struct.pack("<qii?", 5, width, height, False)), Reply.rows)


def test_a_text_where_a_number_is_expected_is_malformed() -> None:
    """And the opposite."""
    with pytest.raises(ConnectionError, match="malformed"):
        wire.result(REQUEST, reply(wire.value(1)), Reply.text)


@pytest.mark.parametrize(("flags", "topology"), [(1, b""), (3, bytes(12))])
def test_an_error_has_its_status_and_its_message(flags: int, topology: bytes) -> None:
    """Also if the cluster has changed, which is announced before it."""
    data = reply(topology + struct.pack("<i", 1011) + wire.value("missing"), flags)
    with pytest.raises(Refused) as refused:
        wire.result(REQUEST, data, Reply.text)
    assert (refused.value.status, refused.value.message) == (1011, "missing")


def test_more_rows_than_expected_are_an_error(storage: Subject) -> None:
    """Their cursor is closed, and the connection can be used again."""
    settings = settings_of(checked_options(registry().find("ignite"), storage.options))
    with (
        oc.open_channel(storage.name, type="ignite", **storage.options),  # makes the cache
        closing(SocketConnection(settings.nodes[0], settings, PATIENT)) as connection,
    ):
        at = Requests(connection, cache_id(settings.cache))
        query = "SELECT X, 'é' FROM SYSTEM_RANGE(1, ?)"
        rows = drive(at.select(query, 1000))
        assert rows == [[number, "é"] for number in range(1, 1001)]
        with pytest.raises(RuntimeError, match="more than 1000 rows"):
            drive(at.select(query, 1001))
        assert drive(at.select(query, 1)) == [[1, "é"]]


def test_a_malformed_reply_breaks_its_connection(
    storage: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is repeated, each time on another one, until its timeout; the next call works."""
    exchange, broken = SocketConnection.exchange, list[SocketConnection]()

    def cut(connection: SocketConnection, data: bytes) -> bytes:
        reply = exchange(connection, data)
        if int.from_bytes(data[4:6], "little") != wire.CACHE_GET:
            return reply
        broken.append(connection)
        return reply[:-1]

    storage.open(timeout=PATIENT).get("key")  # makes the cache
    with oc.open_channel(storage.name, type="ignite", **storage.options, timeout=5) as channel:
        with monkeypatch.context() as patched:
            patched.setattr(SocketConnection, "exchange", cut)
            with pytest.raises(oc.ChannelUnavailable):
                channel.get("key")
        assert 0 < len(broken) == len(set(broken))
        assert channel.get("key") is None
