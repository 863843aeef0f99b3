"""The options of the channel type, and the settings made of them.

No message and no repr in this module shows a password.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

from ojobchannels.errors import InvalidOption
from ojobchannels.hookspecs import Option
from ojobchannels.host.clock import HOST_CLOCK
from ojobchannels.plugins import absolute
from ojobchannels.remote import redact

DEFAULT_DATABASE: Final = "ojobchannels"

# What may hold a password has the type `object`: the core quotes a value of the wrong type.
OPTIONS: Final = (
    Option("url", object, "URL of the server or replica set", "mongodb://localhost:27017"),
    Option("username", str, "name of the user, in place of the one in the URL"),
    Option("password", object, "password of the user, in place of the one in the URL"),
    Option("database", str, "name of the database; by default that of the URL, or ojobchannels"),
    Option("prefix", str, "prefix of the names of the collections", "ojob"),
    Option("timeout", float, "timeout in seconds of a call, with all its retries", 10.0),
    Option("clock", object, "clock on which leases count their own deadlines", HOST_CLOCK),
)

URL_ADVICE: Final = (
    "write mongodb://user:password@host:port/database?option=value, or mongodb+srv://…; special "
    "characters in names and passwords are written %XX"
)
_LOGIN: Final = re.compile(r"://([^@]*:)?(?P<password>.*)@", re.DOTALL)
_CLEAR: Final = re.compile(r"[a-z+]+://([^/?#@]*@)?[^/?#@]+([/?][^@]*)?")
_FILE: Final = re.compile(
    r"(?P<name>[?&](?:tlsCAFile|tlsCertificateKeyFile|tlsCRLFile)=)(?P<path>[^&]+)", re.IGNORECASE
)
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_DATABASE: Final = re.compile(r"[^/\\. \"$*<>:|?\0]{1,63}")


@dataclass(frozen=True)
class Settings:
    """Which server and database. Handles with equal settings share a client."""

    url: str = field(repr=False)
    username: str | None
    password: str | None = field(repr=False)
    database: str | None
    prefix: str

    def redact(self, text: str) -> str:
        """Return the text without the passwords that a driver may have quoted in it."""
        return redact(text, self._secrets())

    @property
    def may_hide_secrets(self) -> bool:
        """Whether a message that quotes the URL may show a password, or a part of one."""
        return "@" in self.url or "pass" in self.url.lower() or "token" in self.url.lower()

    @property
    def is_clear(self) -> bool:
        """Whether it is unambiguous where in the URL the login ends and the host begins."""
        return _CLEAR.fullmatch(self.url) is not None

    def _secrets(self) -> set[str]:
        login = _LOGIN.search(self.url)
        inline = login["password"] if login else ""
        secrets = {inline, unquote_plus(inline), self.password or ""}
        for name, _, value in (part.partition("=") for part in re.split("[?&]", self.url)):
            if name.lower() == "tlscertificatekeyfilepassword":
                secrets |= {value, unquote_plus(value)}
        return secrets - {""}


def parse_url(url: str) -> dict[str, Any]:
    """Return the URL as an option; the driver parses it."""
    return {"url": url}


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Check options that are complete, and return the settings.

    Raises:
        InvalidOption: One is not valid. The message omits what may be a password.
    """
    url, password = options["url"], options["password"]
    if not isinstance(url, str) or not url.startswith(("mongodb://", "mongodb+srv://")):
        raise InvalidOption("option 'url'", "it is not a MongoDB URL", URL_ADVICE)
    if password is not None and not isinstance(password, str):
        reason = f"it is {type(password).__name__}, not a string"
        advice = "put it in quotes"
        raise InvalidOption("option 'password'", reason, advice)
    if password is not None and options["username"] is None:
        raise InvalidOption(
            "option 'password'", "it is set without a username", "pass both or neither"
        )
    prefix, database = options["prefix"], options["database"]
    if not _PREFIX.fullmatch(prefix):
        reason = f"{prefix!r} is not a valid prefix of collection names"
        advice = "use 1 to 60 letters, digits, - and _"
        raise InvalidOption("option 'prefix'", reason, advice)
    if database is not None and not _DATABASE.fullmatch(database):
        reason = f"{database!r} is not a valid database name"
        advice = 'use 1 to 63 characters without space and /\\."$*<>:|?'
        raise InvalidOption("option 'database'", reason, advice)
    if not options["timeout"] > 0:
        raise InvalidOption("option 'timeout'", "it is not positive", "pass seconds")
    return Settings(_FILE.sub(_absolute, url), options["username"], password, database, prefix)


def _absolute(file: re.Match[str]) -> str:
    """Return an option of a URL with its path made absolute: the file may be read again later."""
    path = unquote_plus(file["path"])
    made = absolute("url", path)
    return file[0] if made == path else f"{file['name']}{quote_plus(made)}"
