"""A process of the torture: critical sections under locks, witnessed outside of the backend.

Started as ``torture_worker.py CONFIG FOLDER SEED``. Each section marks its presence in a file that
must not be there yet, adds one to a counter without any care, and writes a line of history.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

import ojobchannels as oc

PF_EXITING = 0x4  # proc(5) and the kernel's sched.h
NAMES = ("north", "east", "south", "west")


def main(config: str, folder: str, seed: str) -> None:
    """Works until the file ``enough`` appears."""
    here = Path(folder)
    dice = random.Random(seed)
    history = os.open(here / "history", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with oc.open_channel("torture", json.loads(config)) as channel:
        while not (here / "enough").exists():
            name = dice.choice(NAMES)
            with channel.lock(name, ttl=60, wait=60) as lease:
                section(here, name, lease, history)


def section(here: Path, name: str, lease: oc.Lease, history: int) -> None:
    """The work under the lock."""
    acquired = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    enter(here / f"{name}.inside")
    counter = here / f"{name}.counter"
    count = int(counter.read_text()) + 1 if counter.exists() else 1
    fresh = here / f"{name}.counter.{os.getpid()}"
    fresh.write_text(str(count))
    fresh.replace(counter)
    left = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    line = json.dumps([name, lease.fence, acquired, left, count])
    os.write(history, f"{line}\n".encode())
    (here / f"{name}.inside").unlink()


def enter(witness: Path) -> None:
    """Marks the presence in a section; shouts if a living process is in it."""
    while True:
        try:
            descriptor = os.open(witness, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            with suppress(FileNotFoundError):
                other = witness.read_text()
                if other and lives(other):
                    sys.exit(f"{witness.name}: process {other} is in the section too")
                witness.unlink()
            continue
        os.write(descriptor, str(os.getpid()).encode())
        os.close(descriptor)
        return


def lives(process: str) -> bool:
    """Tells whether a process still runs.

    One that was killed gives up its locks when it begins to exit, some time before it is gone.
    """
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    state, *numbers = stat.rpartition(")")[2].split()
    return state not in "ZX" and not int(numbers[5]) & PF_EXITING


if __name__ == "__main__":
    main(*sys.argv[1:])
