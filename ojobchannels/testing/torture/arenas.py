"""Where a torture takes place: a channel, and the server and network that can be broken."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from ojobchannels.errors import NotSupported
from ojobchannels.plugins import registry
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import MongoServer, RedisServer, Server, mongo_wire

_SERVERS: Final = ("redis", "mongo", "mongo-replicas")
_TIMEOUT: Final = 5


@dataclass
class Arena:
    """A storage that processes can share.

    Attributes:
        subject: What the processes open.
        label: What the summary calls it.
        breaks: What can be done to its server and its connections, by the name of the fault.
        heal: Makes all well again.
    """

    subject: Subject
    label: str
    breaks: Mapping[str, Callable[[Random], object]] = field(default_factory=dict)
    heal: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        if "processes" not in self.subject.channel_type.capabilities:
            raise NotSupported(
                self.subject.name,
                f"processes that share it, being of type {self.subject.type!r}",
                "torture a type with the capability processes",
            )


@contextmanager
def open_arena(channel: str, options: Mapping[str, Any] | None = None) -> Iterator[Arena]:
    """Opens the place that a command line names.

    Args:
        channel: ``redis``, ``mongo`` or ``mongo-replicas``, for which a server is started that can
            be broken; a URL; or a type, whose file is a temporary one if it needs one.
        options: Options of the type.

    Raises:
        ServerMissing: The server is not installed; the message is the command that gets it.
        ChannelError: There is no such channel, or processes cannot share it.
    """
    given = dict(options or {})
    if channel in _SERVERS and "url" not in given:
        with _start(channel) as server, Proxy(server.address) as proxy:
            yield on_server(server, proxy, **given)
    elif ":" in channel:
        type = registry().find_scheme(urlsplit(channel).scheme)
        parsed = dict(type.parse_url(channel)) if type.parse_url else {}
        yield Arena(Subject(type.name, {**parsed, **given}), channel)
    else:
        with tempfile.TemporaryDirectory(prefix="ojobchannels-") as folder:
            needed = {one.name for one in registry().find(channel).options if one.required}
            if needed == {"file"}:
                given.setdefault("file", str(Path(folder, "channel")))
            yield Arena(Subject(channel, given), f"type {channel}")


def on_server(server: Server, proxy: Proxy, **options: Any) -> Arena:
    """Returns a place on a server behind a proxy; both were started to be broken."""
    settings = {"timeout": _TIMEOUT} | options
    if isinstance(server, MongoServer):
        subject = Subject("mongo", {"url": server.url_at(proxy.address)} | settings)
        marked, version = b"ojob_", "replica set" if server.replica_set else "alone"
    elif isinstance(server, RedisServer):
        subject = Subject("redis", {"url": server.url_at(proxy.address)} | settings)
        marked, version = b"EVALSHA", server.flavour.name
    else:
        raise TypeError(f"{server!r} is no server that a torture knows")

    def cut(dice: Random) -> None:
        dice.choice([proxy.cut_reply, proxy.cut_request])(dice.randrange(1, 10), marked)

    def restart(dice: Random) -> None:
        dice.choice([server.shut_down, server.kill])()
        server.start()

    breaks: dict[str, Callable[[Random], object]] = {
        "cut": cut,
        "reset": lambda _: proxy.reset(),
        "delay": lambda dice: proxy.delay(replies=dice.uniform(0.01, 0.3)),
        "restart": restart,
    }
    if isinstance(server, MongoServer) and server.replica_set:
        breaks["stepdown"] = lambda _: _step_down(server)
    return Arena(subject, f"type {subject.type} ({version})", breaks, proxy.heal)


def _start(channel: str) -> Server:
    if channel == "redis":
        return RedisServer(options={"appendfsync": "always"})
    return MongoServer(replica_set=channel == "mongo-replicas")


def _step_down(server: MongoServer) -> None:
    try:
        mongo_wire.ask(server.address, {"replSetStepDown": 1, "force": 1})
    except OSError:
        return  # it ends the connection, or is about to elect somebody
