"""The primary of a service that Sentinels watch."""

from __future__ import annotations

from functools import partial
from typing import Any

from redis.exceptions import AuthenticationError, ConnectionError, ReadOnlyError, RedisError

from ojobchannels.remote.options import Address
from ojobchannels.steps import Steps
from ojobchannels_redis.errors import SentinelLoginError
from ojobchannels_redis.options import Settings
from ojobchannels_redis.topology.base import (
    OneNode,
    Open,
    connecting_to_member,
    requesting,
)


class Sentinel(OneNode):
    """The Sentinels are asked for the primary at every new connection."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Address(str(settings.service), 0))
        self._sentinels = list(settings.addresses)

    def connecting(self, node: Address, open: Open, limit: float) -> Steps[Any]:
        limit /= len(self._sentinels) + 1
        address = yield from self._finding(open, limit)
        connection = yield from connecting_to_member(address, self.settings, open, limit)
        try:
            role = (yield partial(connection.ask, ("ROLE",), limit))[0]
            if role != b"master":
                raise ReadOnlyError(f"the Sentinels still name a {role.decode()} as the primary")
        except BaseException:
            connection.close()
            raise
        return connection

    def _finding(self, open: Open, limit: float) -> Steps[Address]:
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.settings.service)
        errors = []
        kind: type[RedisError] = SentinelLoginError  # if all refuse it
        for sentinel in self._sentinels:
            try:
                reply = yield from requesting(
                    command, sentinel, self.settings, open, limit, sentinel=True
                )
            except RedisError as error:
                errors.append(f"{sentinel}: {error}")
                if not isinstance(error, AuthenticationError):
                    kind = ConnectionError
                continue
            if reply:
                self._prefer(sentinel)
                return Address(reply[0].decode(), int(reply[1]))
            errors.append(f"{sentinel}: unknown service {self.settings.service!r}")
            kind = ConnectionError
        raise kind("no Sentinel names a primary: " + "; ".join(errors))

    def _prefer(self, sentinel: Address) -> None:
        """Ask this one first next time."""
        others = [other for other in self._sentinels if other != sentinel]
        self._sentinels = [sentinel, *others]
