"""A process of the torture. Started as ``torture_worker.py URL FOLDER SEED``.

It works in critical sections and appends to the file ``history`` what it believed, on the clock
that all processes of the host share. Each line is one write, so that lines never mix.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import ojobchannels as oc

NAMES = ("north", "east", "south", "west")
TTL = 0.4


def now() -> float:
    """Seconds on the clock of the host."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main(url: str, folder: str, seed: str) -> None:
    """Works until the file ``enough`` appears."""
    here, dice = Path(folder), random.Random(seed)
    history = os.open(here / "history", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(**facts: Any) -> None:
        os.write(history, (json.dumps(facts) + "\n").encode())

    with oc.open_channel("torture", url, timeout=5) as channel:
        while not (here / "enough").exists():
            name = dice.choice(NAMES)
            try:
                section(channel, name, dice, note)
            except (oc.ChannelTimeout, oc.ChannelUnavailable, oc.OutcomeUnknown) as error:
                note(what="trouble", kind=type(error).__name__)
            except (oc.LockBusy, oc.LockLost) as error:
                note(what=type(error).__name__, name=name)


def section(channel: oc.Channel, name: str, dice: random.Random, note: Any) -> None:
    """Takes a lock, claims a key with its fence, and finds it unchanged for as long as it holds."""
    asked = now()
    lease = channel.lock(name, ttl=TTL, wait=20, keep_alive=dice.random() < 0.3)
    facts = {"name": name, "fence": lease.fence, "asked": asked, "pid": os.getpid()}
    facts["acquired"] = now()
    try:
        channel.set(name, {"by": lease.fence, "turn": 0}, fence=lease.fence)
        for turn in range(dice.randrange(1, 4)):
            found = channel.get(name)
            believed = now()
            if not lease.held:
                break
            # what was read before `believed` was read under the lease
            if found != {"by": lease.fence, "turn": turn}:
                note(what="overwritten", found=found, turn=turn, **facts)
            channel.set(name, {"by": lease.fence, "turn": turn + 1}, fence=lease.fence)
            facts["believed"] = believed
        note(what="section", **facts)
    except oc.StaleFence as stale:
        note(what="stale", mark=stale.mark, held=lease.held, **facts)
    finally:
        try:
            lease.release()
        except oc.LockLost:
            note(what="lost", **facts)


if __name__ == "__main__":
    main(*sys.argv[1:])
