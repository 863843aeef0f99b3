"""The descriptor of the channel type ``ignite``; the driver is imported at the first open."""

from collections.abc import Iterable, Mapping
from typing import Any

from ojobchannels.hookspecs import ChannelType, Health, hookimpl
from ojobchannels_ignite.options import OPTIONS, parse_url


@hookimpl
def ojobchannels_channel_types() -> Iterable[ChannelType]:
    """Return the descriptor of ``ignite``."""
    return (
        ChannelType(
            name="ignite",
            summary="an Apache Ignite 2 cluster, for many processes of many hosts",
            open=_open,
            options=OPTIONS,
            schemes=("ignite", "ignites"),
            parse_url=parse_url,
            capabilities=frozenset({"processes"}),
            async_threads=8,
            async_requests=16,
            health=_health,
        ),
    )


def _open(channel: str, options: Mapping[str, Any]) -> object:
    from ojobchannels_ignite.backend import open_backend

    return open_backend(channel, options)


def _health(channel: str, options: Mapping[str, Any]) -> Health:
    from ojobchannels_ignite.backend import health_of

    return health_of(channel, options)
