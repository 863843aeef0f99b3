"""Daemons as processes: stopped by signals, killed, two at once on every backend."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from ojobchannels.manager import JobManager
from ojobchannels.testing.programs import Program
from tests.ojob.programs import RUN, read_until

pytest_plugins = ["tests.ojob.processes"]

pytestmark = pytest.mark.kit  # on one interpreter: kills and signals are the same on all

MINUTE = 60_000
NOON = 1_772_366_400_000  # noon

HURRY = """\
import sys, time
from ojobchannels.ojob import run_file

class Hurry:
    '''Begins at noon when the first process starts, and makes an hour of some seconds.'''

    def __init__(self, origin, begin, factor):
        self.origin, self.begin, self.factor = origin, begin, factor

    def now(self):
        return self.begin + round((time.time() * 1000 - self.origin) * self.factor)

    def wait(self, woken, milliseconds):
        woken.wait(milliseconds / self.factor / 1000)

clock = Hurry(float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
sys.exit(run_file(sys.argv[1], clock=clock).exit_status)
"""

JOBS = """\
include: oJobManager.yaml
ojob: {{daemon: true}}
jobs:
- name: Init
  to: oJobManager Init
  args:
    chJobs: {config}
    chLocks: {config}
- name: Work
  typeArgs: {{timeInterval: 100}}
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {{name: work}}
  exec: |
    print("at work", flush=True)
    channel("oJobManager-locks").lock("gate", ttl=60, wait=60).release()
- {{name: Bye, type: shutdown, exec: "print('bye', flush=True)"}}
todo: [Init, Bye, Work]
"""

BATCH = """\
include: oJobManager.yaml
ojob: {{daemon: true}}
jobs:
- name: Init
  to: oJobManager Init
  args:
    chJobs: {config}
    chLocks: {config}
- name: Work
  typeArgs: {{cron: "*/3 * * * *", misfire: all}}
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {{name: "{name}", timeout: 5000}}
  exec: |
    from ojobchannels.manager import current_run
    print("ran", current_run().record["fireTime"], flush=True)
todo: [Init, Work]
"""


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_a_daemon_in_order(
    start: Callable[..., Program],
    config: dict[str, Any],
    manager: JobManager,
    number: signal.Signals,
    status: int,
) -> None:
    """The running job ends and is recorded, no new job starts, and no lock remains."""
    with manager.locks.lock("gate", ttl=600):
        each_second = JOBS.format(config=config).replace("Interval: 100}", "Interval: 1000}")
        daemon = start(RUN, each_second)
        read_until(daemon, "at work")
        daemon.send_signal(number)
        read_until(
            daemon, "interrupted: waiting for 'Work' (work); interrupt again to abandon them"
        )
    rest, _ = daemon.communicate()
    assert "Work | completed" in rest
    assert rest.index("Work | completed") < rest.index("bye")
    assert "at work" not in rest
    assert daemon.returncode == status
    assert Counter(record["status"] for record in manager.runs())["completed"] == 1
    assert manager.locks.locks() == []


@pytest.mark.parametrize("nohup", ["", "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"])
def test_sighup_reloads_the_file_of_a_daemon(
    start: Callable[..., Program], config: dict[str, Any], tmp_path: Path, nohup: str
) -> None:
    """Under nohup too; an invalid file is reported and leaves the old one running."""
    text = JOBS.format(config=config).replace('print("at work", flush=True)', 'log("{word}")')
    text = text.replace("gate", "free")
    daemon = start(f"import signal\n{nohup}{RUN}", text.replace("{word}", "old"))
    read_until(daemon, "Work | old")
    (tmp_path / "0.yaml").write_text(text.replace("{word}", "new"))
    daemon.send_signal(signal.SIGHUP)
    read_until(daemon, "Work | new")
    (tmp_path / "0.yaml").write_text(text.replace("timeInterval", "interval"))
    daemon.send_signal(signal.SIGHUP)
    read_until(daemon, "typeArgs.interval: unknown key `interval`; did you mean `timeInterval`?")
    read_until(daemon, "reload failed")
    read_until(daemon, "Work | new")
    daemon.terminate()
    daemon.communicate()
    assert daemon.returncode == 0


@pytest.fixture
def together() -> Iterator[tuple[IO[str], int]]:
    """A pipe that all daemons of a test write to: its two ends."""
    read, write = os.pipe()
    with open(read, encoding="utf-8") as reader:  # noqa: PTH123  no path
        yield reader, write
        os.close(write)


def test_two_daemons_run_every_fire_time_once_though_one_is_killed(
    start: Callable[..., Program], shared_place: dict[str, Any], together: tuple[IO[str], int]
) -> None:
    """On each backend, an hour in a few seconds: the history is complete, and nothing ran twice.

    The fire time of the kill may be recorded as abandoned.
    """
    everybody, mouth = together
    name = f"work-{secrets.token_hex(4)}"
    batch = BATCH.format(config=json.dumps(shared_place), name=name)
    origin = time.time() * 1000
    ran: list[int] = []
    up = 0

    def begin() -> Program:
        return start(HURRY, batch, origin, NOON, 1200, to=mouth)

    def wait_for(enough: Callable[[], bool]) -> None:
        nonlocal up
        while not enough():
            line = everybody.readline()
            assert "Traceback" not in line, everybody.readline()
            up += "| Init | completed" in line
            if line.startswith("ran "):
                ran.append(int(line.split()[1]))

    first, second = begin(), begin()
    wait_for(lambda: up == 2 and len(ran) >= 6)
    first.kill()
    first.wait()
    so_far = len(ran)
    wait_for(lambda: len(ran) >= so_far + 3)
    third = begin()
    wait_for(lambda: up == 3)
    so_far = len(ran)
    wait_for(lambda: len(ran) >= so_far + 3 and max(ran) >= min(ran) + 60 * MINUTE)
    last = max(ran)
    for daemon in (second, third):
        daemon.terminate()
        assert daemon.wait() == 0
    with JobManager(shared_place, shared_place) as manager:
        records = manager.runs(name, limit=None)
    times = sorted(one["fireTime"] for one in records if one["fireTime"] <= last)
    assert times == list(range(times[0], last + 1, 3 * MINUTE))
    assert Counter(ran).most_common(1)[0][1] == 1
    statuses = Counter(one["status"] for one in records)
    assert statuses.keys() <= {"completed", "abandoned"}
    assert statuses["abandoned"] <= 1
