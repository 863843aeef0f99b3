"""How the last run of a launch went, if its process died before it could say so in the launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from ojobchannels.channels.channel import Channel
from ojobchannels.manager import records
from ojobchannels.manager.records import Record


class Runs(Protocol):
    """The records and locks of runs; a job manager has them."""

    jobs: Channel
    locks: Channel

    def record(self, run_id: str) -> Record | None:
        """Return the record of a run; None if there is none."""


def last_run(runs: Runs, message: Mapping[str, Any]) -> Record | None:
    """Return the record of the last run of a launch; None if none has begun, or it is gone."""
    run_id, start = message.get("run"), message.get("start")
    if not isinstance(run_id, str):
        return None
    record = runs.jobs.get({"name": message["job"], "startTime": start}) if start else None
    if records.is_record(record) and cast("Record", record).get("runId") == run_id:
        return cast("Record", record)
    return runs.record(run_id)


def is_active(runs: Runs, record: Record) -> bool:
    """Return whether a run holds its lock still, although its launch was left."""
    if record["status"] != "running":
        return False
    name, slot = records.slot_of(record)
    return records.is_live(record, runs.locks.lock_info(name, slot=slot))
