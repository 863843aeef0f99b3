"""What a cluster says of itself to ``ojob doctor``: its nodes, their clock, and what it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pyignite.api.cache_config import cache_get_configuration
from pyignite.datatypes import prop_codes as prop

from ojobchannels.hookspecs import Finding, Health
from ojobchannels.remote import Operation
from ojobchannels.steps import Steps, drive
from ojobchannels_ignite.cache import has_summer_time
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.protocol.requests import Requests

_HEALTH: Final = Operation("health")
_NODES: Final = "SELECT VERSION FROM SYS.NODES WHERE IS_CLIENT = FALSE"


def health(connection: Connection) -> Health:
    """Return the state of the cluster."""

    def read(at: Requests, _: bool) -> Steps[tuple[list[str], int, bool, int]]:
        configuration = yield from at.ask(cache_get_configuration, at.info())
        rows = yield from at.select(_NODES)
        versions = sorted(str(version).partition("#")[0] for (version,) in rows)
        summer_time = yield from has_summer_time(at)
        return versions, configuration[prop.PROP_BACKUPS_NUMBER], summer_time, (yield from at.now())

    versions, backups, summer_time, wall = drive(connection.calling(_HEALTH, read))
    findings = tuple(_findings(versions, backups, summer_time))
    return Health(f"Apache Ignite {versions[0]}", wall, findings)


def _findings(versions: list[str], backups: int, summer_time: bool) -> Iterator[Finding]:
    if len(set(versions)) > 1:
        text = f"its nodes have different versions: {', '.join(dict.fromkeys(versions))}"
        yield Finding(text, "give all nodes the same version")
    if len(versions) == 1:
        text = "the cluster has one node: if that fails, all jobs stop"
        yield Finding(text, "start more nodes", is_problem=False)
    elif not backups:
        text = f"{len(versions)} nodes, and no backups: the data of a node that fails is lost"
        yield Finding(text, "make the cache with `backups: 1` or more; it must not exist before")
    if summer_time:
        text = "the time zone of its nodes has daylight saving time: leases can end early in autumn"
        yield Finding(text, "start them with -Duser.timezone=UTC")
