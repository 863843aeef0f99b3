"""The options of the channel type, as keywords and in URLs, and the settings made of them.

No message and no repr in this module shows a password.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ojobchannels.hookspecs import Option
from ojobchannels.host.clock import HOST_CLOCK
from ojobchannels.plugins import absolute
from ojobchannels.remote import redact
from ojobchannels.remote.options import (
    TLS_OPTIONS,
    Address,
    Tls,
    addresses_of,
    check_port,
    check_texts,
    check_timeout,
    query_of,
    refuse,
    tls_of,
)

DEFAULT_PORT: Final = 10800

# What may hold a password has the type `object`: the core quotes a value of the wrong type.
OPTIONS: Final = (
    Option("url", object, "URL of the nodes, in place of the options that it can express"),
    Option("host", str, "name or address of a node", "localhost"),
    Option("port", int, "TCP port of the node for thin clients", DEFAULT_PORT),
    Option("nodes", object, "list of nodes, host:port each, in place of host and port"),
    Option("gridName", str, "name of the grid, a prefix of the name of the cache"),
    Option("cacheName", str, "name of the cache, which is created if necessary", "ojobchannels"),
    Option("backups", int, "how many further nodes have a copy of each entry of a new cache", 1),
    Option("minNodes", int, "how many nodes must be connected to grant or extend a lock", 1),
    Option("username", str, "name of the user"),
    Option("password", object, "password of the user"),
    *TLS_OPTIONS,
    Option("timeout", float, "timeout in seconds of a call, with all its retries", 10.0),
    Option("clock", object, "clock on which leases count their own deadlines", HOST_CLOCK),
)
_DEFAULTS: Final = {option.name: option.default for option in OPTIONS}
_PATHS: Final = {option.name for option in OPTIONS if option.is_path}
_IN_URL: Final = {"url", "host", "port", "nodes", "cacheName", "clock"}
_IN_QUERY: Final = [option for option in OPTIONS if option.name not in _IN_URL]
_URL_ADVICE: Final = (
    "write ignite://user:password@host:port,host:port/cacheName, or ignites://… for TLS; special "
    "characters in names and passwords are written %XX"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_MOST_BACKUPS: Final = 15


@dataclass(frozen=True)
class Settings:
    """How to reach a cluster, and which cache. Handles with equal settings share connections."""

    nodes: tuple[Address, ...]
    cache: str
    backups: int
    min_nodes: int
    username: str | None
    password: str | None = field(repr=False)
    tls: Tls | None
    timeout: float

    def __str__(self) -> str:
        return ", ".join(map(str, self.nodes))

    def redact(self, text: str) -> str:
        """Return the text without the passwords that a server may have quoted in it."""
        return redact(text, (self.password, self.tls.key_password if self.tls else None))


def parse_url(url: str) -> dict[str, Any]:
    """Return the options that a URL expresses.

    Raises:
        InvalidOption: The URL is not valid. The message omits what may be a password.
    """
    parts = None
    with suppress(ValueError):  # its message quotes the URL
        parts = urlsplit(url)
    if parts is None:
        advice = "list the nodes in the option nodes if several have IPv6 addresses"
        refuse("URL", "its hosts or ports are not valid", advice)
    if parts.scheme not in ("ignite", "ignites"):
        refuse("URL", f"its scheme is {parts.scheme!r}", _URL_ADVICE)
    if parts.fragment or "@" in parts.path + parts.query:  # this may be the end of a password
        refuse("URL", "it has a # or @ after the host", _URL_ADVICE)
    login, _, hosts = parts.netloc.rpartition("@")
    options: dict[str, Any] = {}
    if login:
        options["username"], _, options["password"] = map(unquote, login.partition(":"))
    if hosts:
        options["nodes"] = addresses_of("URL", list(map(_with_port, hosts.split(","))))
    if parts.scheme == "ignites":
        options["tls"] = True
    if cache := unquote(parts.path.strip("/")):
        options["cacheName"] = cache
    return options | query_of(parts.query, _IN_QUERY, options)


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Check options that are complete, and return the settings.

    Raises:
        InvalidOption: Options contradict each other, or one is out of range.
    """
    values = dict(options)
    if values["url"] is not None:
        if not isinstance(values["url"], str):
            refuse("option 'url'", "it is not a string", _URL_ADVICE)
        for name, value in parse_url(values["url"]).items():
            if name in _PATHS:
                value = absolute(name, value)
            if values[name] not in (value, _DEFAULTS[name]):
                refuse(f"option {name!r}", "the url has another value", "pass it once")
            values[name] = value
    check_texts(values, ("password", "tls_key_password"))
    check_timeout(values["timeout"])
    if (values["username"] is None) != (values["password"] is None):
        reason = "one of them is missing"
        refuse("options 'username' and 'password'", reason, "pass both or neither")
    if not 0 <= values["backups"] <= _MOST_BACKUPS:
        advice = f"pass 1 or more, at most {_MOST_BACKUPS}; with 0, a node that fails takes entries"
        refuse("option 'backups'", f"{values['backups']} is out of range", advice)
    if values["minNodes"] < 1:
        advice = "pass more than half of the number of nodes, or 1 not to check it"
        refuse("option 'minNodes'", f"{values['minNodes']} is out of range", advice)
    return Settings(
        _nodes(values),
        _cache(values),
        values["backups"],
        values["minNodes"],
        values["username"],
        values["password"],
        tls_of(values, "use ignites://, or tls: true"),
        values["timeout"],
    )


def _nodes(values: Mapping[str, Any]) -> tuple[Address, ...]:
    if values["nodes"] is None:
        check_port(values["port"])
        return (Address(values["host"], values["port"]),)
    if (values["host"], values["port"]) != (_DEFAULTS["host"], _DEFAULTS["port"]):
        refuse("option 'nodes'", "host or port is set, too", "list that node, too")
    nodes = values["nodes"]
    listed = nodes.split(",") if isinstance(nodes, str) else nodes
    if isinstance(listed, list):
        listed = [_with_port(node) if isinstance(node, str) else node for node in listed]
    return addresses_of("option 'nodes'", listed)


def _cache(values: Mapping[str, Any]) -> str:
    for name in ("gridName", "cacheName"):
        text = values[name]
        if text is not None and not _NAME.fullmatch(text):
            reason = f"{text!r} is not a valid name"
            advice = "use 1 to 100 letters, digits and _ . : -, beginning with a letter or digit"
            refuse(f"option {name!r}", reason, advice)
    return ".".join(filter(None, (values["gridName"], values["cacheName"])))


def _with_port(node: str) -> str:
    node = node.strip()
    has_port = ":" in node.rpartition("]")[2] if node.startswith("[") else ":" in node
    return node if has_port else f"{node}:{DEFAULT_PORT}"
