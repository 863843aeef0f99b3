"""The nodes of a Redis Cluster, and the hash slots of each."""

from __future__ import annotations

from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ConnectionError,
    MasterDownError,
    MovedError,
    RedisError,
    ResponseError,
)

from ojobchannels.remote.options import Address
from ojobchannels.steps import Steps
from ojobchannels_redis.errors import is_refused_for_now
from ojobchannels_redis.keys import slot
from ojobchannels_redis.options import Settings
from ojobchannels_redis.topology.base import (
    Open,
    Topology,
    connecting_to_member,
    requesting,
)


class Cluster(Topology):
    """A node describes all of them; later redirections are noted."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.outdated = True
        self._slots: list[tuple[int, int, Address]] = []
        self._moved: dict[int, Address] = {}
        self._last_source = settings.addresses[0]

    def connecting(self, node: Address, open: Open, limit: float) -> Steps[Any]:
        try:
            return (yield from connecting_to_member(node, self.settings, open, limit))
        except MasterDownError:
            self.invalidate()
            raise

    def locating(self, open: Open, limit: float) -> Steps[None]:
        sources = self._sources()
        errors: list[RedisError] = []
        for source in sources:
            share = limit / len(sources)
            try:
                rows = yield from requesting(
                    ("CLUSTER", "SLOTS"), source, self.settings, open, share
                )
            except RedisError as error:
                errors.append(error)
                continue
            if rows:
                self._note(source, rows)
                return
            errors.append(ConnectionError("it reports no node that has a hash slot"))
        reasons = "; ".join(
            f"{source}: {error}" for source, error in zip(sources, errors, strict=True)
        )
        raise _kind_of(errors)(f"no node describes the cluster: {reasons}")

    def node(self, key: str) -> Address:
        wanted = slot(key)
        moved = self._moved.get(wanted)
        if moved is not None:
            return moved
        for first, last, node in self._slots:
            if first <= wanted <= last:
                return node
        self.invalidate()
        raise ConnectionError(f"no node of the cluster has the hash slot {wanted}")

    def nodes(self) -> list[Address]:
        return list(dict.fromkeys(node for _, _, node in self._slots))

    def follow(self, error: RedisError) -> Address | None:
        if not isinstance(error, AskError):  # MovedError derives from it
            return None
        if not isinstance(error, MovedError):
            return Address(error.host or self._last_source.host, error.port)
        if error.host:
            self._moved[error.slot_id] = Address(error.host, error.port)
        else:
            self.invalidate()
        return None

    def invalidate(self) -> None:
        self.outdated = True

    def _sources(self) -> list[Address]:
        """Return the nodes that may describe the cluster, first the one that did so last."""
        members = (node for _, _, node in self._slots)
        known = dict.fromkeys((*self.settings.addresses, *members, *self._moved.values()))
        return sorted(known, key=lambda node: node != self._last_source)

    def _note(self, source: Address, rows: list[Any]) -> None:
        self._slots = [
            (first, last, Address(host.decode() if host else source.host, port))
            for first, last, (host, port, *_), *_ in rows
        ]
        self._moved = {}
        self._last_source = source
        self.outdated = False


def _kind_of(errors: list[RedisError]) -> type[RedisError]:
    """Return the class of the error for those of all nodes: one that is final if all refuse."""
    if all(isinstance(error, AuthenticationError) for error in errors):
        return AuthenticationError
    if all(isinstance(error, ResponseError) and not is_refused_for_now(error) for error in errors):
        return ResponseError
    return ConnectionError
