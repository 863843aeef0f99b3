"""A process of the torture, started with what it needs as one argument of JSON.

It works in critical sections and appends lines to the file ``history``: what it did, on the clock
that all processes of the host share. Each line is one write, so that lines never mix.
"""

from __future__ import annotations

import json
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import ojobchannels as oc
from ojobchannels.host.clock import HOST_CLOCK
from ojobchannels.testing.torture.witness import Ledger, Presence

_KEYS = ("a", "b", "c")
_now = HOST_CLOCK.now


class Worker:
    """Works until the file ``enough`` appears, or the process that started it is gone.

    Args:
        channel: What is tortured.
        given: What the runner wants: ``folder``, ``names``, ``ttl``, ``wait``, ``lapses`` (whether
            a lease may end while its holder lives), ``unsure`` (whether the server may fail).
        dice: Chance.
    """

    def __init__(self, channel: oc.Channel, given: dict[str, Any], dice: random.Random) -> None:
        self._channel = channel
        self._given = given
        self._dice = dice
        self._folder = Path(given["folder"])
        self._ledgers = [Ledger(self._folder, number) for number in range(given["names"])]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._history = os.open(self._folder / "history", flags, 0o600)

    def work(self, parent: int) -> None:
        """Does section after section."""
        enough = self._folder / "enough"
        while not enough.exists() and os.getppid() == parent:
            number = self._dice.randrange(self._given["names"])
            try:
                self._section(number)
            except (oc.ChannelTimeout, oc.ChannelUnavailable, oc.OutcomeUnknown) as trouble:
                if not self._given["unsure"]:
                    raise
                self.note("trouble", type(trouble).__name__)
            except (oc.LockBusy, oc.LockLost) as trouble:
                if not self._given["lapses"]:
                    raise
                self.note("trouble", type(trouble).__name__)
        for ledger in self._ledgers:
            ledger.close()
        os.close(self._history)

    def note(self, what: str, *facts: Any) -> None:
        """Appends a line."""
        os.write(self._history, f"{json.dumps([what, *facts])}\n".encode())

    def _section(self, number: int) -> None:
        asked = _now()
        lease = self._channel.lock(
            f"lock {number}",
            ttl=self._given["ttl"],
            wait=self._given["wait"],
            keep_alive=self._given["lapses"] and self._dice.random() < 0.3,
        )
        section = Section(self, self._channel, lease, self._ledgers[number], asked)
        try:
            section.work(self._dice, self._given["lapses"])
        finally:
            section.end()


class Section:
    """One critical section.

    Attributes:
        lease: The lease that it is under.
        believed: When its holder last looked, and relied on the lease.
    """

    def __init__(
        self, worker: Worker, channel: oc.Channel, lease: oc.Lease, ledger: Ledger, asked: int
    ) -> None:
        self._note = worker.note
        self._channel = channel
        self.lease = lease
        self._ledger = ledger
        self._asked = asked
        self._acquired = self.believed = _now()
        self._counted = 0

    def work(self, dice: random.Random, lapses: bool) -> None:
        """Enters, counts, writes some keys, and looks around after each step."""
        if not self._is_mine(self._ledger.enter(self.lease.fence, self.lease.deadline, _now())):
            return
        count = self._ledger.count() + 1
        for key in _KEYS[: dice.choice((0, 0, 1, 3))]:
            if not self._write(key):
                return
        if not lapses:
            self._ledger.write_count(count)
            self._counted = count

    def end(self) -> None:
        """Leaves, gives the lock back, and writes down what is known of the lease."""
        lease, last, accepted = self.lease, self._ledger.leave(self.lease.fence), False
        held, ended = self._looks_held(), _now()
        until = lease.deadline if held else self.believed
        try:
            accepted = self._release() if held else self._end_late(last)
        finally:
            times = self._asked, self._acquired, ended, until
            self._note(
                "section", lease.name, lease.fence, os.getpid(), *times, accepted, self._counted
            )

    def _release(self) -> bool:
        with suppress(oc.LockLost):
            self.lease.release()
            return True
        return False

    def _end_late(self, last: Presence) -> bool:
        """Does all that one must not be able to do whose time is over."""
        lease = self.lease
        newer = last.fence > lease.fence
        for key, mark in last.marks.items():
            if mark > lease.fence:
                self._write_late(key, mark)
        if newer and self._channel.hook.extend(name=lease.name, token=lease.token, ttl=1000):
            self._wrong(f"{self} was extended although {last} came after it")
        accepted = bool(self._channel.hook.unlock(name=lease.name, token=lease.token))
        try:
            lease.release()
        except oc.LockLost:
            self._note("late", "told")
        else:
            self._wrong(f"{self} was over, and release did not tell its holder")
        return accepted

    def _write_late(self, key: str, mark: int) -> None:
        try:
            self._channel.set(self._key(key), {"by": self.lease.fence}, fence=self.lease.fence)
        except oc.StaleFence:
            self._note("late", "refused")
        else:
            self._wrong(f"{self} wrote key {key!r}, which fence {mark} had written")

    def _write(self, key: str) -> bool:
        """Writes a key, finds it unchanged, and tells whether the section may go on."""
        mine = {"by": self.lease.fence}
        try:
            self._channel.set(self._key(key), mine, fence=self.lease.fence)
        except oc.StaleFence as stale:
            if self.lease.held:
                self._wrong(f"{self} lives, and was refused by fence {stale.mark}")
            return False
        if not self._is_mine(self._ledger.look(self.lease.fence, self.lease.deadline, key)):
            return False
        found = self._channel.get(self._key(key))
        if self._looks_held() and found != mine:
            self._wrong(f"{self} lives, and found {found} for what it had written")
        return self.lease.held

    def _key(self, key: str) -> dict[str, str]:
        return {"lock": self.lease.name, "key": key}

    def _is_mine(self, met: Presence | None) -> bool:
        """Judges who else was met in the section, and tells whether it may go on."""
        if met is None:
            return self._looks_held()
        if met.fence < self.lease.fence or self.lease.held:
            self._wrong(
                f"overlap on {self.lease.name!r}: {self} and {met} were both in the section"
            )
        return False

    def _looks_held(self) -> bool:
        before = _now()
        if self.lease.held:
            self.believed = before
            return True
        return False

    def _wrong(self, what: str) -> None:
        self._note("wrong", what)

    def __str__(self) -> str:
        return f"the lease with fence {self.lease.fence} of process {os.getpid()}"


def main() -> None:
    """Opens the channel and works."""
    given = json.loads(sys.argv[1])
    with oc.open_channel(given["channel"], given["config"]) as channel:
        Worker(channel, given, random.Random(given["seed"])).work(given["parent"])  # noqa: S311


if __name__ == "__main__":
    main()
