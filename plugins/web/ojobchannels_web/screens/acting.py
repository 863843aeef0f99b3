"""The actions: each is checked again here, carried out on a thread, and recorded."""

import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ojobchannels.errors import ChannelError
from ojobchannels.manager import JobManager
from ojobchannels_web.context import Context, base_of
from ojobchannels_web.screens.forms import FormError, fields_of

Fields: TypeAlias = Mapping[str, str]

_LONGEST_REASON: Final = 1000
_DIGITS: Final = 20
_MS_MINUTE: Final = 60
_LONGEST_MINUTES: Final = 366 * 24 * 60


class NotDone(Exception):
    """An action was not carried out; the text says why."""


def is_offered(manager: JobManager, action: str) -> bool:
    """Return whether this version of the job manager has an action."""
    return hasattr(manager, action)


async def act(context: Context, request: Request) -> Response:
    """Carry out one action, and return to the page from which it came."""
    author = request.state.author
    if author is None:
        return PlainTextResponse("Refused: log in first.\n", 401)
    try:
        fields = await fields_of(request)
    except FormError as error:
        return PlainTextResponse(f"Refused: {error}.\n", 400)
    action = fields.get("action", "")
    if action not in context.settings.allow or action not in _ACTIONS:
        return PlainTextResponse("Refused: this page does not allow that action.\n", 403)
    try:
        done = await run_in_threadpool(_carry_out, context, action, fields, author)
    except NotDone as error:
        return context.page(request, "not_done.html", 409, action=action, reason=str(error))
    except (ChannelError, ValueError) as error:
        return context.page(request, "not_done.html", 502, action=action, reason=str(error))
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(f"{done}\n")
    return RedirectResponse(_back(request, fields), 303)


def _carry_out(context: Context, action: str, fields: Fields, author: str) -> str:
    reason = fields.get("reason", "").strip()[:_LONGEST_REASON]
    done = _ACTIONS[action](context.manager, fields, author, reason)
    context.watcher.refresh()
    return done


def _unlock(manager: JobManager, fields: Fields, author: str, reason: str) -> str:
    """Release a lock, if it has the holder that the page has shown."""
    name, fence = fields.get("name", ""), _whole(fields, "fence")
    note = f"unlocked by {author} on the web page" + (f": {reason}" if reason else "")
    slot = _whole(fields, "slot") if "slot" in fields else 1
    released = manager.force_unlock(name, note, fence, slot, reason=reason, author=author)
    if released is None:
        raise NotDone(f"the lock {name!r} is free or has another holder by now")
    return f"released {name}"


def _pause(manager: Any, fields: Fields, author: str, reason: str) -> str:
    name = fields.get("name", "")
    minutes = _whole(fields, "minutes") if fields.get("minutes") else None
    if minutes is not None and not 0 < minutes <= _LONGEST_MINUTES:
        raise NotDone("a pause takes from one minute to one year")
    until = None if minutes is None else time.time() + minutes * _MS_MINUTE
    manager.pause(name, reason=reason or None, until=until, author=author)
    return f"paused {name}"


def _on_target(method: str, field: str) -> Callable[[Any, Fields, str, str], str]:
    """Return an action that calls a method of the manager with the target, author and reason."""

    def carry_out(manager: Any, fields: Fields, author: str, reason: str) -> str:
        if not is_offered(manager, method):
            raise NotDone(f"this version of ojobchannels cannot {method}")
        target = fields.get(field, "")
        if not target:
            raise NotDone(f"the {field} is missing")
        call = getattr(manager, method)
        given = {"author": author, "reason": reason or None}
        accepted = inspect.signature(call).parameters
        result = call(target, **{name: value for name, value in given.items() if name in accepted})
        if result is None and method == "resume":
            raise NotDone(f"there was nothing to {method}")
        return f"{method}: {target}"

    return carry_out


def _whole(fields: Fields, name: str) -> int:
    text = fields.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise NotDone(f"the {name} is not an integer")
    return int(text)


def _back(request: Request, fields: Fields) -> str:
    """Return the path to go back to, which must be one of this page."""
    base = base_of(request)
    try:
        wanted = urlsplit(fields.get("back", ""))
    except ValueError:
        return f"{base}/"
    if wanted.scheme or wanted.netloc or not wanted.path.startswith(f"{base}/"):
        return f"{base}/"
    if wanted.path.startswith(("//", "/\\")):
        return f"{base}/"
    return wanted.path + (f"?{wanted.query}" if wanted.query else "")


_ACTIONS: Final[Mapping[str, Callable[[Any, Fields, str, str], str]]] = {
    "pause": _pause,
    "resume": _on_target("resume", "name"),
    "now": _on_target("run_now", "name"),
    "rerun": _on_target("rerun", "run"),
    "cancel": _on_target("cancel", "run"),
    "unlock": _unlock,
}
