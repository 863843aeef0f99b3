"""One run: its times, args, error and output."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from ojobchannels.host.clock import now_ms
from ojobchannels.manager import records
from ojobchannels.manager.records import FIELDS, Record
from ojobchannels_web.context import Context
from ojobchannels_web.view.text import masked_text

_DIGITS: Final = 18
_SHOWN: Final = {*FIELDS, "note", "reason"}


def show_run(context: Context, request: Request) -> Response:
    """Return the page of the run with this name and start time."""
    name, start = request.query_params.get("name", ""), request.query_params.get("start", "")
    record = _find(context, name, start)
    if record is None:
        return context.page(request, "missing.html", 404, what="run", name=name)
    row = context.watcher.snapshot().by_name.get(name)
    seen = (
        next((run for run in row.runs if run.start == record["startTime"]), None) if row else None
    )
    status = seen.status if seen and record["status"] == "running" else record["status"]
    return context.page(
        request,
        "run.html",
        record=record,
        status=status,
        args=record.get("args", {}),
        more={key: value for key, value in record.items() if key not in _SHOWN},
        traceback=masked_text(str(record.get("traceback", ""))),
        timeline=_timeline(record, status),
        output=context.manager.output(str(record.get("runId", ""))),
    )


def _find(context: Context, name: str, start: str) -> Record | None:
    if not (start.isascii() and start.isdigit() and len(start) <= _DIGITS and name):
        return None
    key = {"name": name, "startTime": int(start)}
    for channel in (context.manager.jobs, context.manager.state):
        record: Any = channel.get(key)
        if records.is_record(record):
            return dict(record)
    return None


def _timeline(record: Record, status: str) -> list[tuple[str, int]]:
    """Return what happened, with its time, in order."""
    events = [("due", record.get("fireTime")), ("started", record["startTime"])]
    if "endTime" in record:
        events.append((status, record["endTime"]))
    elif status == "running":
        events.append(("still running", now_ms()))
        if isinstance(record.get("timeout"), int):
            events.append(("timeout", record["startTime"] + record["timeout"]))
    found = [(what, time) for what, time in events if isinstance(time, int)]
    return sorted(found, key=lambda event: event[1])
