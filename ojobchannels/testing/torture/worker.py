"""A worker process of the torture test.

It runs critical sections and appends lines to the file ``history``, with times of the clock that
all processes of the host share. Each line is one write, so that lines never mix.
"""

from __future__ import annotations

import json
import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import ojobchannels as oc
from ojobchannels.host.clock import HOST_CLOCK
from ojobchannels.testing.forks import serve
from ojobchannels.testing.torture.in_loop import LoopChannel, LoopLease
from ojobchannels.testing.torture.ledger import Entry, Ledger

_KEYS = ("a", "b", "c")
_now = HOST_CLOCK.now


class Worker:
    """Runs sections until the file ``stop`` appears, or the parent process has ended.

    Args:
        channel: The channel under test.
        settings: ``folder``, ``names``, ``slots``, ``ttl``, ``wait``, ``lapses`` (whether a lease
            can end while its holder lives), ``server_fails`` (whether the server has faults).
        rng: Random numbers.
    """

    def __init__(
        self, channel: oc.Channel | LoopChannel, settings: dict[str, Any], rng: random.Random
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._rng = rng
        self._folder = Path(settings["folder"])
        ledgers = settings["names"] * settings["slots"]  # a slot has one holder at a time
        self._ledgers = [Ledger(self._folder, number) for number in range(ledgers)]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._history = os.open(self._folder / "history", flags, 0o600)

    def work(self, parent: int) -> None:
        """Run one section after the other."""
        stop = self._folder / "stop"
        while not stop.exists() and os.getppid() == parent:
            number = self._rng.randrange(self._settings["names"])
            try:
                self._section(number)
            except (oc.ChannelTimeout, oc.ChannelUnavailable, oc.OutcomeUnknown) as error:
                if not self._settings["server_fails"]:
                    raise
                self.note("error", type(error).__name__)
            except (oc.LockBusy, oc.LockLost) as error:
                if not self._settings["lapses"]:
                    raise
                self.note("error", type(error).__name__)
        for ledger in self._ledgers:
            ledger.close()
        os.close(self._history)

    def note(self, kind: str, *values: Any) -> None:
        """Append a line to the history."""
        os.write(self._history, f"{json.dumps([kind, *values])}\n".encode())

    def _section(self, number: int) -> None:
        requested = _now()
        lease = self._channel.lock(
            f"lock {number}",
            ttl=self._settings["ttl"],
            wait=self._settings["wait"],
            keep_alive=self._settings["lapses"] and self._rng.random() < 0.3,
            slots=self._settings["slots"],
        )
        ledger = self._ledgers[number * self._settings["slots"] + lease.slot - 1]
        section = Section(self, self._channel, lease, ledger, requested)
        try:
            section.work(self._rng, self._settings["lapses"])
        finally:
            section.end()


class Section:
    """One critical section.

    Attributes:
        lease: The lease that protects it.
        last_held: When the holder last found the lease valid.
    """

    def __init__(
        self,
        worker: Worker,
        channel: oc.Channel | LoopChannel,
        lease: oc.Lease | LoopLease,
        ledger: Ledger,
        requested: int,
    ) -> None:
        self._note = worker.note
        self._channel = channel
        self.lease = lease
        self._ledger = ledger
        self._requested = requested
        self._acquired = self.last_held = _now()
        self._counted = 0

    def work(self, rng: random.Random, lapses: bool) -> None:
        """Enter, count, write some keys, and check for other holders after each step."""
        if not self._is_alone(self._ledger.enter(self.lease.fence, self.lease.deadline, _now())):
            return
        count = self._ledger.count() + 1
        for key in _KEYS[: rng.choice((0, 0, 1, 3))]:
            if not self._write(key):
                return
        if not lapses:
            self._ledger.write_count(count)
            self._counted = count

    def end(self) -> None:
        """Leave, release the lease, and add it to the history."""
        lease, last, accepted = self.lease, self._ledger.leave(self.lease.fence), False
        held, ended = self._check_held(), _now()
        until = lease.deadline if held else self.last_held
        try:
            accepted = self._release() if held else self._end_expired(last)
        finally:
            times = self._requested, self._acquired, ended, until
            self._note(
                "section",
                lease._lock_name,
                lease.fence,
                os.getpid(),
                *times,
                accepted,
                self._counted,
            )

    def _release(self) -> bool:
        with suppress(oc.LockLost):
            self.lease.release()
            return True
        return False

    def _end_expired(self, last: Entry) -> bool:
        """Try everything that an expired holder must not be able to do."""
        lease = self.lease
        newer = last.fence > lease.fence
        for key, mark in last.marks.items():
            if mark > lease.fence:
                self._write_late(key, mark)
        if newer and self._channel.hook.extend(name=lease._lock_name, token=lease.token, ttl=1000):
            self._violation(f"{self} was extended although {last} is later")
        accepted = bool(self._channel.hook.unlock(name=lease._lock_name, token=lease.token))
        try:
            lease.release()
        except oc.LockLost:
            self._note("late", "LockLost")
        else:
            self._violation(f"{self} had expired, and release did not raise LockLost")
        return accepted

    def _write_late(self, key: str, mark: int) -> None:
        try:
            self._channel.set(self._key(key), {"by": self.lease.fence}, fence=self.lease.fence)
        except oc.StaleFence:
            self._note("late", "StaleFence")
        else:
            self._violation(f"{self} overwrote key {key!r}, written with fence {mark}")

    def _write(self, key: str) -> bool:
        """Write a key and read it back; return whether the section can continue."""
        written = {"by": self.lease.fence}
        try:
            self._channel.set(self._key(key), written, fence=self.lease.fence)
        except oc.StaleFence as stale:
            if self.lease.held:
                self._violation(
                    f"{self} is valid, but its write was refused because of fence {stale.mark}"
                )
            return False
        if not self._is_alone(self._ledger.renew(self.lease.fence, self.lease.deadline, key)):
            return False
        value = self._channel.get(self._key(key))
        if self._check_held() and value != written:
            self._violation(f"{self} is valid, but read {value} instead of what it had written")
        return self.lease.held

    def _key(self, key: str) -> dict[str, str]:
        return {"lock": self.lease._lock_name, "key": key}

    def _is_alone(self, other: Entry | None) -> bool:
        """Check a conflicting entry; return whether the section can continue."""
        if other is None:
            return self._check_held()
        if other.fence < self.lease.fence or self.lease.held:
            self._violation(
                f"overlap on {self.lease._lock_name!r}: {self} and {other} were both in the section"
            )
        return False

    def _check_held(self) -> bool:
        before = _now()
        if self.lease.held:
            self.last_held = before
            return True
        return False

    def _violation(self, message: str) -> None:
        self._note("violation", message)

    def __str__(self) -> str:
        return f"the lease with fence {self.lease.fence} of process {os.getpid()}"


def _open(settings: dict[str, Any]) -> oc.Channel:
    while True:
        try:
            return oc.open_channel(settings["channel"], settings["config"])
        except (oc.ChannelTimeout, oc.ChannelUnavailable):
            if not settings["server_fails"] or os.getppid() != settings["parent"]:
                raise


def main(settings: dict[str, Any]) -> None:
    """Open the channel and run sections."""
    rng = random.Random(settings["seed"])  # noqa: S311  chooses faults, keeps no secret
    with _open(settings) as channel:
        if settings["asynchronous"]:
            with LoopChannel(channel) as face:
                Worker(face, settings, rng).work(settings["parent"])
        else:
            Worker(channel, settings, rng).work(settings["parent"])


if __name__ == "__main__":
    serve(main)
