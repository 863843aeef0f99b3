"""A server that the handles of this process share, and the calls on it, with retries.

The driver's own retries are off; `ojobchannels.remote` decides. A request that was refused for now
(the server starts, fails over or moves data) is sent again until its timeout. So is a request that
could not be sent, and one whose reply was lost, if it may be done twice.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from redis.exceptions import AskError, MovedError, RedisError, ResponseError

from ojobchannels.errors import ChannelError
from ojobchannels.host.forks import notice_hidden_fork
from ojobchannels.remote import Attempts, Operation, Outcome, Rule, Servers, sole
from ojobchannels.steps import Steps, drive, one
from ojobchannels_redis import errors
from ojobchannels_redis.connections import Command, Connection, Pool, open_connection
from ojobchannels_redis.options import Settings
from ojobchannels_redis.subscriber import Subscriber
from ojobchannels_redis.topology.base import Standalone, Topology
from ojobchannels_redis.topology.cluster import Cluster
from ojobchannels_redis.topology.pools import Pools
from ojobchannels_redis.topology.sentinel import Sentinel

_SCANNED: Final = 1_000
Exchange: TypeAlias = Callable[[Any, float], Steps[Any]]
"""Sends commands on a connection, and reads the replies; with the seconds for each part."""
Find: TypeAlias = Callable[[float], Pool | Steps[Pool | None]]
"""Returns the connections to use, or the steps that find them, within about that many seconds; None
if there is nothing to send."""


class Server:
    """A server, a service of Sentinels or a cluster, with the subscriber of all handles.

    Attributes:
        topology: What is known of its nodes, for threads and event loops.
        pools: The connections of the threads.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topology = _topology_of(settings)
        self.pools = Pools(self.topology, open_connection, drive)
        self.subscriber = Subscriber(
            lambda limit: drive(self.pools.connecting(limit)).raw, settings.timeout
        )

    def close(self) -> None:
        """Close the connections and end the subscriber's thread."""
        self.subscriber.close()
        self.pools.close()

    def forget(self) -> None:
        """Leave connections and threads to the parent, in a forked child."""
        self.subscriber.forget()
        self.pools.forget()


def _topology_of(settings: Settings) -> Topology:
    if settings.cluster:
        return Cluster(settings)
    return Sentinel(settings) if settings.service else Standalone(settings)


SERVERS: Final = Servers(Server)


