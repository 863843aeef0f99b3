"""Claims of jobs that another job launches at its fire times: each runs once over all processes.

A job without a lock of its own may have a schedule and launch managed jobs. Every process that
shares the channels then launches them, so each launched run claims its place in that fire time:
the first launch of its name, the second, and so on. A claim is a document of its own, because a
fire time may launch any number of jobs, with any names.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError, FireTimeTaken, OutcomeUnknown
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.records import Record, due
from ojobchannels.manager.schedules.lists import Documents
from ojobchannels.manager.schedules.published import is_time

_KEPT_MS: Final = 90 * 86_400_000
"""A claim is kept this long at least, so that a process that was suspended finds it."""


class LaunchTime(NamedTuple):
    """The fire time of the job that launches a run.

    Attributes:
        time: The fire time, in milliseconds since 1970.
        by: The name of the job that has the schedule.
        number: Which launch of the run's name it is, in this fire time; the first is 1.
    """

    time: int
    by: str
    number: int = 1

    @property
    def fields(self) -> Record:
        """The fields that describe it in a record, and in the holder info of a lock."""
        return due(self.time) | {"launchedBy": self.by, "launchNumber": self.number}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> LaunchTime | None:
        """Return the launch time in the fields of a record or holder info, if there is one."""
        match fields:
            case {"fireTime": int(time), "launchedBy": str(by), "launchNumber": int(number)}:
                return cls(time, by, number)
        return None


def claim(state: Channel, name: str, launch: LaunchTime, run_id: str) -> None:
    """Claim a launch of a job for a run.

    Raises:
        FireTimeTaken: Another run has claimed it.
    """
    key = _key(name, launch)
    while True:
        with suppress(OutcomeUnknown):  # reading shows whether it was stored
            state.add(key, {**key, "run": run_id})
        present = state.get(key)
        if present is not None:
            break
    if present["run"] != run_id:
        raise FireTimeTaken(name, launch.time)


def is_unclaimed(state: Documents, name: str, launch: LaunchTime) -> bool:
    """Return whether no run has claimed a launch of a job."""
    return state.get(_key(name, launch)) is None


def release(state: Channel, name: str, launch: LaunchTime, run_id: str) -> None:
    """Withdraw the claim of a run, if it was made; the run has no record."""
    key = _key(name, launch)
    with suppress(ChannelError):
        if (state.get(key) or {}).get("run") == run_id:
            state.unset(key)


def outdated(state: Channel, cutoff: int) -> list[Any]:
    """Return the keys of the claims that are so old that no process needs them."""
    oldest = min(cutoff, now_ms() - _KEPT_MS)
    return [
        key
        for key, document in state.items()
        if isinstance(document, dict)
        and "launched" in document
        and is_time(at := document.get("fireTime"))
        and at < oldest
    ]


def _key(name: str, launch: LaunchTime) -> dict[str, Any]:
    return {
        "launched": name,
        "launchedBy": launch.by,
        "launchNumber": launch.number,
        "fireTime": launch.time,
    }
