"""The options of the channel type, as keywords and in URLs, and the settings that they come to.

No message and no representation of what is here tells a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from ojobchannels.errors import InvalidOption
from ojobchannels.hookspecs import Option
from ojobchannels.host.clock import HOST_CLOCK

# What may hold a password has the type `object`: the core quotes a value of the wrong type.
OPTIONS: Final = (
    Option("url", object, "URL of the server, in the place of the options that it can tell"),
    Option("host", str, "name or address of the server", "localhost"),
    Option("port", int, "TCP port of the server", 6379),
    Option("path", str, "path of the server's Unix socket, in the place of host and port"),
    Option("db", int, "number of the database", 0),
    Option("username", str, "name of the ACL user"),
    Option("password", object, "password of the user"),
    Option("tls", bool, "speak TLS with the server", False),
    Option("tls_ca", str, "path of the certificates to trust, instead of the system's"),
    Option("tls_cert", str, "path of the client's certificate"),
    Option("tls_key", str, "path of the client's private key"),
    Option("tls_key_password", object, "password of the client's private key"),
    Option("tls_verify", bool, "check the server's certificate and name", True),
    Option("sentinels", object, "list of the Sentinels, host:port each, in the place of host"),
    Option("service", str, "name by which the Sentinels know the primary server"),
    Option("sentinel_username", str, "name of the ACL user at the Sentinels"),
    Option("sentinel_password", object, "password of that user"),
    Option("cluster", bool, "the server is one node of a Redis Cluster", False),
    Option("prefix", str, "how the name of every key begins", "ojob"),
    Option("timeout", float, "seconds that a call may take, with all that is tried again", 5.0),
    Option("clock", object, "the clock that leases' own deadlines are counted on", HOST_CLOCK),
)
_DEFAULTS: Final = {option.name: option.default for option in OPTIONS}
_IN_QUERY: Final = _DEFAULTS.keys() - {"url", "host", "port", "clock"}
_URL_ADVICE: Final = (
    "write redis://user:password@host:port/db, rediss://… for TLS, or unix:///path/of/socket; "
    "special characters in names and passwords are written %XX"
)


class Address(NamedTuple):
    """Where a server listens: a host and a port, or the path of a socket and 0."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else self.host


class Tls(NamedTuple):
    """How to speak TLS."""

    ca: str | None
    cert: str | None
    key: str | None
    key_password: str | None
    verify: bool

    @property
    def word(self) -> str:
        """The password of the key; never None, for which OpenSSL would ask at the terminal."""
        return self.key_password or ""

    def __repr__(self) -> str:
        return f"Tls(ca={self.ca!r}, cert={self.cert!r}, verify={self.verify})"


@dataclass(frozen=True)
class Settings:
    """How to reach a server. What is equal here shares connections."""

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
        places = ", ".join(map(str, self.addresses))
        return f"{self.service!r} of the Sentinels {places}" if self.service else places

    def redact(self, text: str) -> str:
        """Returns the text without the passwords that a server may have quoted in it."""
        key_password = self.tls.key_password if self.tls else None
        for secret in (self.password, self.sentinel_password, key_password):
            if secret:
                text = text.replace(secret, "***")
        return text


def parse_url(url: str) -> dict[str, Any]:
    """Turns a URL into options.

    Raises:
        InvalidOption: It cannot be read. The message leaves out what may be a password.
    """
    port = None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts = None  # what that error quotes shall not stand behind ours
    if parts is None:
        _refuse("URL", "its address or port cannot be read", _URL_ADVICE)
    if parts.fragment or "@" in parts.path + parts.query:  # the tail of a password, it may be
        _refuse("URL", "it has a # or @ behind the address", _URL_ADVICE)
    found: dict[str, Any] = {
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "tls": True if parts.scheme == "rediss" else None,
    }
    if parts.scheme == "unix":
        if parts.hostname or len(parts.path) < 2:
            _refuse("URL", "it names no absolute path of a socket", _URL_ADVICE)
        found["path"] = unquote(parts.path)
    elif parts.scheme in ("redis", "rediss"):
        found |= {"host": parts.hostname, "port": port}
        if database := parts.path.strip("/"):
            found["db"] = _number("db", database)
    else:
        _refuse("URL", f"its scheme is {parts.scheme!r}", _URL_ADVICE)
    found = {name: value for name, value in found.items() if value is not None}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _IN_QUERY:
            _refuse("URL", f"it has the parameter {name!r}", f"known are {_listed(_IN_QUERY)}")
        if name in found:
            _refuse("URL", f"it tells {name} twice", "tell it once")
        found[name] = _from_text(name, text)
    return found


