"""Pauses of schedules, for people."""

from ojobchannels.cli.tables import Row
from ojobchannels.host.clock import now_ms
from ojobchannels.host.terminal import duration


def described_pause(pause: Row) -> str:
    """Return who paused a schedule, until when, and why."""
    left = max(pause["until"] - now_ms(), 0) if pause["until"] else 0
    until = f" for another {duration(left)}" if left else ""
    reason = f": {pause['reason']}" if pause["reason"] else ""
    return f"paused by {pause['author']}{until}{reason}"
