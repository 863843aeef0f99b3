"""The middleware in front of all screens."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ojobchannels_web.security.logins import Logins
from ojobchannels_web.security.requests import HEADERS, is_known_host, is_same_origin
from ojobchannels_web.settings import Settings

_SAFE: Final = ("GET", "HEAD")
_OPEN: Final = ("/login", "/static/", "/healthz")
"""Paths that need no login."""


class Guard:
    """Refuses foreign hosts and cross-site requests, asks for a login, and adds the headers."""

    def __init__(self, app: ASGIApp, settings: Settings, logins: Logins) -> None:
        self._app = app
        self._settings = settings
        self._logins = logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        scope.setdefault("state", {})["author"] = author = self._logins.author(request)
        refusal = self._refusal(scope, request, author)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(
        self, scope: Scope, request: HTTPConnection, author: str | None
    ) -> Response | None:
        if not is_known_host(request, self._settings.allowed_hosts):
            return PlainTextResponse(
                "This page is not known by that name. Use --allowed-host to add one.\n", 400
            )
        if scope["method"] not in _SAFE and not is_same_origin(request):
            return PlainTextResponse("Refused: the request comes from another site.\n", 403)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        is_open = path.startswith(_OPEN)
        if self._settings.login_to_read and author is None and not is_open:
            if not self._settings.tokens:
                return PlainTextResponse("Refused: the proxy has named no user.\n", 403)
            if "text/html" not in request.headers.get("accept", ""):
                return PlainTextResponse("Refused: log in, or send a token.\n", 401)
            return RedirectResponse(f"{scope.get('root_path', '')}/login", 303)
        return None