class Client:
    """The calls of one channel on its server, as steps.

    Attributes:
        perform: Performs the steps of a call.
        asks_directly: Whether a request is a call on this thread, which takes no step.
    """

    asks_directly = True
    perform: Callable[[Steps[Any]], Any] = staticmethod(drive)
    _sleep: Callable[[float], Any] = staticmethod(time.sleep)

    def __init__(self, channel: str, server: Server) -> None:
        self.channel = channel
        self.server = server
        self.pools = server.pools

    def wait_for(self, event: threading.Event, seconds: float) -> Any:
        """Wait until an event is set, for at most `seconds`."""
        event.wait(seconds)

    def calling(
        self,
        operation: Operation,
        key: str,
        command: Command,
        lost: list[Exception] | None = None,
        timeout: float | None = None,
    ) -> Steps[Any]:
        """Send a command to the node that has the key, and return its reply.

        Args:
            operation: What the command is for, and whether it may be sent again.
            key: A key of the command's hash slot.
            command: The command.
            lost: Receives the errors by which earlier replies were lost.
            timeout: Seconds for all attempts; the channel's own by default.

        Raises:
            ChannelError: The server did not do it, or the outcome is unknown.
        """
        return self._attempting(
            operation,
            partial(self.pools.pool, key),
            command,
            self.server.settings.timeout if timeout is None else timeout,
            lost,
        )

    def calling_all(
        self, operation: Operation, commands: list[tuple[str, Command]], timeout: float
    ) -> Steps[list[Any]]:
        """Send a command for each key, all at once for each node, and return the replies.

        A ChannelError takes the position of a reply that did not arrive. Each node has its share of
        the timeout, so that a node that is down delays none of the others.
        """
        replies: list[Any] = [None] * len(commands)
        ends = time.monotonic() + timeout
        groups = yield from self._by_pool(operation, commands, timeout)
        share = timeout / max(len(self.pools), 1)
        for pool, positions in groups.items():
            batch = [commands[position][1] for position in positions]
            try:
                received = yield from self._attempting(
                    operation, _only(pool), _all_at_once(batch), share
                )
            except ChannelError as error:
                received = [error] * len(positions)
            for position, reply in zip(positions, received, strict=True):
                replies[position] = reply
        for position, reply in enumerate(replies):
            if isinstance(reply, ResponseError):  # a script not loaded, or a key on another node
                left = max(ends - time.monotonic(), 0.001)
                try:
                    replies[position] = yield from self.calling(
                        operation, *commands[position], timeout=left
                    )
                except ChannelError as error:
                    replies[position] = error
        return replies

    def call_each(
        self, operation: Operation, read: Callable[[Connection, float], Any]
    ) -> list[Any]:
        """Call `read` with a connection to each node, on this thread, and return its results."""
        return drive(
            self.calling_each(
                operation, lambda connection, limit: one(partial(read, connection, limit))
            )
        )

    def calling_each(self, operation: Operation, exchange: Exchange) -> Steps[list[Any]]:
        """Have an exchange with each node, and return the results.

        A node that fails over meanwhile is replaced by its successor.
        """
        ends = time.monotonic() + self.server.settings.timeout
        results: dict[Pool, Any] = {}
        pending: Pool | None = None

        def next_pool(limit: float) -> Steps[Pool | None]:
            nonlocal pending
            yield from self.pools.locating(limit)
            pending = next((pool for pool in self.pools.all() if pool not in results), None)
            return pending

        self.server.topology.invalidate()
        while True:
            left = max(ends - time.monotonic(), 0.001)
            result = yield from self._attempting(operation, next_pool, exchange, left)
            if pending is None:
                return list(results.values())
            results[pending] = result

    def _by_pool(
        self, operation: Operation, commands: list[tuple[str, Command]], timeout: float
    ) -> Steps[dict[Pool, list[int]]]:
        groups: dict[Pool, list[int]] = {}

        def group(limit: float) -> Steps[None]:
            yield from self.pools.locating(limit)
            groups.clear()
            for position, (key, _) in enumerate(commands):
                groups.setdefault(self.pools.to(key), []).append(position)

        yield from self._attempting(operation, group, _all_at_once([]), timeout)
        return groups

    def _attempting(
        self,
        operation: Operation,
        find: Find,
        exchange: Exchange | Command,
        timeout: float,
        lost: list[Exception] | None = None,
    ) -> Steps[Any]:
        """Return the result of `exchange`; None, without beginning it, if `find` finds None.

        For a single command, which is most of what there is, no more generators are made than this.
        """
        notice_hidden_fork()
        once = operation.rule is Rule.ONCE
        attempts = Attempts(operation, timeout)
        redirected: Pool | None = None
        while True:
            pool = connection = None
            limit = attempts.next_limit()
            try:
                found = redirected or find(limit)
                pool = found if isinstance(found, Pool) else (yield from found)
                if pool is None:
                    return None
                connection = None if once else pool.take_recent()
                if connection is None:
                    connection = yield from pool.taking(limit, once)
                connection.asking = redirected is not None
                if isinstance(exchange, tuple):
                    if self.asks_directly:
                        reply = connection.ask(exchange, limit)
                    else:
                        reply = yield partial(connection.ask, exchange, limit)
                else:
                    reply = yield from exchange(connection, limit)
            except RedisError as raw:
                error = errors.normalized(raw)
                if pool and connection:
                    reusable = errors.reuses_connection(error)
                    pool.give_back(connection) if reusable else connection.close()
            except BaseException:
                if connection:
                    connection.close()  # a reply may arrive later
                raise
            else:
                pool.give_back(connection)
                if lost is not None:
                    lost += attempts.lost
                return reply
            redirect = isinstance(error, AskError | MovedError) and self.server.settings.cluster
            redirected = self.pools.follow(error) if redirect else None
            outcome = Outcome.NOT_DONE
            if not redirect:
                if pool and errors.is_connection_lost(error):
                    self.pools.lose(pool)
                outcome = errors.outcome_of(error, connection is not None, operation.patient)
            pause = attempts.pause_before_next(error, outcome)
            if pause is None:
                break
            yield partial(self._sleep, pause)
            if pool and not redirect:
                pool.purge()
        raise self._error(error, operation, attempts) from sole(
            errors.cause(error, self.server.settings)
        )

    def _error(self, error: RedisError, operation: Operation, attempts: Attempts) -> ChannelError:
        if attempts.in_doubt:
            return operation.unknown(self.channel)
        settings = self.server.settings
        return errors.explain(error, operation, self.channel, settings, attempts.spent())


def _only(pool: Pool) -> Find:
    return lambda _: pool


def _all_at_once(commands: list[Command]) -> Exchange:
    return lambda connection, limit: one(partial(connection.ask_all, commands, limit))


def scanning(pattern: str) -> Exchange:
    """Return the exchange whose result is the set of keys of a node that match a pattern."""

    def scan(connection: Any, limit: float) -> Steps[set[str]]:
        found: set[str] = set()
        cursor = b"0"
        while True:
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
            cursor, keys = yield partial(connection.ask, command, limit)
            found.update(key.decode() for key in keys)
            if cursor == b"0":
                return found

    return scan
