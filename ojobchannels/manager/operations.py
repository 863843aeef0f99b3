"""What operators do with the jobs of a manager: each action is recorded with its author."""

from datetime import datetime
from itertools import islice

from ojobchannels.errors import InvalidOption
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.actions import journal
from ojobchannels.manager.actions.action import Action
from ojobchannels.manager.history import RunHistory
from ojobchannels.manager.schedules import pauses
from ojobchannels.manager.schedules.pauses import PauseInfo


class Operations(RunHistory):
    """The actions of operators, and what they ask for; a `JobManager` has them."""

    def actions(self, limit: int | None = 100) -> list[Action]:
        """Return the latest actions, latest first; the last thousand are kept.

        Args:
            limit: Return at most this number of actions; None for all.
        """
        return list(islice(journal.newest_first(self.state), limit))

    def pause(
        self,
        name: str,
        *,
        reason: str | None = None,
        until: datetime | float | None = None,
        author: str | None = None,
    ) -> PauseInfo:
        """Pause a schedule: no process runs its fire times until it is resumed.

        Runs that are active continue. After the pause, what was missed follows `misfire`.

        Args:
            name: The name of the schedule.
            reason: Why.
            until: When it resumes by itself (a datetime, or seconds since 1970).
            author: Who pauses it; by default the user of this process and its host.

        Raises:
            InvalidOption: `until` is in the past, or a text is too long.
        """
        now, end = now_ms(), None if until is None else _ms(until)
        if end is not None and end <= now:
            raise InvalidOption("until", f"{until} is in the past", "pass a later time")
        details = {"until": end}
        made = journal.record(
            self.state, "pause", name, author=author, reason=reason, details=details
        )
        pause = PauseInfo(made.author, made.reason, made.time, end)
        pauses.write(self.state, name, pause)
        return pause

    def resume(
        self, name: str, *, reason: str | None = None, author: str | None = None
    ) -> PauseInfo | None:
        """Resume a paused schedule; return the pause that ended, or None if it was not paused."""
        ended = pauses.end(self.state, name, now_ms())
        if ended is not None:
            journal.record(self.state, "resume", name, author=author, reason=reason)
        return ended


def _ms(moment: datetime | float) -> int:
    return round((moment.timestamp() if isinstance(moment, datetime) else moment) * 1000)
