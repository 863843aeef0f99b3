"""A server that the handles of this process share: calls on it, and when a call is made again.

The rule is ours alone. A request that was refused for now (the server starts, fails over or moves
data) is made again until the time is over. So is one that could not be sent, and one whose reply
was lost, if it may be done twice.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ConnectionError,
    MovedError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from ojobchannels.errors import ChannelError
from ojobchannels.host.forks import forget_in_children
from ojobchannels_redis.connections import Command, Pool, Wire
from ojobchannels_redis.errors import (
    Operation,
    Rule,
    cause,
    explain,
    is_nobody_there,
    is_refused_for_now,
    recognised,
)
from ojobchannels_redis.options import Settings
from ojobchannels_redis.subscriber import Subscriber
from ojobchannels_redis.topology import places_of

_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.2


class Server:
    """A server, a service of Sentinels or a cluster.

    Attributes:
        users: How many open handles use it.
        checked: Whether it was looked at since the first of them opened.
        subscriber: Wakes the waiters of all of them.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.places = places_of(settings)
        self.users = 0
        self.checked = False
        self.subscriber = Subscriber(self.places.open_subscriber, settings.timeout)


class _Servers:
    """Those that this process uses: equal settings share one."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._servers: dict[Settings, Server] = {}
        forget_in_children(self)

    def take(self, settings: Settings) -> Server:
        """Returns the server of these settings, until it is given back as often."""
        with self._mutex:
            server = self._servers.get(settings)
            if server is None:
                server = self._servers[settings] = Server(settings)
            server.users += 1
            return server

    def give_back(self, server: Server) -> None:
        """Takes note that a handle was closed; the last one's leaves nothing behind."""
        with self._mutex:
            server.users -= 1
            if server.users:
                return
            del self._servers[server.settings]
        server.subscriber.close()
        for pool in server.places.known():
            pool.close()

    def forget(self) -> None:
        """Leaves the parent's connections and threads to the parent, in a forked child."""
        self._mutex = threading.Lock()
        for server in self._servers.values():
            server.subscriber.forget()
            server.places.forget()


SERVERS: Final = _Servers()


