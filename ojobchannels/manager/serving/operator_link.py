"""The thread by which a daemon learns of the actions of operators, and makes itself known."""

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from ojobchannels.errors import STORE_ERRORS, ChannelError
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.actions.journal import ActionFeed
from ojobchannels.manager.actions.unfinished import Manager
from ojobchannels.manager.local_launches.pool import start

_POLL_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 5.0
_log = logging.getLogger("ojobchannels.schedules")


class OperatorLink:
    """Reads the actions of operators once a second, on a thread of its own.

    Args:
        manager: Returns the manager, if it is open by now.
        handle: Called with the manager and each new action.
        tasks: Further work, by what it is for; each is called with the manager once a second.
    """

    def __init__(
        self,
        manager: Callable[[], Manager | None],
        handle: Callable[[Manager, Action], None],
        tasks: Mapping[str, Callable[[Manager], None]],
    ) -> None:
        self._manager = manager
        self._handle = handle
        self._tasks = tasks
        self._feed: ActionFeed | None = None
        self._failing: set[str] = set()
        self._cut_off: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="ojobchannels-operator-link", daemon=True
        )

    def start(self) -> None:
        """Start the thread.

        Raises:
            NoThread: The system refuses it.
        """
        start(self._thread, "the actions of operators")

    def close(self) -> bool:
        """End the thread, and return whether the store could be reached until now.

        A call to a store that does not react is left behind.
        """
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)
        return not (self._cut_off or self._thread.is_alive())

    def _work(self) -> None:
        while not self._stopped.is_set():
            manager = self._manager()
            if manager is not None:
                self._work_once(manager)
            self._stopped.wait(_POLL_SECONDS)

    def _work_once(self, manager: Manager) -> None:
        tasks = {**self._tasks, "read the actions of operators": self._poll}
        for purpose, task in tasks.items():
            if not self._stopped.is_set():
                self._try(purpose, partial(task, manager))

    def _try(self, what: str, part: Callable[[], None], then: str = "retrying each second") -> None:
        """Do one part of the work; an error of it is logged when it begins."""
        try:
            part()
        except ChannelError as error:
            if isinstance(error, STORE_ERRORS):
                self._cut_off.add(what)
            if what not in self._failing and not self._stopped.is_set():
                _log.warning("cannot %s, %s: %s", what, then, error)
            self._failing.add(what)
        except Exception:  # noqa: BLE001  the next second must not depend on it
            if what not in self._failing:
                _log.exception("cannot %s, %s", what, then)
            self._failing.add(what)
        else:
            self._failing.discard(what)
            self._cut_off.discard(what)

    def _poll(self, manager: Manager) -> None:
        if self._feed is None:
            self._feed = ActionFeed(manager.state)
        for action in self._feed.poll():
            part = partial(self._handle, manager, action)
            self._try("carry out an action", part, then="the next ones are not affected")
