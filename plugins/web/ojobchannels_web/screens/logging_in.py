"""Logging in with a token, and out."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ojobchannels_web.context import Context, base_of
from ojobchannels_web.screens.forms import FormError, fields_of
from ojobchannels_web.security.logins import COOKIE, SESSION_SECONDS, TooManyFailures


def show_login(context: Context, request: Request) -> Response:
    """Return the form for the token."""
    return context.page(request, "login.html", error=None)


async def log_in(context: Context, request: Request) -> Response:
    """Begin a session, in a cookie that no script reads and no other site sends."""
    try:
        token = (await fields_of(request)).get("token", "").strip()
        session = context.logins.begin(token, request)
    except FormError as error:
        return PlainTextResponse(f"Refused: {error}.\n", 400)
    except TooManyFailures:
        message = "Too many wrong tokens; wait for a minute."
        return context.page(request, "login.html", 429, error=message)
    if session is None:
        return context.page(request, "login.html", 403, error="This token is not known.")
    response = RedirectResponse(f"{base_of(request)}/", 303)
    response.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_SECONDS,
        path=f"{base_of(request)}/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


async def log_out(context: Context, request: Request) -> Response:
    """End the session."""
    context.logins.end(request)
    response = RedirectResponse(f"{base_of(request)}/", 303)
    response.delete_cookie(COOKIE, path=f"{base_of(request)}/")
    return response
