"""The actions of operators on schedules, and the state of schedules and daemons."""

import logging
import shlex
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from ojobchannels.channels.arguments import Duration, check_limit, milliseconds, moment_ms
from ojobchannels.documents import check_name, check_value
from ojobchannels.errors import (
    ChannelError,
    InvalidOption,
    NoDaemon,
    UnknownSchedule,
    WrongRun,
)
from ojobchannels.hookspecs import LockInfo
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.actions import journal, unfinished
from ojobchannels.manager.actions.action import Action, check_texts
from ojobchannels.manager.actions.cancel import CANCEL, CancelWatch
from ojobchannels.manager.actions.rerun import RERUN, args_of
from ojobchannels.manager.channels import ManagerChannels
from ojobchannels.manager.history import RunHistory
from ojobchannels.manager.overview import lookup
from ojobchannels.manager.records import Record
from ojobchannels.manager.runs import run_end
from ojobchannels.manager.runs.run_options import checked_args
from ojobchannels.manager.schedules import overview, pauses
from ojobchannels.manager.schedules.followed import FollowedState
from ojobchannels.manager.schedules.overview import KnownSchedule, ScheduleInfo
from ojobchannels.manager.schedules.pauses import PauseInfo
from ojobchannels.manager.schedules.published import DaemonInfo
from ojobchannels.masking import masked
from ojobchannels.suggestions import closest

_POLL_SECONDS: Final = 0.1
_LIFE_SIGN_SECONDS: Final = 10.0
_log = logging.getLogger("ojobchannels.jobs")


