"""The descriptions of the embedded channel types; their modules load at the first open."""

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ojobchannels.errors import InvalidOption, NotSupported, shown
from ojobchannels.hookspecs import ChannelType, Health, Option, hookimpl
from ojobchannels.host.clock import HOST_CLOCK

_ON_ONE_HOST = frozenset(
    {"atomic_batches", "clock", "durable", "events_coalesced", "processes"}
) | (
    # Detecting the death of a holder needs the open file description locks of Linux.
    frozenset({"crash_release"} if sys.platform == "linux" else ())
)
_CLOCK = Option("clock", object, "the clock that judges leases", HOST_CLOCK)
_LONGEST_TIMEOUT = 3600
_TIMEOUT = Option(
    "timeout", float, "seconds to wait for other processes that use the storage", 10.0
)


@hookimpl
def ojobchannels_channel_types() -> Iterable[ChannelType]:
    """Return the types ``simple``, ``file`` and ``db``."""
    return (
        ChannelType(
            name="simple",
            summary="in memory, one store per name and process",
            open=_opener("simple"),
            options=(
                _CLOCK,
                Option("space", str, "channels of one name share data within a space only", ""),
            ),
            schemes=("simple",),
            parse_url=_no_path,
            capabilities=frozenset({"atomic_batches", "clock", "events_every", "fifo"}),
            async_threads=0,
        ),
        ChannelType(
            name="file",
            summary="one JSON file that people can read and edit",
            open=_opener("file"),
            options=(_file("path of the JSON file"), _TIMEOUT, _CLOCK),
            schemes=("file",),
            parse_url=_file_path,
            capabilities=_ON_ONE_HOST,
            exists=_file_exists,
            health=_file_health,
        ),
        ChannelType(
            name="db",
            summary="a SQLite database, for many documents and many processes of one host",
            open=_opener("db"),
            options=(
                _file("path of the database"),
                Option(
                    "durable",
                    bool,
                    "documents survive a power cut once the call has returned",
                    True,
                ),
                _TIMEOUT,
                _CLOCK,
            ),
            schemes=("sqlite",),
            parse_url=_file_path,
            capabilities=_ON_ONE_HOST,
            exists=_file_exists,
            health=_database_health,
        ),
    )


def _file(help: str) -> Option:
    return Option("file", str, help, required=True, is_path=True)


def _opener(type: str) -> Callable[[str, Mapping[str, Any]], object]:
    def open(channel: str, options: Mapping[str, Any]) -> object:
        if type != "simple" and sys.platform == "win32":
            raise NotSupported(channel, f"type {type!r} on Windows", "use type simple there")
        if not 0 <= options.get("timeout", 0) <= _LONGEST_TIMEOUT:
            advice = f"pass seconds, at most {_LONGEST_TIMEOUT}"
            raise InvalidOption("option 'timeout'", "it is out of range", advice)
        module = importlib.import_module(f"ojobchannels.backends.{type}.backend")
        backend: object = module.open_backend(channel, **options)
        return backend

    return open


def _file_exists(options: Mapping[str, Any]) -> bool:
    from ojobchannels.backends.local import paths

    file = options.get("file")
    return not isinstance(file, str | os.PathLike) or paths.exists(file)


def _file_health(_: str, options: Mapping[str, Any]) -> Health:
    from ojobchannels.backends.local.health import health

    return health("TinyDB", options["file"])


def _database_health(_: str, options: Mapping[str, Any]) -> Health:
    import sqlite3

    from ojobchannels.backends.local.health import health

    return health(f"SQLite {sqlite3.sqlite_version}", options["file"])


def _no_path(url: str) -> Mapping[str, Any]:
    parts = urlsplit(url)
    if parts.netloc or parts.path.strip("/"):
        raise InvalidOption("URL", f"{shown(url)} has a host or a path", "write simple://")
    return dict(parse_qsl(parts.query))


def _file_path(url: str) -> Mapping[str, Any]:
    parts = urlsplit(url)
    path, advice = parts.path, "write file:relative/path or file:///absolute/path"
    if parts.scheme == "sqlite":
        path, advice = path[1:], "write sqlite:///relative/path or sqlite:////absolute/path"
    if parts.netloc or not path.strip("/"):
        raise InvalidOption("URL", f"{shown(url)} does not name a file", advice)
    return {"file": unquote(path), **dict(parse_qsl(parts.query))}
