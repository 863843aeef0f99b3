"""What programs read: events for the open pages, metrics, and whether the page works."""

from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from ojobchannels_web.context import Context

KEEP_ALIVE_SECONDS: Final = 15.0


def events(context: Context, request: Request) -> Response:
    """Return a stream with one event for each change; the page then reads its part again."""

    async def stream() -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        async for version in context.watcher.versions(KEEP_ALIVE_SECONDS):
            if await request.is_disconnected():
                return
            yield ": idle\n\n" if version is None else f"event: change\ndata: {version}\n\n"

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


def show_metrics(context: Context, request: Request) -> Response:  # noqa: ARG001  a screen
    """Return the metrics of all hosts, as Prometheus reads them."""
    metrics = context.manager.metrics()
    return Response(metrics, media_type="text/plain; version=0.0.4; charset=utf-8")


def show_health(context: Context, request: Request) -> Response:  # noqa: ARG001  a screen
    """Return whether the channels can be read, for a monitor; no details."""
    context.watcher.snapshot()
    error = context.watcher.error
    return PlainTextResponse(
        "ok\n" if error is None else "channels cannot be read\n", 503 if error else 200
    )
