"""Checks of locks and runs: holders that are gone, and runs that do not end."""

import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from ojobchannels.channels.acquire import this_host
from ojobchannels.cli.doctor.checks import Check, problem
from ojobchannels.cli.runs import process
from ojobchannels.cli.times import relative
from ojobchannels.hookspecs import LockInfo
from ojobchannels.host.clock import now_ms
from ojobchannels.host.process_identity import has_ended, is_running
from ojobchannels.host.terminal import duration
from ojobchannels.manager import JobManager, records
from ojobchannels.manager.records import Record

_MAX_NAMED: Final = 5


def check_holders(manager: JobManager) -> Iterator[Check]:
    """Check the held locks, and the runs that are recorded as running."""
    closed = manager.close_dead_runs()
    if closed:
        text = f"{closed} runs whose process died were found and closed as abandoned"
        yield Check("note", "runs", text, "see ojob history --status abandoned")
    held = {(lock.name, lock.slot): lock for lock in manager.locks.locks()}
    yield from _check_locks(manager, held.values())
    found = manager.jobs.items({"status": "running"})
    running = [document for key, document in found if manager._is_readable(key, document)]
    yield from _check_runs(held, running)
    if manager.malformed:
        text = f"{len(manager.malformed)} entries are not run records"
        keys = ", ".join(list(manager.malformed)[:_MAX_NAMED])
        yield Check("note", "run records", text, f"remove them from the channel: {keys}")


def _check_locks(manager: JobManager, held: Collection[LockInfo]) -> Iterator[Check]:
    dangling = 0
    for lock in held:
        record = records.find(manager.jobs, lock.holder, lock.fence)
        expires = relative(lock.until, now_ms())
        ended = record is not None and record["status"] not in ("running", "abandoned")
        if ended:
            text = f"{lock.name!r} is still held, though its run has ended"
            advice = f"lockAtLeastFor may keep it, at most until its lease expires {expires}"
            yield Check("note", "locks", text, advice)
        elif _is_gone(lock.holder):
            dangling += 1
            text = (
                f"{lock.name!r} is held by {process(lock.holder)}, which has ended; it is free "
                f"when its lease expires {expires}"
            )
            slot = f" --slot {lock.slot}" if lock.slots > 1 else ""
            advice = f"to free it now: ojob unlock {shlex.quote(lock.name)}{slot}"
            yield problem("locks", text, advice)
    if not dangling:
        yield Check("ok", "locks", f"{len(held)} held, none by a process that has ended")


def _check_runs(held: Mapping[tuple[str, int], LockInfo], running: list[Record]) -> Iterator[Check]:
    unsound = 0
    for record in running:
        name = record["name"]
        where = f"run {record['runId']} of {name!r} at {process(record)}"
        since = duration(max(now_ms() - record["startTime"], 0))
        if not records.is_live(record, held.get(records.slot_of(record))):
            unsound += 1
            text = f"{where} is recorded as running for {since}, but does not hold its lock"
            advice = "if it has ended, use --locks with the locks it was started under"
            yield problem("runs", text, advice)
        elif now_ms() - record["startTime"] > record.get("timeout", float("inf")):
            unsound += 1
            limit = duration(record["timeout"])
            text = f"{where} has been running for {since}, longer than its timeout of {limit}"
            yield problem("runs", text, f"to end it: ojob cancel {record['runId']}")
    if not unsound:
        yield Check("ok", "runs", f"{len(running)} running, each with its lock and in time")


def _is_gone(holder: Mapping[str, Any]) -> bool:
    """Return whether the process of a holder ran on this host and has ended."""
    if isinstance(identity := holder.get(records.PROCESS), str):
        return has_ended(identity)
    pid = holder.get("pid")
    return holder.get("host") == this_host() and isinstance(pid, int) and not is_running(pid)
