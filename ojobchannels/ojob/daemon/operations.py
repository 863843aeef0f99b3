"""What a daemon does for operators: it publishes its schedules, and carries out actions on them."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from ojobchannels.manager import JobManager
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.actions.rerun import RERUN
from ojobchannels.manager.actions.unfinished import UnfinishedActions
from ojobchannels.manager.schedules.presence import Presence
from ojobchannels.ojob.daemon.operator_link import OperatorLink
from ojobchannels.ojob.daemon.requested_run import RequestedRun
from ojobchannels.ojob.daemon.schedule import Schedule
from ojobchannels.ojob.run.session import Session

_UNFINISHED_SECONDS: Final = 5.0


class DaemonOperations:
    """Publishes a daemon, and carries out the actions of operators, until it is closed.

    Args:
        session: Returns the run, with the latest version of its file.
        schedules: Returns its schedules.
    """

    def __init__(
        self, session: Callable[[], Session], schedules: Callable[[], Sequence[Schedule]]
    ) -> None:
        self._session = session
        self._schedules = schedules
        self._presence: Presence | None = None
        self._unfinished: UnfinishedActions | None = None
        self._looked = float("-inf")
        self._link = OperatorLink(
            lambda: session().binding.manager,
            self._on_action,
            {
                "publish this daemon": self._publish,
                "close the actions of dead processes": self._close_unfinished,
            },
        )

    def start(self) -> None:
        """Start its thread.

        Raises:
            NoThread: The system refuses it.
        """
        self._link.start()

    def close(self) -> None:
        """End its thread, and publish that the daemon was stopped, if the store can be reached."""
        is_reached = self._link.close()
        presence, self._presence = self._presence, None
        if presence is not None and is_reached:
            presence.close()

    def _publish(self, manager: JobManager) -> None:
        session, schedules = self._session(), tuple(self._schedules())
        file = session.file
        if self._presence is None:
            path = str((file.folder / file.name).absolute())
            self._presence = Presence(manager.state, path, file.digest)
        begun = {each.title: each.last_begun for each in schedules}
        self._presence.update(
            [each.published() for each in schedules],
            {name: time for name, time in begun.items() if time is not None},
            file.digest,
        )

    def _close_unfinished(self, manager: JobManager) -> None:
        if time.monotonic() - self._looked >= _UNFINISHED_SECONDS:
            self._looked = time.monotonic()
            self._unfinished = self._unfinished or UnfinishedActions(manager)
            self._unfinished.close()

    def _on_action(self, manager: JobManager, action: Action) -> None:
        for schedule in self._schedules():
            if schedule.title == action.target:
                if action.action == "resume":
                    schedule.recheck()
                elif action.action in ("now", RERUN):
                    self._run_now(manager, schedule, action)
                return

    def _run_now(self, manager: JobManager, schedule: Schedule, request: Action) -> None:
        """Run a schedule for a request, unless another daemon takes it."""
        if request.state != "requested":
            return
        if self._presence is None:
            return  # nothing would show that the process lives that has taken it
        info = self._presence.info
        requested = RequestedRun(manager, request, info, lambda: self._session().file.secrets)
        schedule.run_now(requested.take, requested.done)
