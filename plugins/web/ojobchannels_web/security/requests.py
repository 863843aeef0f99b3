"""Checks on a request before a screen sees it: its host, and the site that caused it."""

from collections.abc import Collection
from typing import Final

from starlette.requests import HTTPConnection

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Headers of every response: nothing from elsewhere is loaded, and no other site can embed it."""


def is_known_host(request: HTTPConnection, hosts: Collection[str]) -> bool:
    """Return whether the request addresses the page by one of its names.

    A site whose name resolves to this host would have its own name here (DNS rebinding).
    """
    sent = request.headers.getlist("host")
    return len(sent) == 1 and _without_port(sent[0]) in hosts


def is_same_origin(request: HTTPConnection) -> bool:
    """Return whether a request that changes something comes from the page itself.

    Browsers say so in ``Sec-Fetch-Site``, older ones by ``Origin``. A program sends neither of
    them; it must have a token in its request, as no site can make a browser send one.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    if origin is not None:
        _, _, sender = origin.partition("://")
        return sender.lower() == request.headers.get("host", "").lower()
    return "authorization" in request.headers


def _without_port(host: str) -> str:
    name, _, port = host.strip().lower().rpartition(":")
    return name if name and port.isdigit() else host.strip().lower()
