"""One connection to a server, on libpq as the driver wraps it: every wait has a time limit.

What is sent, and what follows from a reply, are steps: a session of an event loop only waits
differently. Each statement is sent with its parameters and is a transaction of its own, so that
nothing of it remains in the session: a pooler may give the next statement to another connection.
"""

from __future__ import annotations

import hashlib
import os
import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from ojobchannels.steps import Steps, drive, performed

Parameter = str | int | None | Sequence[str | int | None]
"""A parameter of a statement; a sequence becomes an array."""
Row = tuple[Any, ...]
Statement = str
_Part = tuple[bytes, bytes, list[bytes | None]]
"""A statement as it is sent, its name, and its parameters."""

_INTEGERS: Final = {20, 21, 23}
_BOOLEAN: Final = 16
_GOOD: Final = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY)
_POLLS: Final[dict[int, int]] = {
    pq.PollingStatus.READING: select.POLLIN,
    pq.PollingStatus.WRITING: select.POLLOUT,
}
_LONGEST_POLL: Final = 3600.0
NO_REPLY: Final = "no reply in time"
_NOT_PREPARED: Final = (
    psycopg.errors.InvalidSqlStatementName,  # a pooler gave another connection
    psycopg.errors.FeatureNotSupported,  # the tables were changed since
)


class ConnectError(psycopg.OperationalError):
    """The connection was not made, so that no statement was sent."""


class LimitError(psycopg.OperationalError):
    """The time limit was reached."""


class LimitAtConnect(ConnectError, LimitError):
    """The time limit was reached before the connection was made."""


