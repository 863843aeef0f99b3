"""The options of the channel type, and the settings that they come to.

No message and no representation of what is here tells a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_plus

from ojobchannels.errors import InvalidOption
from ojobchannels.hookspecs import Option
from ojobchannels.host.clock import HOST_CLOCK

DEFAULT_DATABASE: Final = "ojobchannels"

# What may hold a password has the type `object`: the core quotes a value of the wrong type.
OPTIONS: Final = (
    Option("url", object, "URL of the server or replica set", "mongodb://localhost:27017"),
    Option("username", str, "name of the user, in the place of the URL's"),
    Option("password", object, "password of the user, in the place of the URL's"),
    Option("database", str, "name of the database; the URL's, or ojobchannels"),
    Option("prefix", str, "how the names of the collections begin", "ojob"),
    Option("timeout", float, "seconds that a call may take, with all that is tried again", 10.0),
    Option("clock", object, "the clock that leases' own deadlines are counted on", HOST_CLOCK),
)

URL_ADVICE: Final = (
    "write mongodb://user:password@host:port/database?option=value, or mongodb+srv://…; special "
    "characters in names and passwords are written %XX"
)
_LOGIN: Final = re.compile(r"://([^@]*:)?(?P<password>.*)@", re.DOTALL)
_CLEAR: Final = re.compile(r"[a-z+]+://([^/?#@]*@)?[^/?#@]+([/?][^@]*)?")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_DATABASE: Final = re.compile(r"[^/\\. \"$*<>:|?\0]{1,63}")


@dataclass(frozen=True)
class Settings:
    """Which server, and where in it. Handles of equal settings share a client."""

    url: str = field(repr=False)
    username: str | None
    password: str | None = field(repr=False)
    database: str | None
    prefix: str

    def redact(self, text: str) -> str:
        """Returns the text without the passwords that it may quote."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return text

    @property
    def may_hide_secrets(self) -> bool:
        """Whether a message that quotes the URL may tell a password, or a part of one."""
        return "@" in self.url or "pass" in self.url.lower() or "token" in self.url.lower()

    @property
    def is_clear(self) -> bool:
        """Whether it is beyond doubt where in the URL the login ends and the host begins."""
        return _CLEAR.fullmatch(self.url) is not None

    def _secrets(self) -> set[str]:
        found = _LOGIN.search(self.url)
        inline = found["password"] if found else ""
        secrets = {inline, unquote_plus(inline), self.password or ""}
        for name, _, value in (part.partition("=") for part in re.split("[?&]", self.url)):
            if name.lower() == "tlscertificatekeyfilepassword":
                secrets |= {value, unquote_plus(value)}
        return secrets - {""}


def parse_url(url: str) -> dict[str, Any]:
    """Turns a URL into options; the driver reads the rest of it."""
    return {"url": url}


def settle(options: Mapping[str, Any]) -> Settings:
    """Checks options that are complete.

    Raises:
        InvalidOption: One is wrong. The message leaves out what may be a password.
    """
    url, password = options["url"], options["password"]
    if not isinstance(url, str) or not url.startswith(("mongodb://", "mongodb+srv://")):
        raise InvalidOption("option 'url'", "it is no URL of MongoDB", URL_ADVICE)
    if password is not None and not isinstance(password, str):
        raise InvalidOption(
            "option 'password'", f"it is {type(password).__name__}, not text", "quote it"
        )
    if password is not None and options["username"] is None:
        raise InvalidOption("option 'password'", "there is no username", "give both or neither")
    prefix, database = options["prefix"], options["database"]
    if not _PREFIX.fullmatch(prefix):
        raise InvalidOption(
            "option 'prefix'",
            f"{prefix!r} cannot begin the name of a collection",
            "use 1 to 60 letters, digits, - and _",
        )
    if database is not None and not _DATABASE.fullmatch(database):
        raise InvalidOption(
            "option 'database'",
            f"{database!r} is no name of a database",
            'use 1 to 63 characters without space and /\\."$*<>:|?',
        )
    if not options["timeout"] > 0:
        raise InvalidOption("option 'timeout'", "it is not positive", "give seconds")
    return Settings(url, options["username"], password, database, prefix)
