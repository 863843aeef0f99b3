"""Checks of daemons and schedules: differences between daemons, dead ones, overdue schedules."""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from ojobchannels.cli.doctor.checks import Check, problem
from ojobchannels.cli.pauses import described_pause
from ojobchannels.cli.runs import process
from ojobchannels.cli.times import relative
from ojobchannels.following.gone_daemons import gone_daemons
from ojobchannels.host.clock import now_ms
from ojobchannels.manager import JobManager
from ojobchannels.manager.schedules.overview import ScheduleInfo
from ojobchannels.manager.schedules.published import DaemonInfo


def check_daemons(manager: JobManager) -> Iterator[Check]:
    """Check the daemons that share the channels, and their schedules."""
    daemons = manager.daemons()
    alive = [daemon for daemon in daemons if daemon.alive]
    gone = gone_daemons(daemons)
    for daemon in gone:
        where, seen = process({"host": daemon.host, "pid": daemon.pid}), daemon.seen
        text = (
            f"{where} with {daemon.file} gives no sign of life; it was last seen "
            f"{relative(seen, now_ms())}"
        )
        advice = f"it was killed, is stopped or hangs: see its log on {daemon.host}, and restart it"
        yield problem("daemons", text, advice)
    yield from _differences(alive)
    if not gone:
        yield Check("ok", "daemons", f"{len(alive)} alive, none without a sign of life")
    yield from _check_schedules(manager.schedules())


def _differences(alive: Iterable[DaemonInfo]) -> Iterator[Check]:
    files: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    versions: defaultdict[str, list[str]] = defaultdict(list)
    for daemon in alive:
        files[daemon.file][daemon.file_hash].append(daemon.host)
        versions[daemon.version].append(daemon.host)
    for file, hashes in files.items():
        if len(hashes) > 1:
            which = "; ".join(f"{each[:8]} on {_named(hosts)}" for each, hosts in hashes.items())
            text = f"daemons have different versions of {file}: {which}"
            yield problem("daemons", text, "install one version, and reload them with SIGHUP")
    if len(versions) > 1:
        which = "; ".join(f"{each} on {_named(hosts)}" for each, hosts in versions.items())
        text = f"daemons run different versions of ojobchannels: {which}"
        yield problem("daemons", text, "install one version, and restart them")


def _named(hosts: Iterable[str]) -> str:
    return ", ".join(sorted(set(hosts)))


def _check_schedules(schedules: Iterable[ScheduleInfo]) -> Iterator[Check]:
    number = overdue = 0
    for schedule in schedules:
        number += 1
        name = schedule.name
        if schedule.overdue_since is not None:
            overdue += 1
            text = f"{name!r} was due {relative(schedule.overdue_since, now_ms())}, and has not run"
            alive = any(daemon.alive for daemon in schedule.daemons)
            advice = "see ojob history and ojob locks" if alive else "start one of its daemons"
            yield problem("schedules", text, advice)
        if schedule.paused is not None:
            pause = schedule.paused
            text = f"{name!r} is {described_pause(asdict(pause))}"
            yield Check("note", "schedules", text, f"to resume it: ojob resume {shlex.quote(name)}")
    if not overdue:
        yield Check("ok", "schedules", f"{number} known, none overdue")
