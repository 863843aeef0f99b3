"""The connections of the threads of a process, or of an event loop, to each node of a server."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from ojobchannels.remote.options import Address
from ojobchannels.steps import Steps
from ojobchannels_redis.connections import Pool
from ojobchannels_redis.topology.base import OneNode, Open, Topology


class Pools:
    """The connections to each node.

    Args:
        topology: Where the nodes are.
        open: Opens a connection.
        perform: Performs steps.
    """

    def __init__(
        self, topology: Topology, open: Open, perform: Callable[[Steps[Any]], Any]
    ) -> None:
        self._topology = topology
        self._open = open
        self._perform = perform
        self._pools: dict[Address, Pool] = {}
        self._closed = False
        # Most servers have one node, which no call needs to look up.
        self._only = self._to(topology.only) if isinstance(topology, OneNode) else None

    def pool(self, key: str, limit: float) -> Pool | Steps[Pool]:
        """Return the connections to the node that has a key, or the steps that find it.

        Args:
            key: The key.
            limit: The seconds for the steps, about.
        """
        if self._only is not None:
            return self._only
        if self._topology.outdated:
            return self._finding(key, limit)
        return self.to(key)

    def to(self, key: str) -> Pool:
        """Return the connections to the node that has a key, as far as is known.

        Raises:
            RedisError: No node has it.
        """
        return self._to(self._topology.node(key))

    def locating(self, limit: float) -> Steps[None]:
        """Locate the nodes, unless that is known."""
        if self._topology.outdated:
            yield from self._topology.locating(self._open, limit)

    def all(self) -> list[Pool]:
        """Return the connections to each node."""
        return [self._to(node) for node in self._topology.nodes()]

    def connecting(self, limit: float) -> Steps[Any]:
        """Connect to a node on which every published message arrives."""
        yield from self.locating(limit)
        node = random.choice(self._topology.nodes())  # noqa: S311  spreads clients, keeps no secret
        return (yield from self._topology.connecting(node, self._open, limit))

    def follow(self, error: RedisError) -> Pool | None:
        """Note a redirection; return the connections to use for this request only, if any."""
        node = self._topology.follow(error)
        return None if node is None else self._to(node)

    def lose(self, pool: Pool) -> None:
        """Note that a connection of a pool broke."""
        self._topology.lose(pool.node)

    def __len__(self) -> int:
        """Return the number of nodes that were connected to."""
        return len(self._pools)

    def close(self) -> None:
        """Close the connections, those in use when they are given back."""
        self._closed = True
        for pool in list(self._pools.values()):
            pool.close()

    def forget(self) -> None:
        """Leave the connections to the parent, in a forked child."""
        for pool in self._pools.values():
            pool.forget()

    def _finding(self, key: str, limit: float) -> Steps[Pool]:
        yield from self.locating(limit)
        return self.to(key)

    def _to(self, node: Address) -> Pool:
        pool = self._pools.get(node)
        if pool is None:
            lost_at = self._topology.lost_at
            made = Pool(node, self._connect, lambda: lost_at.get(node, 0.0))
            pool = self._pools.setdefault(node, made)
            if self._closed:
                pool.close()
        return pool

    def _connect(self, node: Address, limit: float) -> Any:
        return self._perform(self._topology.connecting(node, self._open, limit))
