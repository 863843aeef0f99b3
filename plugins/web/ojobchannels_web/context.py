"""What every screen has at hand, and how it becomes a page."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from ojobchannels.host.clock import now_ms
from ojobchannels.manager import JobManager
from ojobchannels.masking import mask_text
from ojobchannels.printable import printable
from ojobchannels_web.security.logins import Logins
from ojobchannels_web.settings import Settings
from ojobchannels_web.view import charts, text
from ojobchannels_web.view.watcher import Watcher

SCREENS: Final = (
    ("/", "Jobs"),
    ("/locks", "Locks"),
    ("/daemons", "Daemons"),
    ("/channels", "Channels"),
    ("/actions", "Actions"),
    ("/launches", "Launches"),
)


@dataclass(frozen=True)
class Context:
    """The parts of one page application."""

    manager: JobManager
    settings: Settings
    logins: Logins
    watcher: Watcher
    templates: jinja2.Environment

    def page(
        self, request: Request, template: str, http_status: int = 200, /, **values: Any
    ) -> Response:
        """Return a page, or with ``?part=live`` only the part of it that changes."""
        is_part = request.query_params.get("part") == "live"
        rendered = self.templates.get_template(template).render(
            values
            | {
                "layout": "part.html" if is_part else "page.html",
                "request": request,
                "base": base_of(request),
                "screens": SCREENS,
                "author": request.state.author,
                "may": self.may(request),
                "has_login": bool(self.settings.tokens),
                "here": _address(request),
                "live_url": _address(request, part="live"),
                "now": now_ms(),
                "outage": self.watcher.error,
            }
        )
        return HTMLResponse(rendered, http_status)

    def may(self, request: Request) -> frozenset[str]:
        """Return the actions that the user of a request may take."""
        return self.settings.allow if request.state.author is not None else frozenset()


def unreadable(context: Context, request: Request, reason: str) -> Response:
    """Return the page for a screen whose channel cannot be read now."""
    reason = mask_text(reason)
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(f"The channels cannot be read: {printable(reason)}\n", 503)
    return context.page(request, "unreadable.html", 503, reason=reason)


def base_of(request: Request) -> str:
    """Return the path under which the page is mounted, without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def environment() -> jinja2.Environment:
    """Return the templates; everything they print is escaped and made printable."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("ojobchannels_web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=text.shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        text.duration,
        text.moment,
        text.document,
        text.masked_text,
        text.ascii_json,
        text.one_line,
        text.process,
        text.anchor,
    ):
        templates.filters[function.__name__] = function
    templates.filters["query"] = urlencode
    templates.globals["charts"] = charts
    return templates


def _address(request: Request, **part: str) -> str:
    """Return the address of a page, or of a part of it."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "part"]
    query += part.items()
    return request.url.path + (f"?{urlencode(query)}" if query else "")
