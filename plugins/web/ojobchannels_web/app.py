"""The ASGI application: routes, and what is in front of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError
from ojobchannels.manager import JobManager
from ojobchannels_web.context import Context, environment, unreadable
from ojobchannels_web.screens import acting, channels, jobs, live, logging_in, runs, things
from ojobchannels_web.security.guard import Guard
from ojobchannels_web.security.logins import Logins
from ojobchannels_web.settings import LOOPBACK_HOSTS, Settings
from ojobchannels_web.view.admission import Admission, Refused
from ojobchannels_web.view.watcher import Watcher

Screen: TypeAlias = Callable[[Context, Request], Response]

_STATIC: Final = Path(__file__).with_name("static")
_READERS: Final = 16
"""Requests that read channels at the same time; others wait for them without a thread."""

_PAGES: Final[Mapping[str, Screen]] = {
    "/": jobs.show_jobs,
    "/locks": things.show_locks,
    "/daemons": things.show_daemons,
    "/login": logging_in.show_login,
    "/healthz": live.show_health,
}
"""What shows the snapshot."""

_READING_PAGES: Final[Mapping[str, Screen]] = {
    "/job": jobs.show_job,
    "/run": runs.show_run,
    "/actions": things.show_actions,
    "/launches": things.show_launches,
    "/channels": channels.show_channels,
    "/channel": channels.show_channel,
    "/metrics": live.show_metrics,
}
"""What reads channels for each request."""


def create_app(
    manager: JobManager,
    *,
    allow: Collection[str] = (),
    tokens: Mapping[str, str] | None = None,
    user_header: str | None = None,
    trusted_proxies: Collection[str] = ("127.0.0.1", "::1"),
    allowed_hosts: Collection[str] = LOOPBACK_HOSTS,
    login_to_read: bool = False,
    channels: Mapping[str, Channel] | None = None,
) -> Starlette:
    """Return the page as an ASGI application, to serve or to mount into another.

    The manager stays open when the application ends.

    Args:
        manager: The manager whose jobs are shown.
        allow: The actions that are offered: of pause, resume, now, rerun, cancel, unlock.
        tokens: The tokens with which people log in, each with the name of its author.
        user_header: The request header with the user's name that a proxy sets.
        trusted_proxies: The addresses from which that header is believed.
        allowed_hosts: The names by which the page may be addressed; another is refused.
        login_to_read: Whether reading needs a login, too.
        channels: Further channels that may be browsed, by the name that the page shows.

    Raises:
        ValueError: The settings contradict each other, or a token is too short.

    Example:
        >>> import ojobchannels as oc
        >>> app = create_app(oc.JobManager(), allow=["unlock"], tokens={"0123456789abcdef": "ann"})
    """
    settings = Settings(
        allow=frozenset(allow),
        tokens=dict(tokens or {}),
        user_header=user_header,
        trusted_proxies=frozenset(trusted_proxies),
        allowed_hosts=frozenset(host.lower() for host in allowed_hosts),
        login_to_read=login_to_read,
        channels=dict(channels or {}),
    )
    context = Context(manager, settings, Logins(settings), Watcher(manager), environment())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        context.watcher.start()
        await run_in_threadpool(_prepare, context)
        yield
        context.watcher.stop()

    app = Starlette(
        routes=_routes(context),
        middleware=[Middleware(Guard, settings=settings, logins=context.logins)],
        lifespan=lifespan,
    )
    app.state.watcher = context.watcher
    return app


def _prepare(context: Context) -> None:
    """Do what the first request would have to wait for."""
    for name in context.templates.list_templates():
        context.templates.get_template(name)
    context.watcher.snapshot()


def _routes(context: Context) -> list[BaseRoute]:
    """Screens are called on a thread, and those that read channels only a few at a time."""
    admission, turns = Admission(context.watcher), asyncio.Semaphore(_READERS)

    def screen(function: Screen) -> Callable[[Request], Response]:
        def show(request: Request) -> Response:
            with context.watcher.serving():
                return function(context, request)

        return show

    def reading(function: Screen) -> Callable[[Request], Awaitable[Response]]:
        def read(request: Request) -> Response:
            try:
                with admission.enter(), context.watcher.serving():
                    return function(context, request)
            except (ChannelError, Refused) as error:
                return unreadable(context, request, str(error))

        async def show(request: Request) -> Response:
            async with turns:
                return await run_in_threadpool(read, request)

        return show

    async def events(request: Request) -> Response:
        return live.events(context, request)

    def posting(function: Callable[[Context, Request], Any]) -> Callable[[Request], Any]:
        async def post(request: Request) -> Response:
            response: Response = await function(context, request)
            return response

        return post

    return [
        *(Route(path, screen(function), methods=["GET"]) for path, function in _PAGES.items()),
        *(Route(path, reading(each), methods=["GET"]) for path, each in _READING_PAGES.items()),
        Route("/events", events, methods=["GET"]),
        Route("/login", posting(logging_in.log_in), methods=["POST"]),
        Route("/logout", posting(logging_in.log_out), methods=["POST"]),
        Route("/act", posting(acting.act), methods=["POST"]),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
