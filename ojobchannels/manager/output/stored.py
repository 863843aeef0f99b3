"""The channel of outputs: where the output of a run is, and which outputs have no record."""

from typing import Any

from ojobchannels.channels.channel import Channel


def key_of(run_id: str) -> dict[str, Any]:
    """Return the key of the output of a run."""
    return {"run": run_id}


def without_record(outputs: Channel, jobs: Channel, cutoff: int) -> list[dict[str, Any]]:
    """Return the keys of outputs that were last written before `cutoff` and have no record."""
    keys = []
    for item in outputs.items():  # in the order of the last change
        match item[1]:
            case {"runId": str(run_id), "written": int(written), "name": name, "startTime": start}:
                if written >= cutoff:
                    break
                record = jobs.get({"name": name, "startTime": start})
                if not (isinstance(record, dict) and record.get("runId") == run_id):
                    keys.append(key_of(run_id))
    return keys
