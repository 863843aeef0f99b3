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
from ojobchannels.testing.servers import (
    IgniteCluster,
    IgniteServer,
    MongoServer,
    PostgresServer,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    Server,
    ServerGroup,
)

SERVERS: Final[dict[str, Callable[[], Server]]] = {
    "redis": lambda: RedisServer(options={"appendfsync": "always"}),
    "mongo": MongoServer,
    "mongo-replicas": lambda: MongoServer(replica_set=True),
    "postgres": lambda: PostgresServer(durable=True),
    "ignite": lambda: IgniteServer(persistent=True),
}
GROUPS: Final[dict[str, Callable[[], ServerGroup]]] = {
    "redis-cluster": lambda: RedisCluster(replicated=True),
    "redis-sentinel": RedisSentinel,
    "ignite-cluster": IgniteCluster,
}
_TIMEOUT: Final = 5
_FAILOVER_TIMEOUT: Final = 20


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
        channel: A name in `SERVERS` or `GROUPS`, to start servers; a URL; or a type, with a
            temporary file or folder if it needs one.
        options: Options of the channel type.

    Raises:
        ServerMissing: The server is not installed; the message names the installation command.
        ChannelError: The channel does not exist, or processes cannot share it.
    """
    settings = dict(options or {})
    if channel in SERVERS and "url" not in settings:
        with SERVERS[channel]() as server, Proxy(server.address) as proxy:
            yield on_server(server, proxy, **settings)
    elif channel in GROUPS:
        with GROUPS[channel]() as group:
            yield on_group(group, **settings)
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
    settings = {"url": server.url_at(proxy.address), "timeout": _TIMEOUT} | options
    subject = Subject(server.channel_type, settings)

    def cut(rng: Random) -> None:
        rng.choice([proxy.cut_reply, proxy.cut_request])(rng.randrange(1, 10), server.marker)

    def restart(rng: Random) -> None:
        rng.choice([server.shut_down, server.kill])()
        server.start()

    faults: dict[str, Callable[[Random], object]] = {
        "cut": cut,
        "reset": lambda _: proxy.reset(),
        "delay": lambda rng: proxy.delay(replies=rng.uniform(0.01, 0.3)),
        "restart": restart,
        **_without_choice(server.faults),
    }
    return Target(subject, f"type {subject.type} ({server.label})", faults, proxy.heal)


def on_group(group: ServerGroup, **options: Any) -> Target:
    """Return a target on servers that replace each other; they were started for the test."""
    settings = {"timeout": _FAILOVER_TIMEOUT} | group.options | options
    subject = Subject(group.channel_type, settings)
    label = f"type {subject.type} ({group.label})"
    return Target(subject, label, _without_choice(group.faults))


def _without_choice(
    faults: Mapping[str, Callable[[], object]],
) -> dict[str, Callable[[Random], object]]:
    """Return faults that take random numbers, and need none."""
    return {name: lambda _, inject=inject: inject() for name, inject in faults.items()}  # type: ignore[misc]  # mypy cannot infer a lambda with a default


if not TYPE_CHECKING:  # type checkers would accept any name
    __getattr__ = renamed(__name__, {"Arena": "Target", "open_arena": "open_target"})
