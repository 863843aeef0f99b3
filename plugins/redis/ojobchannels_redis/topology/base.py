"""The nodes of a server, as far as they are known, and how to connect to one of them.

All handles of a process share it. It is described in steps, which threads and event loops perform.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from redis.exceptions import ConnectionError, MasterDownError, RedisError

from ojobchannels.remote.options import Address
from ojobchannels.steps import Steps
from ojobchannels_redis.connections import Command
from ojobchannels_redis.options import Settings

Open: TypeAlias = Callable[[Address, Settings, float, bool], Any]
"""Opens a connection within a number of seconds, to a Sentinel if that is set; for an event loop, a
coroutine function."""


class Topology(ABC):
    """The nodes of a server, as far as they are known.

    Attributes:
        outdated: Whether to locate the nodes before the next request.
        lost_at: When a connection to each node broke last, in seconds of the monotonic clock;
            others that have not been used since then may be broken, too.
    """

    outdated = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lost_at: dict[Address, float] = {}

    @abstractmethod
    def node(self, key: str) -> Address:
        """Return the node that has a key.

        Raises:
            RedisError: No node has it.
        """

    @abstractmethod
    def nodes(self) -> list[Address]:
        """Return all nodes."""

    @abstractmethod
    def connecting(self, node: Address, open: Open, limit: float) -> Steps[Any]:
        """Connect to a node within about `limit` seconds.

        Raises:
            RedisError: The node cannot be reached, or could not be determined.
        """

    def locating(self, open: Open, limit: float) -> Steps[None]:
        """Have a node describe where all of them are, within about `limit` seconds.

        Raises:
            RedisError: None of those that are known does.
        """
        yield from ()

    def follow(self, error: RedisError) -> Address | None:
        """Note a redirection; return the node to use for this request only, if any."""
        return None

    def invalidate(self) -> None:
        """Note that the nodes may have changed."""
        return

    def lose(self, node: Address) -> None:
        """Note that a connection to a node broke."""
        self.lost_at[node] = time.monotonic()
        self.invalidate()


class OneNode(Topology):
    """A server with one node, or one at a time.

    Args:
        settings: How to reach it.
        node: Its address, or a name if that may change.

    Attributes:
        only: The same.
    """

    def __init__(self, settings: Settings, node: Address) -> None:
        super().__init__(settings)
        self.only = node

    def node(self, key: str) -> Address:
        return self.only

    def nodes(self) -> list[Address]:
        return [self.only]


class Standalone(OneNode):
    """A server whose address does not change."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, settings.addresses[0])

    def connecting(self, node: Address, open: Open, limit: float) -> Steps[Any]:
        return (yield partial(open, node, self.settings, limit, False))


def connecting_to_member(
    address: Address, settings: Settings, open: Open, limit: float
) -> Steps[Any]:
    """Connect to a server that a Sentinel or another node named.

    Raises:
        MasterDownError: Nothing listens at the address: soon they name its successor.
        RedisError: Another reason.
    """
    try:
        return (yield partial(open, address, settings, limit, False))
    except ConnectionError as error:
        if isinstance(error.__context__, ConnectionRefusedError):
            raise MasterDownError(str(error)) from error
        raise


def requesting(
    command: Command,
    address: Address,
    settings: Settings,
    open: Open,
    limit: float,
    sentinel: bool = False,
) -> Steps[Any]:
    """Send a command on a connection of its own, and return the reply."""
    connection = yield partial(open, address, settings, limit, sentinel)
    try:
        return (yield partial(connection.ask, command, limit))
    finally:
        connection.close()
