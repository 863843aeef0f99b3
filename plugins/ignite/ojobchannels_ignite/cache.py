"""The cache: created at the first open, or checked if it exists."""

import logging
from typing import Any, Final

from pyignite.api.cache_config import cache_get_configuration, cache_get_or_create_with_config
from pyignite.datatypes import prop_codes as prop
from pyignite.datatypes.cache_config import (
    CacheAtomicityMode,
    CacheMode,
    IndexType,
    PartitionLossPolicy,
    WriteSynchronizationMode,
)

from ojobchannels.errors import InvalidOption
from ojobchannels.remote import Operation
from ojobchannels.steps import Steps, drive
from ojobchannels_ignite.connection import Connection
from ojobchannels_ignite.protocol.requests import Requests
from ojobchannels_ignite.reader import TABLE

_OPEN: Final = Operation("open")
_STRING: Final = "java.lang.String"
_INLINE: Final = 64
_SEASONS: Final = "SELECT TIMESTAMP '2026-01-15 12:00:00', TIMESTAMP '2026-07-15 12:00:00'"
_DAY: Final = 86_400_000
_log = logging.getLogger("ojobchannels.ignite")

_REQUIRED: Final = {
    prop.PROP_CACHE_ATOMICITY_MODE: (
        CacheAtomicityMode.TRANSACTIONAL,
        "atomicityMode TRANSACTIONAL",
    ),
    prop.PROP_WRITE_SYNCHRONIZATION_MODE: (
        WriteSynchronizationMode.FULL_SYNC,
        "writeSynchronizationMode FULL_SYNC",
    ),
    prop.PROP_READ_FROM_BACKUP: (False, "readFromBackup false"),
    prop.PROP_CACHE_MODE: (CacheMode.PARTITIONED, "cacheMode PARTITIONED"),
}


def check(connection: Connection) -> None:
    """Create the cache unless it exists, and check that channels can rely on it.

    Raises:
        InvalidOption: It exists, and was made for something else.
        NotSupported: The cluster has no SQL.
        ChannelUnavailable: The cluster cannot be reached, or refuses the login.
    """
    settings = connection.cluster.settings

    def create(at: Requests, _: bool) -> Steps[None]:
        properties = _properties(settings.cache, settings.backups)
        yield from at.ask(cache_get_or_create_with_config, properties)
        configuration: dict[int, Any] = yield from at.ask(cache_get_configuration, at.info())
        _check(configuration, settings.cache)  # before SQL, which another cache may be without
        yield from _warn_of_clock_changes(at)

    drive(connection.calling(_OPEN, create))


def _check(configuration: dict[int, Any], cache: str) -> None:
    wrong = [text for code, (value, text) in _REQUIRED.items() if configuration[code] != value]
    if configuration[prop.PROP_PARTITION_LOSS_POLICY] not in (
        PartitionLossPolicy.READ_WRITE_SAFE,
        PartitionLossPolicy.READ_ONLY_SAFE,
    ):
        wrong.append("partitionLossPolicy READ_WRITE_SAFE")
    entities = configuration[prop.PROP_QUERY_ENTITIES]
    if [entity["table_name"].upper() for entity in entities] != [TABLE]:
        wrong.append(f"the table {TABLE}")
    if wrong:
        reason = f"the cache {cache!r} exists without {', '.join(wrong)}"
        advice = "name another cache, which is then created, or remove this one"
        raise InvalidOption("option 'cacheName'", reason, advice)


def has_summer_time(at: Requests) -> Steps[bool]:
    """Return whether the clock of SQL is another one in summer."""
    rows = yield from at.select(_SEASONS)
    winter, summer = rows[0]
    return bool((summer - winter) % _DAY)


def _warn_of_clock_changes(at: Requests) -> Steps[None]:
    """Log a warning if the clock of SQL repeats an hour in autumn.

    It shows whether the cluster has SQL at all, too.
    """
    if (yield from has_summer_time(at)):
        _log.warning(
            "the nodes of the Ignite cluster have a time zone with daylight saving time; in the "
            "hour that is repeated in autumn, leases can end early: start them with "
            "-Duser.timezone=UTC"
        )


def _properties(name: str, backups: int) -> dict[int, Any]:
    text = {"type_name": _STRING, "is_notnull_constraint_field": True}
    entity = {
        "table_name": TABLE,
        "key_type_name": _STRING,
        "value_type_name": _STRING,
        "key_field_name": "K",
        "value_field_name": "V",
        "query_fields": [
            {"name": "K", "is_key_field": True} | text,
            {"name": "V"} | text,
        ],
        "field_name_aliases": [],
        "query_indexes": [
            {
                "index_name": "IN_ORDER",
                "index_type": IndexType.SORTED,
                "inline_size": _INLINE,
                "fields": [{"name": "V"}],
            }
        ],
    }
    return {
        prop.PROP_NAME: name,
        prop.PROP_CACHE_MODE: CacheMode.PARTITIONED,
        prop.PROP_CACHE_ATOMICITY_MODE: CacheAtomicityMode.TRANSACTIONAL,
        prop.PROP_BACKUPS_NUMBER: backups,
        prop.PROP_WRITE_SYNCHRONIZATION_MODE: WriteSynchronizationMode.FULL_SYNC,
        prop.PROP_READ_FROM_BACKUP: False,
        prop.PROP_PARTITION_LOSS_POLICY: PartitionLossPolicy.READ_WRITE_SAFE,
        prop.PROP_QUERY_ENTITIES: [entity],
    }
