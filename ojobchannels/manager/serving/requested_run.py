"""A run that an operator asked for, as the daemon that takes the request reports it."""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError, RunCancelled
from ojobchannels.manager.actions import journal
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.actions.unfinished import LIFE_SIGN
from ojobchannels.manager.schedules.published import DaemonInfo, lock_name
from ojobchannels.masking import masked

_log = logging.getLogger("ojobchannels.schedules")


class Ended(Protocol):
    """How the run for a request has ended."""

    @property
    def status(self) -> str:
        """Its status."""

    @property
    def error(self) -> BaseException | None:
        """Its error, if it has failed."""

    @property
    def run_ids(self) -> Sequence[str]:
        """The identifiers of the runs that began for it."""


class RequestedRun:
    """Takes a request, and records how its run has ended.

    The args of the request are stored as they are until a daemon has read them. The one that takes
    it masks them in the same step, so that they do not stay if it dies.

    Args:
        state: The state channel.
        request: The request.
        daemon: This daemon.
        secrets: Returns the names of the args that are secrets.
    """

    def __init__(
        self,
        state: Channel,
        request: Action,
        daemon: DaemonInfo,
        secrets: Callable[[], Collection[str]],
    ) -> None:
        self._state = state
        self._request = request
        self._daemon = daemon
        self._secrets = secrets
        self._taken: Action | None = None

    def take(self) -> Action | None:
        """Take the request, and return it with its args; None if another daemon has taken it."""
        self._taken = journal.move(
            self._state,
            self._request,
            "taken",
            args=masked(self._request.details.get("args"), self._secrets()),
            host=self._daemon.host,
            pid=self._daemon.pid,
            **{LIFE_SIGN: lock_name(self._daemon.id)},
        )
        return None if self._taken is None else self._request

    def done(self, outcome: Ended | None) -> None:
        """Record how the run has ended; None if that is not known."""
        if self._taken is None:
            return
        try:
            if outcome is None:
                error = "it could not be run; the log of the daemon says why"
                journal.finish(self._state, self._taken, "failed", error=error)
            else:
                cancelled = isinstance(outcome.error, RunCancelled)
                status = "cancelled" if cancelled else outcome.status
                result = {"status": status, "runs": list(outcome.run_ids)}
                journal.finish(self._state, self._taken, "done", **result)
        except ChannelError as error:
            _log.warning("the end of action %d is not recorded: %s", self._taken.number, error)
