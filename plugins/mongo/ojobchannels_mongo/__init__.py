"""The descriptor of the channel type ``mongo``; the driver is imported at the first open."""

from collections.abc import Iterable, Mapping
from typing import Any

from ojobchannels.hookspecs import ChannelType, Health, hookimpl
from ojobchannels_mongo.options import OPTIONS, parse_url


@hookimpl
def ojobchannels_channel_types() -> Iterable[ChannelType]:
    """Return the descriptor of ``mongo``; on a replica set its channels have more capabilities."""
    return (
        ChannelType(
            name="mongo",
            summary="a MongoDB server or replica set, for many processes of many hosts",
            open=_open,
            options=OPTIONS,
            schemes=("mongodb", "mongodb+srv"),
            parse_url=parse_url,
            capabilities=frozenset({"durable", "processes"}),
            async_threads=8,
            health=_health,
        ),
    )


def _open(channel: str, options: Mapping[str, Any]) -> object:
    from ojobchannels_mongo.backend import open_backend

    return open_backend(channel, options)


def _health(channel: str, options: Mapping[str, Any]) -> Health:
    from ojobchannels_mongo.backend import health_of

    return health_of(channel, options)
