"""The options of the channel type, as keywords and in URLs, and the settings made of them.

No message and no repr in this module shows a password.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
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
    number_of,
    query_of,
    refuse,
    tls_of,
)

# What may hold a password has the type `object`: the core quotes a value of the wrong type.
OPTIONS: Final = (
    Option("url", object, "URL of the server, in place of the options that it can express"),
    Option("host", str, "name or address of the server", "localhost"),
    Option("port", int, "TCP port of the server", 6379),
    Option(
        "path", str, "path of the server's Unix socket, in place of host and port", is_path=True
    ),
    Option("db", int, "number of the database", 0),
    Option("username", str, "name of the ACL user"),
    Option("password", object, "password of the user"),
    *TLS_OPTIONS,
    Option("sentinels", object, "list of the Sentinels, host:port each, in place of host"),
    Option("service", str, "name by which the Sentinels know the primary server"),
    Option("sentinel_username", str, "name of the ACL user at the Sentinels"),
    Option("sentinel_password", object, "password of the ACL user at the Sentinels"),
    Option("cluster", bool, "the server is one node of a Redis Cluster", False),
    Option("prefix", str, "prefix of the name of every key", "ojob"),
    Option("timeout", float, "timeout in seconds of a call, with all its retries", 5.0),
    Option("clock", object, "clock on which leases count their own deadlines", HOST_CLOCK),
)
_DEFAULTS: Final = {option.name: option.default for option in OPTIONS}
_PATHS: Final = {option.name for option in OPTIONS if option.is_path}
_IN_QUERY: Final = [one for one in OPTIONS if one.name not in ("url", "host", "port", "clock")]
_URL_ADVICE: Final = (
    "write redis://user:password@host:port/db, rediss://… for TLS, or unix:///path/of/socket; "
    "special characters in names and passwords are written %XX"
)


@dataclass(frozen=True)
class Settings:
    """How to reach a server. Handles with equal settings share connections."""

    addresses: tuple[Address, ...]
    db: int
    username: str | None
    password: str | None = field(repr=False)
    tls: Tls | None
    service: str | None
    sentinel_username: str | None
    sentinel_password: str | None = field(repr=False)
    cluster: bool
    timeout: float

    def __str__(self) -> str:
        addresses = ", ".join(map(str, self.addresses))
        return f"{self.service!r} of the Sentinels {addresses}" if self.service else addresses

    def redact(self, text: str) -> str:
        """Return the text without the passwords that a server may have quoted in it."""
        key_password = self.tls.key_password if self.tls else None
        login = self.username if self.password is None else self.password  # redis://PASSWORD@host
        return redact(text, (login, self.sentinel_password, key_password))


def parse_url(url: str) -> dict[str, Any]:
    """Return the options that a URL expresses.

    Raises:
        InvalidOption: The URL is not valid. The message omits what may be a password.
    """
    port = None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts = None  # its error quotes the URL, and must not become the cause of ours
    if parts is None:
        refuse("URL", "its host or port is not valid", _URL_ADVICE)
    if parts.fragment or "@" in parts.path + parts.query:  # this may be the end of a password
        refuse("URL", "it has a # or @ after the host", _URL_ADVICE)
    options: dict[str, Any] = {
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "tls": True if parts.scheme == "rediss" else None,
    }
    if parts.scheme == "unix":
        if parts.hostname or len(parts.path) < 2:
            refuse("URL", "it has no absolute path of a socket", _URL_ADVICE)
        options["path"] = unquote(parts.path)
    elif parts.scheme in ("redis", "rediss"):
        options |= {"host": parts.hostname, "port": port}
        if database := parts.path.strip("/"):
            options["db"] = number_of("db", database)
    else:
        refuse("URL", f"its scheme is {parts.scheme!r}", _URL_ADVICE)
    options = {name: value for name, value in options.items() if value is not None}
    return options | query_of(parts.query, _IN_QUERY, options)


def settings_of(options: Mapping[str, Any]) -> tuple[Settings, str]:
    """Check options that are complete; return the settings, and the prefix of the keys.

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
    check_texts(values, ("password", "tls_key_password", "sentinel_password"))
    check_timeout(values["timeout"])
    if values["db"] < 0:
        refuse("option 'db'", "it is below 0", "pass the number of a database")
    sentinels = _sentinels(values)
    if values["cluster"] and (sentinels or values["path"] or values["db"]):
        reason = "a Redis Cluster has no Sentinels, no Unix sockets, and database 0 only"
        advice = "pass host and port of one of its nodes, and no db"
        refuse("option 'cluster'", reason, advice)
    made = {
        "addresses": sentinels or (_address(values),),
        "tls": tls_of(values, "use rediss://, or tls: true"),
    }
    settings = Settings(**{part.name: (values | made)[part.name] for part in fields(Settings)})
    return settings, _prefix(values["prefix"])


def _prefix(prefix: str) -> str:
    if not prefix or set(prefix) & set("{}\0"):
        reason = f"{prefix!r} is empty, or contains a brace or NUL"
        advice = "use a prefix such as ojob or team-a:ojob"
        refuse("option 'prefix'", reason, advice)
    return prefix


def _address(values: Mapping[str, Any]) -> Address:
    if values["path"] is None:
        check_port(values["port"])
        return Address(values["host"], values["port"])
    if values["tls"] or (values["host"], values["port"]) != (_DEFAULTS["host"], _DEFAULTS["port"]):
        refuse(
            "option 'path'", "a Unix socket has no host, port or TLS", "remove path, or the others"
        )
    return Address(values["path"], 0)


def _sentinels(values: Mapping[str, Any]) -> tuple[Address, ...]:
    sentinels = values["sentinels"]
    if (sentinels is None) != (values["service"] is None):
        reason = "one of them is missing"
        advice = "pass the Sentinels, and the service name by which they know the primary server"
        refuse("options 'sentinels' and 'service'", reason, advice)
    if sentinels is None:
        return ()
    if values["path"]:
        refuse("option 'path'", "Sentinels name a host and a port", "remove path, or the Sentinels")
    return addresses_of("option 'sentinels'", sentinels)
