"""Actions that no process will finish any more, because the one that took it is gone.

A daemon that takes a request stores by which lock it shows that it lives, and so does the process
that waits for a daemon. Once that lock is free, and no run of the request holds its own, whoever
looks closes the action, by compare-and-set. A request that was taken is never run a second time:
nothing shows how far the first time came.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError
from ojobchannels.manager import records
from ojobchannels.manager.actions import journal
from ojobchannels.manager.actions.action import Action, ActionState
from ojobchannels.manager.actions.cancel import CANCEL
from ojobchannels.manager.records import Record
from ojobchannels.masking import MASK

LIFE_SIGN: Final = "lifeSign"
"""The detail of an action with the lock of the process that is to do something about it."""

_RECORDS_READ: Final = 1_000
_EARLIER_MS: Final = 3_600_000
"""How far the clock of the operator may be ahead of that of the locks."""

_log = logging.getLogger("ojobchannels.jobs")


class Manager(Protocol):
    """The manager whose actions they are."""

    jobs: Channel

    @property
    def state(self) -> Channel:
        """The channel of actions."""

    def running(self) -> Sequence[Record]:
        """Return the records of the running runs."""

    def record(self, run_id: str) -> Record | None:
        """Return the record of a run."""

    def _before_reading(self) -> None:
        """Close the dead runs; errors are logged."""


def without_values(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return details whose args have only their names.

    Only the job file says which of them are secrets, and the reader may not have it.
    """
    args = details.get("args")
    if not isinstance(args, Mapping):
        return dict(details)
    return {**details, "args": dict.fromkeys(args, MASK)}


def closed(manager: Manager, actions: Iterable[Action]) -> Iterator[Action]:
    """Yield actions as they are now; those that no process will finish are closed."""
    search = _Search(manager)
    for action in actions:
        try:
            yield search.closed(action) if action.is_open else action
        except ChannelError as error:  # a page may have the right to read only
            _log.debug("action %d cannot be closed: %s", action.number, error)
            yield action


class UnfinishedActions:
    """Closes actions that no process will finish, whenever it is called.

    Args:
        manager: The manager.
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._feed = journal.ActionFeed(manager.state, longest=None, first=journal.KEPT)
        self._open: set[int] = set()

    def close(self) -> None:
        """Look at the actions that are open."""
        self._open.update(action.number for action in self._feed.poll() if action.is_open)
        found = [journal.find(self._manager.state, number) for number in sorted(self._open)]
        present = [action for action in found if action is not None]
        after = closed(self._manager, present)
        self._open = {action.number for action in after if action.is_open}


class _Search:
    """Looks once for what lives, when the first action needs it."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._locked: set[str] | None = None

    def closed(self, action: Action) -> Action:
        if action.action == CANCEL:
            return self._closed_cancel(action)
        life_sign = action.details.get(LIFE_SIGN)
        if life_sign is None or life_sign in self._all_locked():
            return action
        if action.state == "requested":
            error = "the process that asked for it has ended, and no daemon had taken it"
            return self._move(action, "expired", without_values(action.details), error=error)
        runs = self._runs_of(action)
        if any(run["status"] == "running" for run in runs):
            return action
        where = f"{action.details.get('host')}:{action.details.get('pid')}"
        error = f"the daemon {where} took it, and died before it recorded the end"
        result = {"runs": [run["runId"] for run in runs]}
        if runs:
            result["status"] = runs[0]["status"]
        return self._move(action, "failed", action.details, error=error, **result)

    def _closed_cancel(self, action: Action) -> Action:
        self._manager._before_reading()
        run = self._manager.record(action.target)
        if run is None:
            return self._move(action, "failed", action.details, error="the run has no record")
        if run["status"] == "running":
            return action
        return self._move(action, "done", action.details, status=run["status"])

    def _all_locked(self) -> set[str]:
        if self._locked is None:
            self._locked = {lock.name for lock in self._manager.state.locks()}
        return self._locked

    def _runs_of(self, action: Action) -> list[Record]:
        """Return the runs that an action asked for, latest first."""
        self._manager._before_reading()
        found = {run["runId"]: run for run in self._manager.running() if _is_of(run, action)}
        for item in islice(self._manager.jobs.items(newest_first=True), _RECORDS_READ):
            run = item[1]
            if not records.is_record(run):
                continue
            if run.get("endTime", run["startTime"]) < action.time - _EARLIER_MS:
                break
            if _is_of(run, action):
                found.setdefault(run["runId"], run)
        return list(found.values())

    def _move(
        self,
        action: Action,
        to: ActionState,
        details: Mapping[str, Any],
        **more: Any,
    ) -> Action:
        state = self._manager.state
        moved = journal.move(state, action, to, **{**details, **more})
        return moved or journal.find(state, action.number) or action


def _is_of(run: Record, action: Action) -> bool:
    requested = run.get("requested")
    return isinstance(requested, Mapping) and requested.get("action") == action.number
