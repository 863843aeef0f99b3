"""What the page shows and permits."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ojobchannels.channels.channel import Channel

ACTIONS: Final = ("pause", "resume", "now", "rerun", "cancel", "unlock")
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_SHORTEST_TOKEN: Final = 16


@dataclass(frozen=True)
class Settings:
    """The settings of the page.

    Attributes:
        allow: The actions that the page offers, of `ACTIONS`; none by default.
        tokens: The tokens with which people log in, each with the name of its author.
        user_header: The request header with the user's name, set by a proxy in front of the page.
            Its value is the author of an action.
        trusted_proxies: The addresses from which `user_header` is believed; a request through a
            Unix socket is always believed.
        allowed_hosts: The names by which the page may be addressed, without a port.
        login_to_read: Whether reading needs a token or the proxy's user, too.
        channels: Further channels that may be browsed, by the name that the page shows.
    """

    allow: frozenset[str] = frozenset()
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    user_header: str | None = None
    trusted_proxies: frozenset[str] = frozenset({"127.0.0.1", "::1"})
    allowed_hosts: frozenset[str] = frozenset(LOOPBACK_HOSTS)
    login_to_read: bool = False
    channels: Mapping[str, Channel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.allow) - set(ACTIONS))
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not an action: allow some of {', '.join(ACTIONS)}")
        if (self.allow or self.login_to_read) and not (self.tokens or self.user_header):
            raise ValueError(
                "actions, and pages that need a login, require tokens or a user_header: without "
                "them no user can log in"
            )
        if any(len(token) < _SHORTEST_TOKEN for token in self.tokens):
            raise ValueError(f"a token has fewer than {_SHORTEST_TOKEN} characters; make it longer")


def is_loopback(host: str) -> bool:
    """Return whether only programs on this host can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_tokens(text: str) -> dict[str, str]:
    """Return the tokens of a token file, each with its author.

    A line is ``AUTHOR TOKEN``, or a token alone; lines that are empty or start with ``#`` do not
    count.

    Raises:
        ValueError: There is no token in it.
    """
    tokens = {}
    for line in text.splitlines():
        author, _, token = line.strip().rpartition(" ")
        if token and not line.lstrip().startswith("#"):
            tokens[token] = author.strip() or "token"
    if not tokens:
        raise ValueError("there is no token in it: write one line for each person, AUTHOR TOKEN")
    return tokens
