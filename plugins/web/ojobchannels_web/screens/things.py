"""Locks, daemons, durable launches, and the actions that were taken."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ojobchannels_web.context import Context

_MOST_LOCKS: Final = 500
_MOST_ACTIONS: Final = 100
_MOST_LAUNCHES: Final = 200


def show_locks(context: Context, request: Request) -> Response:
    """Return the locks that are held, with their holders and the time that is left."""
    locks = context.watcher.snapshot().locks
    return context.page(request, "locks.html", locks=locks[:_MOST_LOCKS], found=len(locks))


def show_daemons(context: Context, request: Request) -> Response:
    """Return the daemons, and the schedules that they run."""
    snapshot = context.watcher.snapshot()
    return context.page(
        request, "daemons.html", daemons=snapshot.daemons, schedules=snapshot.schedules
    )


def show_actions(context: Context, request: Request) -> Response:
    """Return the latest actions, with their authors."""
    return context.page(request, "actions.html", actions=context.manager.actions(_MOST_ACTIONS))


def show_launches(context: Context, request: Request) -> Response:
    """Return the durable launches: those that wait or run, then those that ended last."""
    launches = context.manager.launches(_MOST_LAUNCHES)
    return context.page(request, "launches.html", launches=launches, most=_MOST_LAUNCHES)
