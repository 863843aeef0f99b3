"""All jobs, and one job."""

from contextlib import suppress
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from ojobchannels.errors import ChannelError
from ojobchannels.following.gone_daemons import gone_daemons
from ojobchannels_web.context import Context
from ojobchannels_web.view import charts
from ojobchannels_web.view.rows import JobRow

ROWS_SHOWN: Final = 100
_MOST_ROWS: Final = 10_000


def show_jobs(context: Context, request: Request) -> Response:
    """Return the first screen: one row for each job, those that need attention first."""
    snapshot = context.watcher.snapshot()
    wanted = request.query_params.get("find", "").strip()
    state = request.query_params.get("state", "")
    found = [
        row
        for row in snapshot.rows
        if wanted.casefold() in row.name.casefold() and state in ("", *_groups(row))
    ]
    start = _number(request, "from", _MOST_ROWS)
    return context.page(
        request,
        "jobs.html",
        snapshot=snapshot,
        rows=found[start : start + ROWS_SHOWN],
        start=start,
        found=len(found),
        step=ROWS_SHOWN,
        find=wanted,
        state_filter=state,
        counts=_counts(snapshot.rows),
        gone=gone_daemons(snapshot.daemons),
    )


def show_job(context: Context, request: Request) -> Response:
    """Return the page of one job: its schedule, its lock, its durations and its last runs."""
    name = request.query_params.get("name", "")
    snapshot = context.watcher.snapshot()
    row = snapshot.by_name.get(name)
    if row is None:
        return context.page(request, "missing.html", 404, what="job", name=name)
    return context.page(
        request,
        "job.html",
        row=row,
        statistics=charts.statistics(row.runs),
        details={} if context.watcher.error else _details(context, row),
    )


def _details(context: Context, row: JobRow) -> dict[int, str]:
    """Return the errors and reasons of the latest runs that have one, by start time.

    Those that cannot be read are left out: the page shows what is known without them.
    """
    found: dict[int, str] = {}
    manager = context.manager
    with suppress(ChannelError):
        for run in row.runs:
            if run.status in ("completed", "running"):
                continue
            key = {"name": row.name, "startTime": run.start}
            skipped = run.status in ("skipped", "depsfail")
            record: Any = (manager.state if skipped else manager.jobs).get(key)
            if isinstance(record, dict):
                reason = record.get("error") or record.get("reason") or record.get("note")
                found[run.start] = reason if isinstance(reason, str) else ""
    return found


def _groups(row: JobRow) -> set[str]:
    groups = {row.state}
    if row.is_running:
        groups.add("running")
    if row.needs_attention:
        groups.add("attention")
    return groups


def _counts(rows: tuple[JobRow, ...]) -> dict[str, int]:
    counts = {"attention": 0, "running": 0, "paused": 0}
    for row in rows:
        for group in _groups(row) & counts.keys():
            counts[group] += 1
    return counts


def _number(request: Request, name: str, most: int) -> int:
    text = request.query_params.get(name, "")
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 9 else 0