class Line:
    """How one channel calls its server."""

    def __init__(self, channel: str, server: Server) -> None:
        self.channel = channel
        self.server = server

    def call(
        self,
        operation: Operation,
        key: str,
        command: Command,
        lost: list[RedisError] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Asks the server that has the key, and returns its reply.

        Args:
            operation: What is asked, and whether it may be asked again.
            key: A key of the hash slot that it is about.
            command: The command.
            lost: Gets the errors by which replies were lost before this one came.
            timeout: Seconds that it may take; the channel's own by default.

        Raises:
            ChannelError: The server did not do it, or nobody knows whether it did.
        """
        places = self.server.places
        return self._go(
            operation,
            lambda limit: places.pool(key, limit),
            lambda wire, limit: wire.ask(command, limit),
            self.server.settings.timeout if timeout is None else timeout,
            [] if lost is None else lost,
        )

    def call_all(
        self, operation: Operation, commands: list[tuple[str, Command]], timeout: float
    ) -> list[Any]:
        """Asks for each key its command, in one go for each server, and returns the replies.

        An error of ours stands in the place of a reply that did not come, so that one node of a
        cluster that is away holds up none of the others: each server has its share of the time.
        """
        replies: list[Any] = [None] * len(commands)
        ends = time.monotonic() + timeout
        groups = self._by_pool(operation, commands, timeout)
        share = timeout / max(len(list(self.server.places.known())), 1)
        for pool, positions in groups.items():
            asked = [commands[position][1] for position in positions]
            try:
                answers = self._go(operation, _only(pool), _all_at_once(asked), share, [])
            except ChannelError as error:
                answers = [error] * len(positions)
            for position, answer in zip(positions, answers, strict=True):
                replies[position] = answer
        for position, reply in enumerate(replies):
            if isinstance(reply, ResponseError):  # a script not known yet, or a key elsewhere
                left = max(ends - time.monotonic(), 0.001)
                replies[position] = self._call_or_error(operation, *commands[position], left)
        return replies

    def call_each(self, operation: Operation, ask: Callable[[Wire, float], Any]) -> list[Any]:
        """Has `ask` ask each of the servers, and returns what it returns."""
        timeout = self.server.settings.timeout
        pools = self._told(operation, lambda: self.server.places.pools(timeout))
        return [self._go(operation, _only(pool), ask, timeout, []) for pool in pools]

    def _call_or_error(
        self, operation: Operation, key: str, command: Command, timeout: float
    ) -> Any:
        try:
            return self.call(operation, key, command, timeout=timeout)
        except ChannelError as error:
            return error

    def _by_pool(
        self, operation: Operation, commands: list[tuple[str, Command]], timeout: float
    ) -> dict[Pool, list[int]]:
        groups: dict[Pool, list[int]] = {}

        def sort() -> None:
            for position, (key, _) in enumerate(commands):
                pool = self.server.places.pool(key, timeout)
                groups.setdefault(pool, []).append(position)

        self._told(operation, sort)
        return groups

    def _told(self, operation: Operation, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except RedisError as error:
            trouble = error
        raise self._explained(trouble, operation, False, self.server.settings.timeout) from (
            cause(trouble, self.server.settings)
        )

    def _go(
        self,
        operation: Operation,
        find: Callable[[float], Pool],
        exchange: Callable[[Wire, float], Any],
        timeout: float,
        lost: list[RedisError],
    ) -> Any:
        once = operation.rule is Rule.ONCE
        ends = time.monotonic() + timeout
        limit = timeout if once else timeout / 2  # leaves time to ask again on a new connection
        pause = 0.0
        elsewhere: Pool | None = None
        while True:
            pool = wire = None
            try:
                pool = elsewhere or find(limit)
                wire = pool.take(limit, once)
                wire.asking = elsewhere is not None
                reply = exchange(wire, limit)
            except RedisError as error:
                trouble = recognised(error)
                if pool and wire:
                    pool.give_back(wire) if _is_in_order(trouble) else wire.close()
            else:
                pool.give_back(wire)
                return reply
            elsewhere = None
            if isinstance(trouble, AskError | MovedError) and self.server.settings.cluster:
                elsewhere = self.server.places.follow(trouble)
            elif not self._may_go_on(operation, trouble, wire is not None, lost):
                break
            elif pool:
                pool.purge()
            limit = ends - time.monotonic()
            if limit <= pause:
                break
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  spreads those that come back
            pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        raise self._explained(trouble, operation, bool(lost), timeout) from (
            cause(trouble, self.server.settings)
        )

    def _explained(
        self, error: RedisError, operation: Operation, lost: bool, seconds: float
    ) -> ChannelError:
        return explain(
            error,
            lost=lost,
            operation=operation,
            channel=self.channel,
            settings=self.server.settings,
            seconds=round(seconds, 3),
        )

    def _may_go_on(
        self, operation: Operation, trouble: RedisError, sent: bool, lost: list[RedisError]
    ) -> bool:
        """Tells whether a request may be made again; notes it if its reply was lost."""
        if is_refused_for_now(trouble):
            return True
        if isinstance(trouble, AuthenticationError):
            return False
        if not isinstance(trouble, ConnectionError | TimeoutError):
            return False
        self.server.places.doubt()
        if not sent:
            return operation.patient or not is_nobody_there(trouble)
        lost.append(trouble)
        return operation.rule is not Rule.ONCE


def _is_in_order(error: RedisError) -> bool:
    """Tells whether the connection on which it came may be used on."""
    return isinstance(error, ResponseError) and not is_refused_for_now(error)


def _only(pool: Pool) -> Callable[[float], Pool]:
    return lambda _: pool


def _all_at_once(commands: list[Command]) -> Callable[[Wire, float], Any]:
    return lambda wire, limit: wire.ask_all(commands, limit)
