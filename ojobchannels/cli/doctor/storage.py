"""Checks of the storages: whether they can be used, their clocks, and their settings."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ojobchannels.channels.opening import open_channel
from ojobchannels.cli.doctor.checks import Check, problem
from ojobchannels.cli.locations import Locations, described, existing
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import ChannelType, Health
from ojobchannels.host.clock import now_ms
from ojobchannels.host.terminal import duration
from ojobchannels.manager.channels import JOBS, LOCKS
from ojobchannels.plugins import checked_options

_CLOCK_TOLERANCE_MS: Final = 1000
_PROBE: Final = "ojob doctor"
_PROBE_SECONDS: Final = 30


def check_storages(locations: Locations) -> tuple[list[Check], bool]:
    """Check the channels of run records and of locks, and return whether both can be used."""
    checks: list[Check] = []
    usable = True
    seen: list[tuple[str, Mapping[str, Any]]] = []
    for what, channel, config in (
        ("run records", JOBS, locations.jobs),
        ("locks", LOCKS, locations.locks),
    ):
        type, given = described(existing(what, config))
        try:
            checks.append(Check("ok", what, f"type {type.name}, {_use(channel, type, given)}"))
            options = checked_options(type, given)
            if (type.name, options) not in seen:
                seen.append((type.name, options))
                checks += check_health(what, channel, type, options)
        except ChannelError as error:
            usable = False
            checks.append(problem(what, *_split(error)))
    return checks, usable


def _use(channel: str, type: ChannelType, options: Mapping[str, Any]) -> str:
    """Count the documents of a channel, or take and release a lock of it; say how long it took."""
    with open_channel(channel, {"type": type.name, "args": options}) as opened:
        start = now_ms()
        if channel != LOCKS:
            return f"documents: {opened.size()}, counted in {duration(now_ms() - start)}"
        with opened.lock(_PROBE, ttl=_PROBE_SECONDS, wait=_PROBE_SECONDS):
            pass
        return f"a lock was taken and released in {duration(now_ms() - start)}"


def check_health(
    what: str, channel: str, type: ChannelType, options: Mapping[str, Any]
) -> Iterator[Check]:
    """Check what a storage says of itself, and its clock."""
    if type.health is None:
        return
    before = now_ms()
    health = type.health(channel, options)
    yield Check("ok", what, f"stored by {health.storage}")
    yield from (Check.of(what, finding) for finding in health.findings)
    yield from _check_clock(what, health, before, now_ms())


def _check_clock(what: str, health: Health, before: int, after: int) -> Iterator[Check]:
    """Compare the clock of a server with that of this host, which was read before and after."""
    if health.wall is None:
        return
    ahead = max(before - health.wall, 0) - max(health.wall - after, 0)
    if abs(ahead) <= _CLOCK_TOLERANCE_MS:
        yield Check("ok", "clock", f"agrees with that of {health.storage}")
        return
    how = "ahead of" if ahead > 0 else "behind"
    text = f"this host is {duration(abs(ahead))} {how} {health.storage}, which stores the {what}"
    advice = "set both by NTP: a schedule fires by the clock of its host, too early or too late"
    yield problem("clock", text, advice)


def _split(error: ChannelError) -> tuple[str, str]:
    """Return the message of an error, and its advice."""
    text, _, advice = " ".join(str(error).split()).partition("; ")
    return text, advice or "correct that, then run ojob doctor again"
