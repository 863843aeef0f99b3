"""What the options of networked channel types share: addresses, TLS, and parameters of URLs.

No message and no repr in this module shows a password.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn
from urllib.parse import parse_qsl

from ojobchannels.errors import InvalidOption
from ojobchannels.hookspecs import Option
from ojobchannels.plain_numbers import number

if TYPE_CHECKING:
    import ssl

# What may hold a password has the type `object`: the core quotes a value of the wrong type.
TLS_OPTIONS: Final = (
    Option("tls", bool, "connect to the server with TLS", False),
    Option(
        "tls_ca", str, "path of the certificates to trust, instead of the system's", is_path=True
    ),
    Option("tls_cert", str, "path of the client's certificate", is_path=True),
    Option("tls_key", str, "path of the client's private key", is_path=True),
    Option("tls_key_password", object, "password of the client's private key"),
    Option("tls_verify", bool, "check the server's certificate and name", True),
)
MAX_PORT: Final = 65535
_LONGEST_TIMEOUT: Final = 3600


class Address(NamedTuple):
    """Where a server listens: a host and a port, or the path of a Unix socket and port 0."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else self.host


class Tls(NamedTuple):
    """The options of TLS."""

    ca: str | None
    cert: str | None
    key: str | None
    key_password: str | None
    verify: bool

    @property
    def password(self) -> str:
        """The password of the key; never None, for which OpenSSL would ask at the terminal."""
        return self.key_password or ""

    def context(self) -> ssl.SSLContext:
        """Return the context for a client's sockets.

        Raises:
            OSError: A file cannot be read, or is not what it should be.
        """
        import ssl  # not before: the options are also read without a connection, to check a file

        context = ssl.create_default_context(cafile=self.ca)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key, self.password)
        return context

    def __repr__(self) -> str:
        return f"Tls(ca={self.ca!r}, cert={self.cert!r}, verify={self.verify})"


def tls_of(values: Mapping[str, Any], advice: str) -> Tls | None:
    """Return the options of TLS, or None if it is off.

    Args:
        values: The complete options of a channel type.
        advice: How TLS is switched on.

    Raises:
        InvalidOption: TLS is off and one of its options is set, or the certificate is missing.
    """
    parts = [option for option in TLS_OPTIONS if option.name != "tls"]
    if not values["tls"]:
        for option in parts:
            if values[option.name] != option.default:
                refuse(f"option {option.name!r}", "TLS is off", advice)
        return None
    if values["tls_key"] is not None and values["tls_cert"] is None:
        refuse("option 'tls_cert'", "tls_key is set without it", "pass the certificate too")
    return Tls(*(values[option.name] for option in parts))


def check_timeout(seconds: float) -> None:
    """Raise InvalidOption for a timeout that is not positive, or longer than an hour."""
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        advice = f"pass seconds, at most {_LONGEST_TIMEOUT}"
        refuse("option 'timeout'", "it is out of range", advice)


def check_port(port: int) -> None:
    """Raise InvalidOption for a number that is not a TCP port."""
    if not 0 < port <= MAX_PORT:
        refuse("option 'port'", f"{port} is not a TCP port", f"pass 1 to {MAX_PORT}")


def check_texts(values: Mapping[str, Any], names: Collection[str]) -> None:
    """Raise InvalidOption for a password that is not a string."""
    for name in names:
        if values[name] is not None and not isinstance(values[name], str):
            refuse(f"option {name!r}", "it is not a string", "put it in quotes")


def addresses_of(option: str, listed: Any) -> tuple[Address, ...]:
    """Return the addresses in a list, or text with commas, of host:port.

    Raises:
        InvalidOption: It is not such a list.
    """
    entries = listed.split(",") if isinstance(listed, str) else listed
    try:
        addresses = tuple(map(_address, entries))
    except (TypeError, ValueError):
        addresses = ()
    if not addresses:
        refuse(option, "it is not a list of host:port", "pass a list of host:port")
    return addresses


def query_of(query: str, options: Collection[Option], present: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in the query of a URL.

    Args:
        query: The part after the question mark.
        options: The options that may be there.
        present: The options that other parts of the URL express.

    Raises:
        InvalidOption: One is unknown, not valid, or there twice.
    """
    by_name = {option.name: option for option in options}
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in by_name:
            known = ", ".join(sorted(by_name))
            refuse("URL", f"unknown parameter {name!r}", f"use one of {known}")
        if name in found or name in present:
            refuse("URL", f"it has {name} twice", "pass it once")
        found[name] = _from_text(by_name[name], text)
    return found


def number_of(name: str, text: str, kind: type[int] | type[float] = int) -> float:
    """Return the number in a text.

    Raises:
        InvalidOption: It is not a number.
    """
    try:
        return number(text, kind)
    except ValueError:
        refuse(f"option {name!r}", f"{text!r} is not a number", "pass a number")


def refuse(option: str, reason: str, advice: str) -> NoReturn:
    """Raise InvalidOption without the error that led here, whose message may quote a password."""
    raise InvalidOption(option, reason, advice) from None


def _from_text(option: Option, text: str) -> Any:
    if option.type is bool:
        if text not in ("true", "false"):
            reason = f"{text!r} is neither true nor false"
            refuse(f"option {option.name!r}", reason, "pass one of them")
        return text == "true"
    if option.type is int or option.type is float:
        return number_of(option.name, text, option.type)
    return text


def _address(entry: Any) -> Address:
    host, port = entry.strip().rsplit(":", 1) if isinstance(entry, str) else entry
    parsed = int(number(str(port), int))
    if {"/", "@"} & set(str(host)) or not 0 < parsed <= MAX_PORT:
        raise ValueError
    return Address(str(host).strip("[]"), parsed)
