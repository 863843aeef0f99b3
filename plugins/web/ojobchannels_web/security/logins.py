"""The users: known by a token, by a session that began with one, or from a proxy."""

import hmac
import ipaddress
import secrets
import threading
import time
from typing import Final, NamedTuple

from starlette.requests import HTTPConnection

from ojobchannels_web.settings import Settings

COOKIE: Final = "ojob_session"
SESSION_SECONDS: Final = 12 * 3600
_MOST_SESSIONS: Final = 1_000
_LONGEST_NAME: Final = 200
_FAILURES: Final = 10
_FAILURE_SECONDS: Final = 60.0


class _Session(NamedTuple):
    author: str
    until: float


class TooManyFailures(Exception):
    """An address has tried too many wrong tokens; it cannot log in for a minute."""


class Logins:
    """Knows the sessions of this process, which end with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[str, _Session] = {}
        self._failures: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def author(self, request: HTTPConnection) -> str | None:
        """Return who sent the request; None if that is not known."""
        return self._of_proxy(request) or self._of_token(request) or self._of_session(request)

    def begin(self, token: str, request: HTTPConnection) -> str | None:
        """Begin a session, and return its identifier; None if the token is wrong.

        Raises:
            TooManyFailures: The address has tried too many wrong ones in the last minute.
        """
        author = self._author_of(token, request)
        if author is None:
            return None
        with self._lock:
            now = time.monotonic()
            self._sessions = {
                name: session for name, session in self._sessions.items() if session.until > now
            }
            while len(self._sessions) >= _MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            session = secrets.token_urlsafe(32)
            self._sessions[session] = _Session(author, now + SESSION_SECONDS)
        return session

    def end(self, request: HTTPConnection) -> None:
        """End the session of a request."""
        with self._lock:
            self._sessions.pop(request.cookies.get(COOKIE, ""), None)

    def _of_proxy(self, request: HTTPConnection) -> str | None:
        header = self._settings.user_header
        if header is None:
            return None
        peer = request.client
        if peer is not None and peer.host and peer.host not in self._settings.trusted_proxies:
            return None
        names = request.headers.getlist(header)
        return names[0].strip()[:_LONGEST_NAME] or None if len(names) == 1 else None

    def _of_token(self, request: HTTPConnection) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            return self._author_of(token.strip(), request)
        except TooManyFailures:
            return None

    def _of_session(self, request: HTTPConnection) -> str | None:
        session = self._sessions.get(request.cookies.get(COOKIE, ""))
        return session.author if session and session.until > time.monotonic() else None

    def _author_of(self, token: str, request: HTTPConnection) -> str | None:
        """Compare with every token, in a time that does not depend on where they differ.

        Failures count for each address, so that one sender cannot lock out all others.
        """
        address = _address_of(request)
        with self._lock:
            now = time.monotonic()
            self._forget_failures(now)
            if len(self._failures.get(address, ())) >= _FAILURES:
                raise TooManyFailures
        found = None
        for known, author in self._settings.tokens.items():
            if hmac.compare_digest(known.encode(), token.encode("utf-8", "replace")):
                found = author
        if found is None:
            with self._lock:
                self._failures.setdefault(address, []).append(now)
        return found

    def _forget_failures(self, now: float) -> None:
        for address, times in list(self._failures.items()):
            recent = [time for time in times if now - time < _FAILURE_SECONDS]
            if recent:
                self._failures[address] = recent
            else:
                del self._failures[address]


def _address_of(request: HTTPConnection) -> str:
    """Return the address of the sender; one network of IPv6, which is one household, is one."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), False))
