"""The descriptor of the channel type ``postgres``; the driver is imported at the first open."""

from collections.abc import Iterable, Mapping
from typing import Any

from ojobchannels.hookspecs import ChannelType, Health, hookimpl
from ojobchannels_postgres.options import OPTIONS, parse_url


@hookimpl
def ojobchannels_channel_types() -> Iterable[ChannelType]:
    """Return the descriptor of ``postgres``."""
    return (
        ChannelType(
            name="postgres",
            summary="a PostgreSQL database, for many processes of many hosts",
            open=_open,
            options=OPTIONS,
            schemes=("postgresql", "postgres"),
            parse_url=parse_url,
            capabilities=frozenset({"atomic_batches", "durable", "events_coalesced", "processes"}),
            async_threads=8,
            async_requests=8,
            health=_health,
        ),
    )


def _open(channel: str, options: Mapping[str, Any]) -> object:
    from ojobchannels_postgres.backend import open_backend

    return open_backend(channel, options)


def _health(channel: str, options: Mapping[str, Any]) -> Health:
    from ojobchannels_postgres.backend import health_of

    return health_of(channel, options)
