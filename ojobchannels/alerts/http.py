"""Requests to webhooks and to dead man's switches, by httpx."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ojobchannels.alerts import secret_text
from ojobchannels.alerts.rules import Notice, Ping, Webhook
from ojobchannels.alerts.templates import rendered, rendered_text
from ojobchannels.errors import AlertNotSent

if TYPE_CHECKING:
    import ssl

_GRACE_SECONDS: Final = 4.0
_FIRST_FAILURE: Final = 300
_FIRST_REFUSAL: Final = 400
_FIRST_ERROR: Final = 500
_FOR_ALL: Final = (401, 403, 404, 407, 408, 410, 425, 429)
"""Statuses by which a receiver refuses any notice now, whatever is in it."""

_is_sending: ContextVar[bool] = ContextVar("ojobchannels_is_sending", default=False)
_PINGS: Final = {"started": "start", "completed": "success"}


def post(webhook: Webhook, notice: Notice) -> None:
    """Send a notice to a webhook.

    Raises:
        AlertNotSent: It was not accepted.
    """
    headers = {name: secret_text.resolved(value) for name, value in webhook.headers.items()}
    body = notice if webhook.body is None else rendered(webhook.body, notice)
    headers = {"Idempotency-Key": notice["id"], **headers}
    url = secret_text.resolved(webhook.url)
    _request("POST", url, webhook.timeout, headers, [*headers.values()], body)


def ping(switch: Ping, notice: Notice) -> None:
    """Request the URL of a dead man's switch for an event, if it has one.

    Raises:
        AlertNotSent: It was not accepted.
    """
    template: str | None = getattr(switch, _PINGS.get(notice["event"], "fail"))
    if template is not None:
        url = rendered_text(secret_text.resolved(template), notice, lambda text: quote(text, ""))
        _request("GET", url, switch.timeout, {}, ())


def _request(
    method: str,
    url: str,
    timeout: float,
    headers: Mapping[str, str],
    secrets: Any,
    body: Any = None,
) -> None:
    import httpx  # when it is needed: its import takes a tenth of a second

    where = secret_text.shown_url(url)
    content = {} if body is None else {"json": body}
    try:
        with (
            _unlogged(),
            _ended_after(timeout + _GRACE_SECONDS) as trace,
            httpx.Client(timeout=timeout, verify=_tls()) as client,
            client.stream(
                method, url, headers=dict(headers), extensions={"trace": trace}, **content
            ) as response,
        ):
            status = response.status_code  # the body may be anything, of any length
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        hidden = [*secrets, *secret_text.secrets_of_url(url)]
        raise AlertNotSent(where, secret_text.described(error, hidden)) from None
    if status >= _FIRST_FAILURE:
        is_refused = _FIRST_REFUSAL <= status < _FIRST_ERROR and status not in _FOR_ALL
        raise AlertNotSent(where, f"HTTP status {status}", is_refused=is_refused)


@contextmanager
def _ended_after(seconds: float) -> Iterator[Callable[[str, Mapping[str, Any]], None]]:
    """End the connections of a request after some time; yield its function ``trace``.

    The timeouts of httpx are for each byte, and a receiver may send one now and then without end.
    """
    sockets: list[socket.socket] = []

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            sockets.append(info["return_value"].get_extra_info("socket"))

    def end() -> None:
        for each in sockets:
            with suppress(OSError):  # it has ended
                each.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep httpx from logging requests: it logs whole URLs, and that of a webhook is a secret."""
    logger = logging.getLogger("httpx")
    if _is_not_of_alerts not in logger.filters:
        logger.addFilter(_is_not_of_alerts)
    token = _is_sending.set(True)
    try:
        yield
    finally:
        _is_sending.reset(token)


def _is_not_of_alerts(record: logging.LogRecord) -> bool:  # noqa: ARG001  as filters are called
    return not _is_sending.get()


@cache
def _tls() -> ssl.SSLContext:
    """Return the context for all requests: to make one takes 20 ms and more."""
    import httpx

    return httpx.create_ssl_context()
