"""The options of the channel type, and the settings made of them.

No message and no repr in this module shows a password.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from ojobchannels.errors import InvalidOption
from ojobchannels.hookspecs import Option
from ojobchannels.host.clock import HOST_CLOCK
from ojobchannels.plugins import absolute
from ojobchannels.remote import redact
from ojobchannels.remote.options import check_timeout

SCHEMES: Final = ("postgresql://", "postgres://")

# What may hold a password has the type `object`: the core quotes a value of the wrong type.
OPTIONS: Final = (
    Option("url", object, "URL of the server and database", "postgresql://localhost"),
    Option("username", str, "name of the user, in place of the one in the URL"),
    Option("password", object, "password of the user, in place of the one in the URL"),
    Option("schema", str, "schema of the tables; by default that of the URL, or ojobchannels"),
    Option("listen_url", object, "URL of a direct connection, where `url` is that of a pooler"),
    Option("prepare", bool, "prepare statements; by default only where no pooler is noticed"),
    Option("timeout", float, "timeout in seconds of a call, with all its retries", 10.0),
    Option("clock", object, "clock on which leases count their own deadlines", HOST_CLOCK),
)

DEFAULT_SCHEMA: Final = "ojobchannels"
URL_ADVICE: Final = (
    "write postgresql://user:password@host:port/database?option=value; special characters in names "
    "and passwords are written %XX"
)
_IN_URL: Final = ("schema", "listen_url")
_SCHEMA: Final = re.compile(r"[^\0\"]{1,63}")
_FILES: Final = {"sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile"}
_WORDS: Final = {"system"}  # of sslrootcert: not a path
_SECRETS: Final = {"password", "sslpassword"}
_LAST_PORT: Final = 65_535


@dataclass(frozen=True)
class Settings:
    """Which server and schema. Handles with equal settings share connections.

    Attributes:
        url: The URL for libpq.
        listen_url: The URL by which notifications arrive.
    """

    url: str = field(repr=False)
    listen_url: str = field(repr=False)
    username: str | None
    password: str | None = field(repr=False)
    schema: str
    prepare: bool | None
    timeout: float

    @cached_property
    def events(self) -> str:
        """The name of the channel of LISTEN and NOTIFY; identifiers have at most 63 bytes."""
        return f"ojob_{sha256(self.schema.encode()).hexdigest()[:32]}"

    def redact(self, text: str) -> str:
        """Return the text without the passwords that a driver may have quoted in it."""
        return redact(text, self._secrets())

    def _secrets(self) -> set[str]:
        secrets = {self.password or ""}
        for url in (self.url, self.listen_url):
            parts = urlsplit(url)
            inline = parts.netloc.rpartition("@")[0].partition(":")[2]
            secrets |= {inline, unquote(inline)}
            secrets |= {text for name, text in parse_qsl(parts.query) if name in _SECRETS}
        return secrets - {""}


def parse_url(url: str) -> dict[str, Any]:
    """Return the URL as an option; `settings_of` takes it apart."""
    return {"url": url}


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Check options that are complete, and return the settings.

    Raises:
        InvalidOption: One is not valid. The message omits what may be a password.
    """
    url, own = _split("url", options["url"])
    password = options["password"]
    if password is not None and not isinstance(password, str):
        reason = f"it is {type(password).__name__}, not a string"
        raise InvalidOption("option 'password'", reason, "put it in quotes")
    if password is not None and options["username"] is None:
        reason = "it is set without a username"
        raise InvalidOption("option 'password'", reason, "pass both or neither")
    schema = options["schema"] or own.get("schema", DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema) or len(schema.encode()) > 63 or schema.startswith("pg_"):
        reason = f"{schema!r} is not a valid name of a schema"
        advice = 'use up to 63 bytes, without double quotes, that do not begin with "pg_"'
        raise InvalidOption("option 'schema'", reason, advice)
    check_timeout(options["timeout"])
    listen_url = options["listen_url"] or own.get("listen_url") or url
    return Settings(
        url,
        _split("listen_url", listen_url)[0],
        options["username"],
        password,
        schema,
        options["prepare"],
        options["timeout"],
    )


def _split(option: str, url: object) -> tuple[str, dict[str, str]]:
    """Return the URL without the parameters that are ours, and these."""
    try:
        if not isinstance(url, str) or not url.startswith(SCHEMES) or "\0" in url:
            raise ValueError
        parts = urlsplit(url)
        _check_hosts(parts)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        reason = "it is not a PostgreSQL URL"
        raise InvalidOption(f"option {option!r}", reason, URL_ADVICE) from None
    rest = [(name, _absolute(name, text)) for name, text in query if name not in _IN_URL]
    own = {name: text for name, text in query if name in _IN_URL}
    # The rest of the URL stays as it is written: libpq reads host lists that urlsplit does not.
    base = url.partition("#")[0].partition("?")[0]
    return (f"{base}?{urlencode(rest, quote_via=quote)}" if rest else base), own


def _check_hosts(parts: SplitResult) -> None:
    """Raise ValueError where libpq would quote the rest of a password as a host or a port."""
    login, _, hosts = parts.netloc.rpartition("@")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts.split(",")]
    if (
        "@" in login + parts.path
        or parts.fragment
        or any(port and not (port.isdecimal() and 0 < int(port) <= _LAST_PORT) for port in ports)
    ):
        raise ValueError


def _absolute(name: str, text: str) -> str:
    """Return a parameter with its path made absolute: the file may be read again later."""
    return absolute("url", text) if name in _FILES and text not in _WORDS else text
