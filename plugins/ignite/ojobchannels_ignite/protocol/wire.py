"""The binary protocol of Ignite's thin clients: what the requests to a cache need of it.

Numbers are little-endian. A value is the code of its type and its content; a text is UTF-8, after
its length in bytes.
"""

import struct
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import Any, Final, TypeVar

from ojobchannels_ignite.errors import Refused

RESOURCE_CLOSE: Final = 0
CACHE_GET: Final = 1000
CACHE_PUT_IF_ABSENT: Final = 1002
CACHE_REPLACE_IF_EQUALS: Final = 1010
QUERY_SQL_FIELDS: Final = 2004
ATOMIC_LONG_CREATE: Final = 9000
ATOMIC_LONG_VALUE_ADD_AND_GET: Final = 9004

FALSE: Final = bytes(1)
FOREVER: Final = -1
_UNCHANGED: Final = -2

_LONG: Final = 4
_TEXT: Final = 9
_NULL: Final = 101

_BYTE: Final = Struct("<B")
_BOOL: Final = Struct("<?")
_INT: Final = Struct("<i")
_LONG_NUMBER: Final = Struct("<q")
_CONTENTS: Final = {
    3: _INT,
    _LONG: _LONG_NUMBER,
    8: _BOOL,
    33: Struct("<q4x"),  # milliseconds since 1970, and nanoseconds
}
_LONG_VALUE: Final = Struct("<Bq")
_TEXT_HEADER: Final = Struct("<Bi")
_REQUEST: Final = Struct("<ihq")
_CACHE: Final = Struct("<iB")
_EXPIRING: Final = Struct("<iBqqq")
_HAS_EXPIRY: Final = 4
_QUERY: Final = Struct("<Bii")
_QUERY_OPTIONS: Final = bytes(16)
"""Any statement, without joins over nodes or other hints, a timeout, or the names of columns."""

_FLAGS: Final = Struct("<12xh")
_IS_ERROR: Final = 1
_IS_NEW_TOPOLOGY: Final = 2
_TOPOLOGY: Final = Struct("<q4x")
_TABLE: Final = Struct("<qii")

_T = TypeVar("_T")
_numbers: Final = count()


def request(code: int, body: bytes) -> bytes:
    """Return a request, with a number of its own."""
    return _REQUEST.pack(_REQUEST.size - 4 + len(body), code, next(_numbers)) + body


def cache(cache_id: int, ttl: int | None = None) -> bytes:
    """Return what names a cache, with the milliseconds for which a row that is written is kept."""
    if ttl is None:
        return _CACHE.pack(cache_id, 0)
    return _EXPIRING.pack(cache_id, _HAS_EXPIRY, ttl, ttl, _UNCHANGED)


def value(content: str | int | None) -> bytes:
    """Return a value."""
    if content is None:
        return _BYTE.pack(_NULL)
    if isinstance(content, int):
        return _LONG_VALUE.pack(_LONG, content)
    data = content.encode()
    return _TEXT_HEADER.pack(_TEXT, len(data)) + data


def long(number: int) -> bytes:
    """Return a number where its type is known."""
    return _LONG_NUMBER.pack(number)


def query(statement: str, arguments: tuple[str | int, ...], rows: int) -> bytes:
    """Return an SQL statement that is sent together with a cache.

    Args:
        statement: The statement.
        arguments: The values of its parameters.
        rows: The most rows of a reply.
    """
    values = b"".join(map(value, arguments))
    head = _QUERY.pack(_NULL, rows, -1) + value(statement)  # no schema, and any number of rows
    return head + _INT.pack(len(arguments)) + values + _QUERY_OPTIONS


class Reply:
    """A reply, which is read from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def nothing(self) -> None:
        """Read no more: the reply says that it was done."""

    def truth(self) -> bool:
        """Return a truth value."""
        return bool(self._take(_BOOL))

    def long(self) -> int:
        """Return a number of 64 bits."""
        return int(self._take(_LONG_NUMBER))

    def text(self) -> str | None:
        """Return a text or None."""
        text = self._value()
        if not isinstance(text, str | None):
            raise _malformed()
        return text

    def rows(self) -> tuple[list[list[Any]], int | None]:
        """Return rows, and the cursor to more of them, or None if there are no more.

        A time is its milliseconds since 1970.
        """
        cursor, width, height = _TABLE.unpack_from(self._data, self._position)
        self._position += _TABLE.size
        if width < 1 or height < 0:
            raise _malformed()
        rows = [[self._value() for _ in range(width)] for _ in range(height)]
        return rows, cursor if self.truth() else None

    def check_header(self, request: bytes) -> None:
        """Check that the reply is to this request.

        Raises:
            Refused: It is an error.
        """
        if self._data[4:12] != request[6:14]:
            raise _malformed()
        flags = self._take(_FLAGS)
        if flags & _IS_NEW_TOPOLOGY:
            self._take(_TOPOLOGY)
        if flags & _IS_ERROR:
            raise Refused(self._take(_INT), self.text() or "")

    def check_end(self) -> None:
        """Check that all was read."""
        if self._position != len(self._data):
            raise _malformed()

    def _value(self) -> Any:
        code = self._take(_BYTE)
        if code == _TEXT:
            size = self._take(_INT)
            data = self._data[self._position : self._position + size]
            if len(data) != size:
                raise _malformed()
            self._position += size
            return data.decode()
        return None if code == _NULL else self._take(_CONTENTS[code])

    def _take(self, form: Struct) -> Any:
        """Return the number in front."""
        number = form.unpack_from(self._data, self._position)[0]
        self._position += form.size
        return number


def result(request: bytes, reply: bytes, read: Callable[[Reply], _T]) -> _T:
    """Return what a reply to a request says.

    Raises:
        Refused: The cluster replied with an error.
        ConnectionError: The reply is malformed.
    """
    replied = Reply(reply)
    try:
        replied.check_header(request)
        found = read(replied)
        replied.check_end()
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise _malformed() from error
    return found


def _malformed() -> ConnectionError:
    return ConnectionError("the node sent a malformed reply")
