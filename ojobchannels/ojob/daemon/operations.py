"""What a daemon does for operators: it publishes its schedules, and carries out actions on them."""

import logging
from collections.abc import Callable, Sequence

from ojobchannels.errors import ChannelError
from ojobchannels.manager import JobManager
from ojobchannels.manager.actions import journal
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.actions.rerun import RERUN
from ojobchannels.manager.schedules.presence import Presence
from ojobchannels.masking import masked
from ojobchannels.ojob.daemon.operator_link import OperatorLink
from ojobchannels.ojob.daemon.schedule import Schedule
from ojobchannels.ojob.report.outcomes import Outcome
from ojobchannels.ojob.run.session import Session

_log = logging.getLogger("ojobchannels.schedules")


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
        self._link = OperatorLink(lambda: session().binding.manager, self._on_action, self._publish)

    def start(self) -> None:
        """Start its thread.

        Raises:
            NoThread: The system refuses it.
        """
        self._link.start()

    def close(self) -> None:
        """End its thread, and publish that the daemon was stopped."""
        self._link.close()
        presence, self._presence = self._presence, None
        if presence is not None:
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
        info = self._presence.info if self._presence is not None else None
        by = {"host": info.host, "pid": info.pid} if info is not None else {}

        def take() -> Action | None:
            return journal.move(manager.state, request, "taken", **by)

        def done(taken: Action, outcome: Outcome) -> None:
            args = masked(taken.details.get("args"), self._session().file.secrets)
            result = {"status": outcome.status, "runs": list(outcome.run_ids), "args": args}
            try:
                journal.move(manager.state, taken, "done", **result)
            except ChannelError as error:
                _log.warning("the end of action %d is not recorded: %s", taken.number, error)

        schedule.run_now(take, done)
