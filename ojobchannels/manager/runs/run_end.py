"""The end of a run in its record: completed, failed or skipped, or lost with its lock."""

import logging
from collections.abc import Collection
from typing import Final

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import ChannelError, LockLost, StaleFence
from ojobchannels.hookspecs import LockInfo
from ojobchannels.host.clock import now_ms
from ojobchannels.manager import not_run, records
from ojobchannels.manager.hooks import observers
from ojobchannels.manager.records import Record

_LEVELS: Final = {
    "failed": logging.ERROR,
    "lost": logging.ERROR,
    "abandoned": logging.WARNING,
    "cancelled": logging.WARNING,
}
_TAKEN: Final = {*vars(logging.makeLogRecord({})), "message", "asctime"}
_SHORTEST_SECONDS: Final = 0.01
_log = logging.getLogger("ojobchannels.jobs")


def write_end(
    jobs: Channel, lease: Lease, record: Record, ending: Record
) -> tuple[Record, LockLost | None]:
    """Write how a run ended into its record.

    Returns:
        The record as it is now, and the error if the run had lost its lock: then its status is
        ``lost``, unless another process has closed the record with another status.
    """
    lost = _find_loss(lease)
    if lost is None:
        ended = {**record, **ending}
        try:
            jobs.set(records.key_of(ended), ended, fence=lease.fence)
        except StaleFence:
            lost = lost_because(lease, "another holder has acquired it")
        else:
            return ended, None
    return _write_loss(jobs, record, ending, lost), lost


def write_skip(
    jobs: Channel, state: Channel, lease: Lease, record: Record, ending: Record
) -> tuple[Record, LockLost | None]:
    """Move the record of a skipped run to the state channel; otherwise like `write_end`."""
    lost = _find_loss(lease)
    if lost is None:
        try:
            return not_run.move({**record, **ending}, jobs, state, lease.fence), None
        except StaleFence:
            lost = lost_because(lease, "another holder has acquired it")
    return _write_loss(jobs, record, ending, lost), lost


def _write_loss(jobs: Channel, record: Record, ending: Record, lost: LockLost) -> Record:
    loss = ending | {"status": "lost", "inError": True, "error": ending.get("error", str(lost))}
    for status in ("running", "abandoned"):
        written = records.amend(jobs, record, loss, {"status": status})
        if written is not None:
            return written
    return {**record, **loss}


def write_failure(
    jobs: Channel,
    name: str,
    run_id: str,
    fence: int,
    elapsed: int,
    error: BaseException,
    secrets: Collection[str],
) -> Record | None:
    """Record a run as failed, and return its record; None if it has no record."""
    found = records.look_up(jobs, name, run_id, fence)
    if found is None:
        return None
    failed = records.ending(found["startTime"], "failed", elapsed, error, secrets)
    return records.amend(jobs, found, failed, {"status": "running"}, fence) or found


def log_run(record: Record) -> None:
    """Log the start or the end of a run, and report it to observers.

    The fields of its record are extras of the log record; those whose names are taken by `logging`,
    such as ``name``, have the prefix ``run_``.
    """
    observers.observe(record)
    status = record["status"]
    level = _LEVELS.get(status, logging.INFO)
    if not _log.isEnabledFor(level):  # by default for all but failures: the extras cost more
        return
    what = "started" if status == "running" else f"ended ({status})"
    cause = record.get("error") or record.get("reason")
    _log.log(
        level,
        "run of job %r %s, run %s%s",
        record["name"],
        what,
        record["runId"],
        f": {cause}" if cause else "",
        extra={f"run_{key}" if key in _TAKEN else key: value for key, value in record.items()},
    )


def release(lease: Lease, kept: float) -> None:
    """Release the lease of a run that has ended, or keep its lock for `kept` more seconds.

    A lock that is kept survives the end of this process. The run has ended: if the lock is lost by
    now, that is logged only.
    """
    try:
        if kept < _SHORTEST_SECONDS:
            lease.release()
        else:
            lease.extend(kept)
            lease.to_document()
    except LockLost as late:
        _log.warning("job %r lost its lock after its end: %s", lease.name, late)


def force_unlock(
    jobs: Channel, locks: Channel, name: str, note: str | None, fence: int | None, slot: int = 1
) -> LockInfo | None:
    """Force-release a lock, if it has that fence, and add a note to the record of its run."""
    if fence is not None:
        held = locks.lock_info(name, slot=slot)
        if held is None or held.fence != fence:
            return None
    released = locks.force_unlock(name, slot=slot)
    if released is not None:
        _add_note(jobs, released, note or "its lock was force-released")
    return released


def _add_note(jobs: Channel, lock: LockInfo, text: str) -> None:
    try:
        record = records.find(jobs, lock.holder, lock.fence)
        if record is not None:
            records.amend(jobs, record, {"note": f"{records.iso(now_ms())} {text}"})
    except ChannelError as error:
        _log.warning(
            "lock %r was force-released, but no note could be added to its run record: %s",
            lock.name,
            error,
        )


def lost_because(lease: Lease, reason: str) -> LockLost:
    """Return the error of a lost lock."""
    return LockLost(lease.channel.name, lease.name, lease.fence, reason)


def _find_loss(lease: Lease) -> LockLost | None:
    try:
        lease.check()
    except LockLost as lost:
        return lost
    if lease._is_granted():
        return None
    return lost_because(lease, "it was released or taken over by another holder")
