"""The calls of one channel: statements with a time limit, retries and errors of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, TypeVar

from ojobchannels.errors import ChannelError
from ojobchannels.remote import Attempts, Operation, Outcome, Rule
from ojobchannels.remote.calls import Calls
from ojobchannels.steps import Steps, drive
from ojobchannels_postgres import statements
from ojobchannels_postgres.errors import DRIVER_ERRORS, explain, outcome_of, reuses_session
from ojobchannels_postgres.server import Server
from ojobchannels_postgres.session import LimitError, Parameter, Row, Session

_T = TypeVar("_T")
_CANCELING: Final = 0.1
_LONGEST_NAME: Final = 1000  # bytes; an index row has 2,700 at most


class Client:
    """A connection for the statements of one attempt, as steps."""

    def __init__(self, server: Server, session: Session, limit: float) -> None:
        self.session = session
        self.limit = limit
        self.schema = server.settings.schema
        self._events = server.settings.events

    def run(self, statement: str, *parameters: Parameter) -> Steps[list[Row]]:
        """Execute a statement and return its rows."""
        return self.session.running(self.bound(statement), parameters, self.limit)

    def run_all(self, *steps: tuple[str, Sequence[Parameter]]) -> Steps[list[list[Row]]]:
        """Execute statements in one transaction; return the rows of each."""
        bound = [(self.bound(statement), parameters) for statement, parameters in steps]
        return self.session.running_all(bound, self.limit)

    def bound(self, statement: str) -> str:
        """Return a statement for the schema of the channel."""
        return statements.bound(statement, self.schema, self._events)


Work = Callable[[Client, bool], Steps[_T]]


class Connection(Calls[Client]):
    """The calls of one channel on its server.

    Attributes:
        id: The channel in the tables.
        pool: The connections to the server.
    """

    driver_errors = DRIVER_ERRORS

    def __init__(self, channel: str, server: Server) -> None:
        super().__init__(channel, server.settings.timeout)
        self.server = server
        self.id = row_id(channel)
        self.pool = server.pool

    def run(self, operation: Operation, statement: str, *parameters: Parameter) -> list[Row]:
        """Execute a statement on this thread; see `running`."""
        return drive(self.running(operation, statement, *parameters))

    def running(
        self,
        operation: Operation,
        statement: str,
        *parameters: Parameter,
        seconds: float | None = None,
    ) -> Steps[list[Row]]:
        """Execute a statement, whose first parameter is the channel; return its rows."""
        return self.calling(
            operation, lambda client, _: client.run(statement, self.id, *parameters), seconds
        )

    def _attempting(self, work: Work[_T], attempts: Attempts, operation: Operation) -> Steps[_T]:
        pool, limit, once = self.pool, attempts.next_limit(), operation.rule is Rule.ONCE
        session = None if once else pool.take_recent()
        if session is None:
            session = yield from pool.taking(limit, once)
        try:
            result = yield from work(Client(self.server, session, limit), bool(attempts.lost))
        except DRIVER_ERRORS as raised:
            error = raised
        except BaseException:
            session.close()  # a reply may arrive later
            raise
        else:
            pool.give_back(session)
            return result
        if reuses_session(error) and session.is_idle:
            pool.give_back(session)
        else:
            try:
                if isinstance(error, LimitError):
                    yield from session.cancelling(_CANCELING)
            finally:
                session.close()
                pool.purge()
        raise error

    def _outcome_of(self, error: Exception, operation: Operation) -> Outcome:
        return outcome_of(error, operation.patient)

    def _explain(self, error: Exception, operation: Operation, seconds: float) -> ChannelError:
        return explain(error, operation, self.channel, self.server.settings, seconds)

    def _cause(self, error: Exception) -> Exception | None:
        text = str(error)
        return error if self.server.settings.redact(text) == text else None


def row_id(name: str) -> str:
    """Return a name as it is in the index: a long one is cut, and its digest is added."""
    if len(name) * 4 <= _LONGEST_NAME or len(encoded := name.encode()) <= _LONGEST_NAME:
        return name
    start = encoded[:_LONGEST_NAME].decode(errors="ignore")
    return f"{start}{sha256(encoded).hexdigest()}"


def digest(text: str) -> str:
    """Return what stands for a name in a notification."""
    return sha256(text.encode()).hexdigest()[:32]