class Operations(RunHistory):
    """The actions of operators, and what they need to know; a `JobManager` has them."""

    _cancels: CancelWatch

    def __init__(self, channels: ManagerChannels) -> None:
        super().__init__(channels)
        self._followed = FollowedState(lambda: channels.state)

    def schedules(self, grace: Duration | None = None) -> list[ScheduleInfo]:
        """Return the schedules that daemons have published, by name.

        They stay known while their daemons are down. What is due and what is overdue is computed
        now, from the triggers, the claims and the run records.

        Args:
            grace: Seconds after which a fire time without a run makes a schedule overdue; by
                default what `overdueAfter` in its job file says, a minute without it.
        """
        longest = None if grace is None else milliseconds("grace", grace, shortest=0)
        self._followed.refresh()
        return overview.schedules(self.jobs, self._followed, now_ms(), longest)

    def daemons(self) -> list[DaemonInfo]:
        """Return the daemons that are known: those that are alive first, then by host and start."""
        self._followed.refresh()
        return overview.daemons(self._followed)

    def actions(self, limit: int | None = 100) -> list[Action]:
        """Return the latest actions, latest first; the last thousand are kept.

        Those that no process will finish any more are closed before, as ``failed`` or ``expired``.

        Args:
            limit: Return at most this number of actions; None for all.
        """
        check_limit(limit)
        found = unfinished.closed(self, islice(journal.newest_first(self.state), limit))
        return [_shown(action) for action in found]

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
            name: The name of the schedule, or that of its job.
            reason: Why.
            until: When it resumes by itself (a datetime, or seconds since 1970).
            author: Who pauses it; by default the user of this process and its host.

        Raises:
            UnknownSchedule: No daemon has published a schedule of that name.
            InvalidOption: `until` is in the past or not a time, or a text is too long.
        """
        now, end = now_ms(), None if until is None else moment_ms("until", until)
        if end is not None and end <= now:
            raise InvalidOption("until", f"{until} is in the past", "pass a later time")
        schedule = self._schedule(name)
        made = journal.record(
            self.state,
            "pause",
            schedule.name,
            author=author,
            reason=reason,
            details={"until": end},
        )
        pause = PauseInfo(made.author, made.reason, made.time, end)
        pauses.write(self.state, schedule.name, pause)
        return pause

    def resume(
        self, name: str, *, reason: str | None = None, author: str | None = None
    ) -> PauseInfo | None:
        """Resume a paused schedule; return the pause that ended, or None if it was not paused.

        Raises:
            UnknownSchedule: No daemon has published a schedule of that name, and none is paused.
            InvalidOption: A text is too long.
        """
        paused = pauses.read_all(self.state)
        known = name if name in paused else self._schedule(name).name
        check_texts(known, author, reason)
        ended = pauses.end(self.state, known, now_ms())
        if ended is not None:
            journal.record(self.state, "resume", known, author=author, reason=reason)
        return ended

    def run_now(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        *,
        reason: str | None = None,
        author: str | None = None,
        wait: Duration = 10,
    ) -> Action:
        """Have one of the daemons run the job of a schedule now, once over all hosts.

        It runs even if the schedule is paused. The action and the record of the run have the author
        and the reason.

        Args:
            name: The name of the schedule, or that of its job.
            args: Arguments for this run, over those of the schedule.
            reason: Why.
            author: Who wants it; by default the user of this process and its host.
            wait: Seconds to wait for a daemon to take the request; then it is withdrawn.

        Returns:
            The action, as the daemon has taken it.

        Raises:
            UnknownSchedule: No daemon has published a schedule of that name.
            NoDaemon: No daemon that has it is alive, or none has taken the request in time.
            InvalidOption: The arguments are not a map, or a text is too long.
            InvalidValue: The arguments are not JSON.
        """
        values = checked_args(args)
        check_value(values)
        schedule = self._schedule(name)
        details = {"args": values}
        return self._request_run("now", schedule, details, reason, author, wait)

    def rerun(
        self,
        run_id: str,
        args: Mapping[str, Any] | None = None,
        *,
        reason: str | None = None,
        author: str | None = None,
        wait: Duration = 10,
    ) -> Action:
        """Run the job of a past run again, with the args of that run.

        A job that this manager knows by `JobManager.job` is launched here. Otherwise one of the
        daemons whose schedules have the job runs it, once over all hosts.

        Args:
            run_id: The identifier of the past run, or its first characters.
            args: Changes of its args. Secrets are not in the record: pass them again.
            reason: Why.
            author: Who wants it; by default the user of this process and its host.
            wait: Seconds to wait for a daemon to take the request; then it is withdrawn.

        Returns:
            The action; its details have the past run and, at the end, the new one.

        Raises:
            WrongRun: There is no such run, several begin with that, it is active, or its args are
                masked.
            NoDaemon: No daemon that is alive has the job, or none has taken the request in time.
            InvalidOption: The arguments are not a map, or a text is too long.
            InvalidValue: The arguments are not JSON.
        """
        record = self._recorded(run_id)
        details = {"args": args_of(record, checked_args(args)), "of": record["runId"]}
        name = record["name"]
        check_texts(name, author, reason)
        if self._launch_known(name, details["args"]):
            return self._record_rerun(record, author, reason)
        having = [one for one in overview.known(self.state) if one.run == name]
        alive = (one for one in having if any(daemon.alive for daemon in one.daemons))
        schedule = next(alive, next(iter(having), None))
        if schedule is None:
            reason = "no daemon has a schedule with runs of that name"
            advice = f"start one, or run it here: `ojob rerun {shlex.quote(run_id)} --here FILE`"
            raise NoDaemon(name, reason, advice)
        return self._request_run(RERUN, schedule, details, reason, author, wait)

    def _record_rerun(self, record: Record, author: str | None, reason: str | None) -> Action:
        """Record that a job runs again in this process."""
        about = {"of": record["runId"]}
        name = record["name"]
        return journal.record(self.state, RERUN, name, author=author, reason=reason, details=about)

    def _launch_known(self, name: str, args: Mapping[str, Any]) -> bool:  # noqa: ARG002  a hook
        """Launch a job if this manager has it, and return whether it does."""
        return False

    def _request_run(
        self,
        action: str,
        schedule: KnownSchedule,
        details: Mapping[str, Any],
        reason: str | None,
        author: str | None,
        wait: Duration,
    ) -> Action:
        """Ask the daemons to run a schedule, and wait until one has taken the request."""
        if not any(daemon.alive for daemon in schedule.daemons):
            raise NoDaemon(schedule.name, *_why_none_is_alive(schedule))
        seconds, id = milliseconds("wait", wait, shortest=0) / 1000, uuid.uuid4().hex
        life_sign = f"request {id}"
        with self.state.lock(life_sign, ttl=_LIFE_SIGN_SECONDS, keep_alive=True):
            request = journal.record(
                self.state,
                action,
                schedule.name,
                author=author,
                reason=reason,
                details={**details, unfinished.LIFE_SIGN: life_sign},
                requested=True,
                id=id,
            )
            return self._taken(request, seconds)

    def _recorded(self, run_id: str) -> Record:
        self._before_reading()
        record = self.record(run_id)
        if record is None:
            raise WrongRun(run_id, "it is not recorded", "`ojob history` shows the runs")
        return record

    def cancel(
        self, run_id: str, *, reason: str | None = None, author: str | None = None
    ) -> Action:
        """Cancel a run, on whichever host it is; its process learns of it within about a second.

        Its code is informed: `JobRun.cancelled` is true, and `JobRun.check` and the helpers of job
        files raise RunCancelled. Code in a child process is ended. The record has the author and
        the reason.

        Args:
            run_id: The identifier of the run, or its first characters.
            reason: Why.
            author: Who cancels it; by default the user of this process and its host.

        Returns:
            The action; it is ``taken`` when the process has learned of it, and ``done`` when the
            run has ended.

        Raises:
            WrongRun: There is no such run, it has ended, or several running runs begin with that.
            InvalidOption: A text is too long.
        """
        record = lookup.find_running(self, run_id) or self._recorded(run_id)
        if record["status"] != "running":
            raise WrongRun(run_id, f"it has ended ({record['status']})", "there is nothing to do")
        details = {"job": record["name"]}
        action = journal.record(
            self.state,
            CANCEL,
            record["runId"],
            author=author,
            reason=reason,
            details=details,
            requested=True,
        )
        self._cancels.apply(action)
        return journal.find(self.state, action.number) or action

    def force_unlock(
        self,
        name: str,
        note: str | None = None,
        fence: int | None = None,
        slot: int = 1,
        *,
        reason: str | None = None,
        author: str | None = None,
    ) -> LockInfo | None:
        """Force-release the lock of a job, and add a note to the record of the run that held it.

        That run notices at its next renewal, or at its end, that it has lost the lock.

        Args:
            name: The name of the job.
            note: The text of the note, which begins with the time.
            fence: The fence of the lease to release. If the lock is free or has another fence by
                now, nothing is done.
            slot: The number of the slot, if the job has several.
            reason: Why, for the action that is recorded.
            author: Who releases it; by default the user of this process and its host.

        Returns:
            The lock and its evicted holder; None if nothing was released.

        Raises:
            InvalidOption: A text is too long; nothing was released.
        """
        check_texts(name, author, reason)
        released = run_end.force_unlock(self.jobs, self.locks, name, note, fence, slot)
        if released is not None:
            details = {"slot": slot, "fence": released.fence, "holder": released.holder}
            try:
                journal.record(
                    self.state, "unlock", name, author=author, reason=reason, details=details
                )
            except ChannelError as error:
                _log.warning("lock %r was force-released, but not recorded: %s", name, error)
        return released

    def _taken(self, request: Action, seconds: float) -> Action:
        """Wait for a daemon to take a request, and return it; withdraw it after some seconds."""
        end = time.monotonic() + seconds
        while True:
            found = journal.find(self.state, request.number) or request
            if found.state != "requested":
                return found
            if time.monotonic() >= end:
                break
            time.sleep(_POLL_SECONDS)
        without = unfinished.without_values(request.details)
        if journal.move(self.state, request, "expired", **without) is None:
            return journal.find(self.state, request.number) or request
        raise NoDaemon(request.target, f"no daemon has taken the request within {seconds:g} s")

    def _schedule(self, name: str) -> KnownSchedule:
        """Return a schedule by its name, or that of its job.

        Raises:
            UnknownSchedule: No schedule has that name, or several have that job.
            InvalidName: It is not a name.
        """
        known = overview.known(self.state)
        found = next((one for one in known if one.name == name), None)
        of_job = [one for one in known if one.job == name]
        if found is None and len({one.name for one in of_job}) == 1:
            found = of_job[0]
        if found is None:
            names = tuple(dict.fromkeys(one.name for one in known))
            raise UnknownSchedule(check_name("schedule", name), names, closest(name, names))
        return found


def _why_none_is_alive(schedule: KnownSchedule) -> tuple[str, str]:
    """Return why no daemon can run a schedule, and what to do."""
    last = max(schedule.daemons, key=lambda daemon: daemon.seen)
    state = "without a sign of life" if last.stopped is None else "stopped"
    reason = f"no daemon that has it is alive; the last one, {last.host}:{last.pid}, is {state}"
    return reason, f"start it there with `ojob run {shlex.quote(last.file)}`"


def _shown(action: Action) -> Action:
    """Return an action without the secrets in its details."""
    if action.state == "requested":
        return replace(action, details=unfinished.without_values(action.details))
    return replace(action, details=masked(action.details))
