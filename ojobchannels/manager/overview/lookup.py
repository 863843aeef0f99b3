"""The run that an identifier names, or the beginning of one if only one run has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, cast

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidOption, WrongRun
from ojobchannels.host.terminal import local_time
from ojobchannels.manager import records
from ojobchannels.manager.output.stored import key_of
from ojobchannels.manager.records import Record

COMPARED: Final = 10_000
"""The latest records of each channel among which a beginning must be that of one run only."""

_SHORTEST: Final = 6
_WHOLE: Final = 32
_LISTED: Final = 5


class Runs(Protocol):
    """The records; a job manager has them."""

    jobs: Channel

    @property
    def state(self) -> Channel:
        """The channel with the records of runs that did not begin."""

    def _index_run_ids(self) -> None:
        """Have records found by the identifiers of their runs, where that is possible."""

    def running(self) -> Sequence[Record]:
        """Return the records of the running runs."""


def find(runs: Runs, output: Channel, run_id: str) -> Record | None:
    """Return the record of a run, from its identifier or the beginning of that.

    Raises:
        WrongRun: Several runs begin with it.
        InvalidOption: It is not a text.
    """
    if _is_too_short(run_id):
        return None
    stored = output.get(key_of(run_id))  # most runs have an output, which has the key of the record
    if isinstance(stored, dict) and stored.keys() >= {"name", "startTime"}:
        record = runs.jobs.get(records.key_of(stored))
        if records.is_record(record) and record.get("runId") == run_id:
            return cast("Record", record)
    if len(run_id) >= _WHOLE:
        runs._index_run_ids()
        return next(_stored(runs, run_id), None)
    return only(run_id, _stored(runs, run_id))


def find_running(runs: Runs, run_id: str) -> Record | None:
    """Return the record of a running run likewise; None if no running run has it.

    Raises:
        WrongRun: Several running runs begin with it.
        InvalidOption: It is not a text.
    """
    if _is_too_short(run_id):
        return None
    return only(run_id, (each for each in runs.running() if _begins(each, run_id)))


def _is_too_short(run_id: str) -> bool:
    if not isinstance(run_id, str):
        raise InvalidOption("run_id", f"{run_id!r} is not a text", "pass the run_id of a run")
    return len(run_id) < _SHORTEST


def only(run_id: str, found: Iterator[Record]) -> Record | None:
    """Return the only run among those found, or the one with exactly that identifier."""
    known: dict[str, Record] = {}
    for record in found:
        known.setdefault(record["runId"], record)
    if run_id in known or len(known) < 2:
        return known.get(run_id, next(iter(known.values()), None))
    shown = [_described(each) for each in list(known.values())[:_LISTED]]
    if len(known) > _LISTED:
        shown.append(f"{len(known) - _LISTED} more")
    reason = f"{len(known)} runs begin with it: {', '.join(shown)}"
    raise WrongRun(run_id, reason, "pass more characters of the one that you mean")


def _stored(runs: Runs, run_id: str) -> Iterator[Record]:
    """Yield the records of the runs that begin with an identifier, latest change first.

    A person means a recent run, so what is older than the latest records is read only if none of
    these has the identifier.
    """
    match = {"runId": run_id} if len(run_id) >= _WHOLE else None
    is_found = False
    for channel in (runs.jobs, runs.state):
        for number, item in enumerate(channel.items(match=match, newest_first=True)):
            if is_found and number >= COMPARED:
                break
            if records.is_record(item[1]) and _begins(item[1], run_id):
                is_found = len(item[1]["runId"]) == _WHOLE
                yield cast("Record", item[1])


def _begins(record: Record, run_id: str) -> bool:
    return isinstance(record.get("runId"), str) and record["runId"].startswith(run_id)


def _described(record: Record) -> str:
    start = local_time(record["startTime"])
    return f"{record['runId']} (job {record['name']!r}, {record['status']}, {start})"