def settle(options: Mapping[str, Any]) -> tuple[Settings, str]:
    """Checks options that are complete, and returns the settings and the prefix of the keys.

    Raises:
        InvalidOption: Some do not go together, or one is out of range.
    """
    told = dict(options)
    if told["url"] is not None:
        if not isinstance(told["url"], str):
            _refuse("option 'url'", "it is no text", _URL_ADVICE)
        for name, value in parse_url(told["url"]).items():
            if told[name] not in (value, _DEFAULTS[name]):
                _refuse(f"option {name!r}", "the url tells another", "tell it once")
            told[name] = value
    for name in ("password", "tls_key_password", "sentinel_password"):
        if told[name] is not None and not isinstance(told[name], str):
            _refuse(f"option {name!r}", "it is no text", "put it in quotes")
    if not 0 < told["timeout"] <= 3600:
        _refuse("option 'timeout'", "it is out of range", "give seconds, an hour at most")
    if told["db"] < 0:
        _refuse("option 'db'", "it is below 0", "give the number of a database")
    sentinels = _sentinels(told)
    if told["cluster"] and (sentinels or told["path"] or told["db"]):
        _refuse(
            "option 'cluster'",
            "a Redis Cluster has neither Sentinels, nor Unix sockets, nor databases but 0",
            "give host and port of one of its nodes, and no db",
        )
    settings = Settings(
        addresses=sentinels or (_address(told),),
        db=told["db"],
        username=told["username"],
        password=told["password"],
        tls=_tls(told),
        service=told["service"],
        sentinel_username=told["sentinel_username"],
        sentinel_password=told["sentinel_password"],
        cluster=told["cluster"],
        timeout=told["timeout"],
    )
    return settings, _prefix(told["prefix"])


def _prefix(prefix: str) -> str:
    if not prefix or set(prefix) & set("{}\0"):
        _refuse(
            "option 'prefix'",
            f"{prefix!r} is empty, or has a brace or NUL in it",
            "a prefix such as ojob or team-a:ojob keeps our keys apart from others",
        )
    return prefix


def _address(told: Mapping[str, Any]) -> Address:
    if told["path"] is None:
        if not 0 < told["port"] < 65536:
            _refuse("option 'port'", f"{told['port']} is no TCP port", "give one below 65536")
        return Address(told["host"], told["port"])
    if told["tls"] or (told["host"], told["port"]) != (_DEFAULTS["host"], _DEFAULTS["port"]):
        _refuse("option 'path'", "a Unix socket has no host, port or TLS", "give one or the other")
    return Address(told["path"], 0)


def _sentinels(told: Mapping[str, Any]) -> tuple[Address, ...]:
    given = told["sentinels"]
    if (given is None) != (told["service"] is None):
        _refuse(
            "options 'sentinels' and 'service'",
            "one of them is missing",
            "name the Sentinels, and the service by which they know the primary server",
        )
    if given is None:
        return ()
    entries = given.split(",") if isinstance(given, str) else given
    try:
        found = tuple(map(_sentinel, entries))
    except (TypeError, ValueError):
        found = ()
    if not found or told["path"]:
        _refuse("option 'sentinels'", "they cannot be read", "give a list of host:port")
    return found


def _sentinel(entry: Any) -> Address:
    host, port = entry.strip().rsplit(":", 1) if isinstance(entry, str) else entry
    return Address(str(host).strip("[]"), int(port))


def _tls(told: Mapping[str, Any]) -> Tls | None:
    names = ("tls_ca", "tls_cert", "tls_key", "tls_key_password", "tls_verify")
    if not told["tls"]:
        for name in names:
            if told[name] != _DEFAULTS[name]:
                _refuse(f"option {name!r}", "TLS is off", "write rediss://, or tls: true")
        return None
    if told["tls_key"] is not None and told["tls_cert"] is None:
        _refuse("option 'tls_cert'", "there is a tls_key without it", "give the certificate too")
    return Tls(*(told[name] for name in names))


def _from_text(name: str, text: str) -> Any:
    kind = next(option.type for option in OPTIONS if option.name == name)
    if kind is bool:
        if text not in ("true", "false"):
            _refuse(f"option {name!r}", f"{text!r} is neither true nor false", "write one of them")
        return text == "true"
    return _number(name, text) if kind in (int, float) else text


def _number(name: str, text: str) -> float:
    try:
        return float(text) if name == "timeout" else int(text)
    except ValueError:
        _refuse(f"option {name!r}", f"{text!r} is no number", "give a number")


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))


def _refuse(option: str, reason: str, advice: str) -> NoReturn:
    raise InvalidOption(option, reason, advice) from None
