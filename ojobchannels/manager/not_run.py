"""Records of runs that did not begin; they are in the state channel.

Readers of the jobs channel take a record with an `endTime` and without `inError` for a success.
"""

from typing import Final

from ojobchannels.channels.channel import Channel
from ojobchannels.manager import records
from ojobchannels.manager.records import Record

STATUSES: Final = ("skipped", "depsfail")


def move(record: Record, jobs: Channel, state: Channel, fence: int | None) -> Record:
    """Move the record of a run that turned out not to begin out of the jobs channel; return it.

    Raises:
        StaleFence: A later run of the job has begun; nothing was moved.
    """
    key = records.key_of(record)
    timeless = {field: record[field] for field in record if field not in ("startTime", "startDate")}
    moved = records.add(state, timeless, record["startTime"])
    try:
        jobs.unset(key, fence=fence)
    except BaseException:
        state.unset(records.key_of(moved))
        raise
    return moved