class Session:
    """An open connection.

    Args:
        pgconn: The driver's connection, which is open.
        prepares: Whether to prepare each statement at its first use.

    Attributes:
        perform: Performs the steps of a statement.
        prepares: The same; it ends when a pooler is noticed.
        used_at: When it was given back, in seconds of the monotonic clock.
    """

    perform: Callable[[Steps[Any]], Any] = staticmethod(drive)

    def __init__(self, pgconn: pq.abc.PGconn, *, prepares: bool = False) -> None:
        self.used_at = 0.0
        self.prepares = prepares
        self._prepared: set[bytes] = set()
        self._ends = 0.0
        self._pgconn = pgconn
        self._socket = pgconn.socket
        self._arrivals = select.poll()
        self._arrivals.register(self._socket, select.POLLIN)
        pgconn.nonblocking = 1
        pgconn.notice_handler = None

    @property
    def version(self) -> int:
        """The version of the server, 180006 for 18.6."""
        return self._pgconn.server_version

    @property
    def pid(self) -> int:
        """The process of the server, according to whoever accepted the connection."""
        return self._pgconn.backend_pid

    @property
    def encoding(self) -> str:
        """The encoding of the database."""
        return (self._pgconn.parameter_status(b"server_encoding") or b"").decode()

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open, such as one that a refused statement has aborted."""
        return self._pgconn.transaction_status == pq.TransactionStatus.IDLE

    def running(
        self, statement: Statement, parameters: Sequence[Parameter], limit: float
    ) -> Steps[list[Row]]:
        """Execute one statement and return its rows.

        Raises:
            psycopg.Error: The server refused it, or its reply was lost.
        """
        self._set_limit(limit)
        (text, name), values = _sent(statement), list(map(_encoded, parameters))
        if self.prepares and self.is_idle:  # a refused one would abort a transaction
            if name not in self._prepared:
                return (yield from self.running_all([(statement, parameters)], limit))[0]
            self._pgconn.send_query_prepared(name, values)
            try:
                return (yield from self._replies())
            except _NOT_PREPARED:
                self.prepares = False
        self._pgconn.send_query_params(text, values)
        return (yield from self._replies())

    run = performed(running)

    def running_all(
        self, steps: Sequence[tuple[Statement, Sequence[Parameter]]], limit: float
    ) -> Steps[list[list[Row]]]:
        """Execute statements in one transaction and one round trip; return the rows of each.

        The server ends the transaction where the pipeline ends.
        """
        self._set_limit(limit)
        parts = [
            (*_sent(statement), list(map(_encoded, parameters))) for statement, parameters in steps
        ]
        while self.prepares and self.is_idle:
            try:
                return (yield from self._running_prepared(parts))
            except psycopg.errors.DuplicatePreparedStatement:
                pass  # behind a pooler, by another client; its name is known now
            except _NOT_PREPARED:
                self.prepares = False

        def send() -> None:
            for text, _, values in parts:
                self._pgconn.send_query_params(text, values)

        rows, refusal = yield from self._in_pipeline(send)
        if refusal is not None:
            raise refusal
        return rows

    def notifications(self, wait: float) -> list[str]:
        """Return the payloads that have arrived; wait at most `wait` seconds for the first.

        Raises:
            psycopg.Error: The connection is lost.
        """
        self._set_limit(wait)
        payloads = self._take_notifications()
        if not payloads:
            try:
                self._receive()
            except LimitError:
                return []
            payloads = self._take_notifications()
        return payloads

    def is_stale(self) -> bool:
        """Return whether the server has closed the connection, or sent something unasked."""
        return bool(self._arrivals.poll(0))

    def ping(self, limit: float) -> Any:
        """Have the server reply.

        Raises:
            psycopg.Error: It does not.
        """
        return self.run("", (), limit)

    def cancelling(self, limit: float) -> Steps[None]:
        """Have the server end the statement, which may wait for a row; do nothing if it cannot.

        Otherwise it would end only after that wait, and keep a connection of the server until then.
        """
        with suppress(psycopg.Error):  # libpq before 17 can only wait without a limit
            request = self._pgconn.cancel_conn()
            request.start()
            self._set_limit(limit)
            while (status := request.poll()) in _POLLS:
                yield partial(self._wait, _POLLS[status], request.socket)

    def close(self) -> None:
        """Close the connection."""
        self._pgconn.finish()

    def abandon(self) -> None:
        """Close, in a forked child, its copy of the parent's socket, and send nothing on it."""
        os.close(self._socket)

    def _running_prepared(self, parts: Sequence[_Part]) -> Steps[list[list[Row]]]:
        """Execute statements in one transaction; prepare in it those that are not prepared yet.

        Its name is a digest of its text, so that behind a pooler, where another client may have
        prepared it on the connection, it is the same statement.
        """
        prepares: list[bytes | None] = []  # in the order of the replies

        def send() -> None:
            for text, name, values in parts:
                if name not in self._prepared and name not in prepares:
                    self._pgconn.send_prepare(name, text)
                    prepares.append(name)
                self._pgconn.send_query_prepared(name, values)
                prepares.append(None)

        rows, refusal = yield from self._in_pipeline(send)
        done = len(rows) + isinstance(refusal, psycopg.errors.DuplicatePreparedStatement)
        self._prepared.update(name for name in prepares[:done] if name is not None)
        if refusal is not None:
            raise refusal
        return [part for name, part in zip(prepares, rows, strict=True) if name is None]

    def _in_pipeline(
        self, send: Callable[[], None]
    ) -> Steps[tuple[list[list[Row]], psycopg.Error | None]]:
        """Return the rows of each statement that is sent, until the server refuses one."""
        self._pgconn.enter_pipeline_mode()
        send()
        self._pgconn.pipeline_sync()
        yield from self._flushing()
        rows: list[list[Row]] = []
        refusal: psycopg.Error | None = None
        while True:
            while self._pgconn.is_busy():
                yield self._receive
            result = self._pgconn.get_result()
            if result is None:
                continue  # the end of one statement
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                break
            if result.status == pq.ExecStatus.PIPELINE_ABORTED:
                continue
            if result.status in _GOOD:
                rows.append(_rows(result))
            else:
                refusal = refusal or error_from_result(result)
        self._pgconn.exit_pipeline_mode()
        return rows, refusal

    def _replies(self) -> Steps[list[Row]]:
        pgconn = self._pgconn
        if pgconn.flush():
            yield from self._flushing()
        rows: list[Row] = []
        refusal: psycopg.Error | None = None
        while True:
            while pgconn.is_busy():
                yield self._receive
            result = pgconn.get_result()
            if result is None:
                break
            if result.status in _GOOD:
                rows = _rows(result)
            else:
                refusal = error_from_result(result)
        if refusal is not None:
            raise refusal
        return rows

    def _flushing(self) -> Steps[None]:
        while self._pgconn.flush():
            yield self._await_room

    # The waits, which those of an event loop replace.

    def _set_limit(self, limit: float) -> None:
        self._ends = time.monotonic() + limit

    def _receive(self) -> Any:
        """Wait for data, and read them."""
        if not self._arrivals.poll(_milliseconds_until(self._ends)):
            raise LimitError(NO_REPLY)
        self._pgconn.consume_input()

    def _await_room(self) -> Any:
        """Wait until more can be sent; read what arrives meanwhile."""
        if self._wait(select.POLLIN | select.POLLOUT, self._socket) & select.POLLIN:
            self._pgconn.consume_input()

    def _wait(self, events: int, socket: int) -> Any:
        return _wait(events, socket, self._ends)

    def _take_notifications(self) -> list[str]:
        payloads = []
        while (notification := self._pgconn.notifies()) is not None:
            payloads.append(notification.extra.decode())
        return payloads


