"""One connection to a server, on libpq as the driver wraps it: every wait has a time limit.

Each statement is sent with its parameters and is a transaction of its own, so that nothing of it
remains in the session: a pooler may give the next statement to another connection.
"""

from __future__ import annotations

import hashlib
import os
import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

Parameter = str | int | None | Sequence[str | int | None]
"""A parameter of a statement; a sequence becomes an array."""
Row = tuple[Any, ...]
Statement = str
_Part = tuple[bytes, bytes, list[bytes | None]]
"""A statement as it is sent, its name, and its parameters."""

_INTEGERS: Final = {20, 21, 23}
_BOOLEAN: Final = 16
_GOOD: Final = {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY}
_POLLS: Final[dict[int, int]] = {
    pq.PollingStatus.READING: select.POLLIN,
    pq.PollingStatus.WRITING: select.POLLOUT,
}
_LONGEST_POLL: Final = 3600.0
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
        conninfo: Where to connect to, as libpq takes it.
        limit: Seconds to connect.
        prepares: Whether to prepare each statement at its first use.

    Attributes:
        prepares: The same; it ends when a pooler is noticed.
        used_at: When it was given back, in seconds of the monotonic clock.

    Raises:
        psycopg.OperationalError: There is no connection.
    """

    def __init__(self, conninfo: str, limit: float, *, prepares: bool = False) -> None:
        self.used_at = 0.0
        self.prepares = prepares
        self._prepared: set[bytes] = set()
        self._ends = time.monotonic() + limit
        self._pgconn = pq.PGconn.connect_start(conninfo.encode())
        self._socket = -1
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        self._pgconn.nonblocking = 1
        self._pgconn.notice_handler = None

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

    def run(self, statement: Statement, parameters: Sequence[Parameter], limit: float) -> list[Row]:
        """Execute one statement and return its rows.

        Raises:
            psycopg.Error: The server refused it, or its reply was lost.
        """
        self._ends = time.monotonic() + limit
        (text, name), values = _sent(statement), list(map(_encoded, parameters))
        if self.prepares and self.is_idle:  # a refused one would abort a transaction
            if name not in self._prepared:
                return self.run_all([(statement, parameters)], limit)[0]
            self._pgconn.send_query_prepared(name, values)
            try:
                return self._replies()
            except _NOT_PREPARED:
                self.prepares = False
        self._pgconn.send_query_params(text, values)
        return self._replies()

    def run_all(
        self, steps: Sequence[tuple[Statement, Sequence[Parameter]]], limit: float
    ) -> list[list[Row]]:
        """Execute statements in one transaction and one round trip; return the rows of each.

        The server ends the transaction where the pipeline ends.
        """
        self._ends = time.monotonic() + limit
        parts = [
            (*_sent(statement), list(map(_encoded, parameters))) for statement, parameters in steps
        ]
        while self.prepares and self.is_idle:
            try:
                return self._run_prepared(parts)
            except psycopg.errors.DuplicatePreparedStatement:
                continue  # behind a pooler, by another client; its name is known now
            except _NOT_PREPARED:
                self.prepares = False

        def send() -> None:
            for text, _, values in parts:
                self._pgconn.send_query_params(text, values)

        rows, refusal = self._in_pipeline(send)
        if refusal is not None:
            raise refusal
        return rows

    def notifications(self, wait: float) -> list[str]:
        """Return the payloads that have arrived; wait at most `wait` seconds for the first.

        Raises:
            psycopg.Error: The connection is lost.
        """
        self._ends = time.monotonic() + wait
        payloads = self._take_notifications()
        if not payloads:
            try:
                self._wait(select.POLLIN)
            except LimitError:
                return []
            self._pgconn.consume_input()
            payloads = self._take_notifications()
        return payloads

    def is_stale(self) -> bool:
        """Return whether the server has closed the connection, or sent something unasked."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def ping(self, limit: float) -> None:
        """Have the server reply.

        Raises:
            psycopg.Error: It does not.
        """
        self.run("", (), limit)

    def cancel(self, limit: float) -> None:
        """Have the server end the statement, which may wait for a row; do nothing if it cannot.

        Otherwise it would end only after that wait, and keep a connection of the server until then.
        """
        with suppress(psycopg.Error):  # libpq before 17 can only wait without a limit
            request = self._pgconn.cancel_conn()
            request.start()
            self._ends = time.monotonic() + limit
            while (status := request.poll()) in _POLLS:
                self._wait(_POLLS[status], request.socket)

    def close(self) -> None:
        """Close the connection."""
        self._pgconn.finish()

    def abandon(self) -> None:
        """Close, in a forked child, its copy of the parent's socket, and send nothing on it."""
        os.close(self._socket)

    def _connect(self) -> None:
        pgconn = self._pgconn
        status: int = pq.PollingStatus.WRITING
        while pgconn.status != pq.ConnStatus.BAD and status in _POLLS:
            self._socket = pgconn.socket
            try:
                self._wait(_POLLS[status])
            except LimitError as error:
                raise LimitAtConnect(str(error)) from None
            status = pgconn.connect_poll()
        if status != pq.PollingStatus.OK:
            raise ConnectError(pgconn.get_error_message())
        self._socket = pgconn.socket

    def _run_prepared(self, parts: Sequence[_Part]) -> list[list[Row]]:
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

        rows, refusal = self._in_pipeline(send)
        done = len(rows) + isinstance(refusal, psycopg.errors.DuplicatePreparedStatement)
        self._prepared.update(name for name in prepares[:done] if name is not None)
        if refusal is not None:
            raise refusal
        return [part for name, part in zip(prepares, rows, strict=True) if name is None]

    def _in_pipeline(
        self, send: Callable[[], None]
    ) -> tuple[list[list[Row]], psycopg.Error | None]:
        """Return the rows of each statement that is sent, until the server refuses one."""
        self._pgconn.enter_pipeline_mode()
        send()
        self._pgconn.pipeline_sync()
        self._flush()
        rows: list[list[Row]] = []
        refusal: psycopg.Error | None = None
        while True:
            result = self._result()
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

    def _replies(self) -> list[Row]:
        self._flush()
        rows: list[Row] = []
        refusal: psycopg.Error | None = None
        while (result := self._result()) is not None:
            if result.status in _GOOD:
                rows = _rows(result)
            else:
                refusal = error_from_result(result)
        if refusal is not None:
            raise refusal
        return rows

    def _flush(self) -> None:
        while self._pgconn.flush():
            if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                self._pgconn.consume_input()

    def _result(self) -> pq.abc.PGresult | None:
        while self._pgconn.is_busy():
            self._wait(select.POLLIN)
            self._pgconn.consume_input()
        return self._pgconn.get_result()

    def _wait(self, events: int, socket: int | None = None) -> int:
        poll = select.poll()
        poll.register(self._socket if socket is None else socket, events)
        left = min(self._ends - time.monotonic(), _LONGEST_POLL)
        ready = poll.poll(max(left, 0) * 1000)
        if not ready:
            raise LimitError("no reply in time")
        return ready[0][1]

    def _take_notifications(self) -> list[str]:
        payloads = []
        while (notification := self._pgconn.notifies()) is not None:
            payloads.append(notification.extra.decode())
        return payloads


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
    columns = range(result.nfields)
    types = [result.ftype(column) for column in columns]
    return [
        tuple(_decoded(result.get_value(row, column), types[column]) for column in columns)
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
