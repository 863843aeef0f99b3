"""What a daemon does for operators: it publishes its schedules, and carries out actions on them."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.actions.rerun import RERUN
from ojobchannels.manager.actions.unfinished import Manager, UnfinishedActions
from ojobchannels.manager.serving.operator_link import OperatorLink
from ojobchannels.manager.serving.presence import Presence
from ojobchannels.manager.serving.publication import PublishedSchedules
from ojobchannels.manager.serving.requested_run import RequestedRun
from ojobchannels.manager.serving.schedule import Schedule

_UNFINISHED_SECONDS: Final = 5.0
_LONGEST_REST_SECONDS: Final = 10.0


class Source(NamedTuple):
    """The file in which the jobs of a daemon are written.

    Attributes:
        path: Its path.
        digest: A hash of it and of all that it includes.
        secrets: The names of args that it declares as secret.
    """

    path: str
    digest: str
    secrets: Collection[str] = ()


class DaemonOperations:
    """Publishes a daemon, and carries out the actions of operators, until it is closed.

    Args:
        manager: Returns the manager, if it is open by now.
        source: Returns the latest version of its file.
        schedules: Returns its schedules.
        tasks: Further work, by what it is for; each is called with the manager once a second.
    """

    def __init__(
        self,
        manager: Callable[[], Manager | None],
        source: Callable[[], Source],
        schedules: Callable[[], Sequence[Schedule]],
        tasks: Mapping[str, Callable[[Manager], None]] | None = None,
    ) -> None:
        self._source = source
        self._schedules = schedules
        self._presence: Presence | None = None
        self._publishing = threading.Lock()
        self._unfinished: UnfinishedActions | None = None
        self._looked = self._rests_until = float("-inf")
        self._link = OperatorLink(
            manager,
            self._on_action,
            {
                "publish this daemon": self._publish_changes,
                "close the actions of dead processes": self._close_unfinished,
                **(tasks or {}),
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

    def publish(self, manager: Manager) -> None:
        """Publish what has changed, and a sign of life from time to time."""
        with self._publishing:
            self._publish(manager)

    def _publish_changes(self, manager: Manager) -> None:
        """Publish what has changed; with very many schedules, look for that less often.

        So that an idle daemon spends at most a hundredth of its time on it.
        """
        if time.monotonic() >= self._rests_until:
            began = time.thread_time()
            try:
                self.publish(manager)
            finally:
                rest = min((time.thread_time() - began) * 100, _LONGEST_REST_SECONDS)
                self._rests_until = time.monotonic() + rest

    def _publish(self, manager: Manager) -> None:
        source, schedules = self._source(), tuple(self._schedules())
        if self._presence is None:
            self._presence = Presence(manager.state, source.path, source.digest)
        begun = {each.title: time for each in schedules if (time := each.last_begun) is not None}
        self._presence.update(PublishedSchedules(schedules), begun, source.digest)

    def _close_unfinished(self, manager: Manager) -> None:
        if time.monotonic() - self._looked >= _UNFINISHED_SECONDS:
            self._looked = time.monotonic()
            self._unfinished = self._unfinished or UnfinishedActions(manager)
            self._unfinished.close()

    def _on_action(self, manager: Manager, action: Action) -> None:
        for schedule in self._schedules():
            if schedule.title == action.target:
                if action.action == "resume":
                    schedule.recheck()
                elif action.action in ("now", RERUN):
                    self._run_now(manager, schedule, action)
                return

    def _run_now(self, manager: Manager, schedule: Schedule, request: Action) -> None:
        """Run a schedule for a request, unless another daemon takes it."""
        if request.state != "requested":
            return
        if self._presence is None:
            return  # nothing would show that the process lives that has taken it
        info = self._presence.info
        requested = RequestedRun(manager.state, request, info, lambda: self._source().secrets)
        schedule.run_now(requested.take, requested.done)