def open_session(conninfo: str, limit: float, prepares: bool) -> Session:
    """Return an open connection.

    Args:
        conninfo: Where to connect to, as libpq takes it.
        limit: Seconds to connect.
        prepares: Whether to prepare each statement at its first use.

    Raises:
        psycopg.OperationalError: There is no connection.
    """
    ends = time.monotonic() + limit
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        _connect(pgconn, ends)
        return Session(pgconn, prepares=prepares)
    except BaseException:
        pgconn.finish()
        raise


def _connect(pgconn: pq.abc.PGconn, ends: float) -> None:
    status: int = pq.PollingStatus.WRITING
    while pgconn.status != pq.ConnStatus.BAD and status in _POLLS:
        try:
            _wait(_POLLS[status], pgconn.socket, ends)
        except LimitError as error:
            raise LimitAtConnect(str(error)) from None
        status = pgconn.connect_poll()
    if status != pq.PollingStatus.OK:
        raise ConnectError(pgconn.get_error_message())


def _wait(events: int, socket: int, ends: float) -> int:
    """Wait until a socket is ready, and return for what."""
    poll = select.poll()
    poll.register(socket, events)
    ready = poll.poll(_milliseconds_until(ends))
    if not ready:
        raise LimitError(NO_REPLY)
    return ready[0][1]


def _milliseconds_until(ends: float) -> float:
    return max(min(ends - time.monotonic(), _LONGEST_POLL), 0) * 1000


@cache
def _sent(statement: Statement) -> tuple[bytes, bytes]:
    """Return a statement as it is sent, and the name under which it is prepared."""
    text = statement.encode()
    return text, b"ojob_" + hashlib.sha256(text).hexdigest()[:32].encode()


def _encoded(parameter: Parameter) -> bytes | None:
    if parameter is None:
        return None
    if isinstance(parameter, str):
        return parameter.encode()
    if isinstance(parameter, int):
        return str(parameter).encode()
    return f"{{{','.join(map(_element, parameter))}}}".encode()


def _element(part: str | int | None) -> str:
    if part is None:
        return "NULL"
    if isinstance(part, int):
        return str(part)
    text = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _rows(result: pq.abc.PGresult) -> list[Row]:
    columns = [(column, result.ftype(column)) for column in range(result.nfields)]
    value = result.get_value
    return [
        tuple([_decoded(value(row, column), type) for column, type in columns])
        for row in range(result.ntuples)
    ]


def _decoded(value: bytes | None, type: int) -> Any:
    if value is None:
        return None
    if type in _INTEGERS:
        return int(value)
    if type == _BOOLEAN:
        return value == b"t"
    return value.decode()
