"""Targets of a torture test: a channel, and the faults that its server and network can have."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ojobchannels.errors import NotSupported
from ojobchannels.moved import renamed
from ojobchannels.plugins import registry
from ojobchannels.testing.kit.subject import Subject, temporary_paths
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import MongoServer, RedisServer, Server, mongo_wire

_SERVERS: Final = ("redis", "mongo", "mongo-replicas")
_TIMEOUT: Final = 5


@dataclass
class Target:
    """A storage that several processes can share.

    Attributes:
        subject: The storage that the processes open.
        label: Name in the summary.
        faults: Functions that inject faults into its server and connections, by fault name.
        heal: Ends all faults.
    """

    subject: Subject
    label: str
    faults: Mapping[str, Callable[[Random], object]] = field(default_factory=dict)
    heal: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        if "processes" not in self.subject.channel_type.capabilities:
            raise NotSupported(
                self.subject.name,
                f"sharing type {self.subject.type!r} between processes",
                "use a type with the capability 'processes'",
            )


@contextmanager
def open_target(channel: str, options: Mapping[str, Any] | None = None) -> Iterator[Target]:
    """Open the target that the option --channel names.

    Args:
        channel: ``redis``, ``mongo`` or ``mongo-replicas``, to start a server; a URL; or a type,
            with a temporary file or folder if it needs one.
        options: Options of the channel type.

    Raises:
        ServerMissing: The server is not installed; the message names the installation command.
        ChannelError: The channel does not exist, or processes cannot share it.
    """
    settings = dict(options or {})
    if channel in _SERVERS and "url" not in settings:
        with _start(channel) as server, Proxy(server.address) as proxy:
            yield on_server(server, proxy, **settings)
    elif ":" in channel:
        type = registry().find_scheme(urlsplit(channel).scheme)
        parsed = dict(type.parse_url(channel)) if type.parse_url else {}
        yield Target(Subject(type.name, {**parsed, **settings}), channel)
    else:
        with tempfile.TemporaryDirectory(prefix="ojobchannels-") as folder:
            paths = temporary_paths(registry().find(channel), settings, Path(folder))
            yield Target(Subject(channel, paths | settings), f"type {channel}")


def on_server(server: Server, proxy: Proxy, **options: Any) -> Target:
    """Return a target on a server behind a proxy; both were started for the test."""
    settings = {"timeout": _TIMEOUT} | options
    if isinstance(server, MongoServer):
        subject = Subject("mongo", {"url": server.url_at(proxy.address)} | settings)
        marker, version = b"ojob_", "replica set" if server.replica_set else "standalone"
    elif isinstance(server, RedisServer):
        subject = Subject("redis", {"url": server.url_at(proxy.address)} | settings)
        marker, version = b"EVALSHA", server.flavour.name
    else:
        raise TypeError(f"{server!r} is not a RedisServer or MongoServer")

    def cut(rng: Random) -> None:
        rng.choice([proxy.cut_reply, proxy.cut_request])(rng.randrange(1, 10), marker)

    def restart(rng: Random) -> None:
        rng.choice([server.shut_down, server.kill])()
        server.start()

    faults: dict[str, Callable[[Random], object]] = {
        "cut": cut,
        "reset": lambda _: proxy.reset(),
        "delay": lambda rng: proxy.delay(replies=rng.uniform(0.01, 0.3)),
        "restart": restart,
    }
    if isinstance(server, MongoServer) and server.replica_set:
        faults["stepdown"] = lambda _: _step_down(server)
    return Target(subject, f"type {subject.type} ({version})", faults, proxy.heal)


def _start(channel: str) -> Server:
    if channel == "redis":
        return RedisServer(options={"appendfsync": "always"})
    return MongoServer(replica_set=channel == "mongo-replicas")


def _step_down(server: MongoServer) -> None:
    try:
        mongo_wire.run_command(server.address, {"replSetStepDown": 1, "force": 1})
    except OSError:
        return  # the server closes the connection, or an election is in progress


if not TYPE_CHECKING:  # type checkers would accept any name
    __getattr__ = renamed(__name__, {"Arena": "Target", "open_arena": "open_target"})
