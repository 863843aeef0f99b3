"""Runs a torture: starts the processes, breaks what is to be broken, and reads what they wrote."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ojobchannels.errors import InvalidOption
from ojobchannels.testing.torture.arenas import Arena
from ojobchannels.testing.torture.plan import FAULTS, ON_SERVERS, PATIENT_TTL, SHORT_TTL, Plan
from ojobchannels.testing.torture.result import Result, judge
from ojobchannels.testing.torture.witness import insiders

_WEIGHTS: Final = {"kill": 6, "stop": 6, "cut": 10, "reset": 4, "delay": 2}
_RARELY: Final = 0.4
_STUCK: Final = 60.0  # seconds without a section
_LOOK: Final = 0.05
_BUSY: Final = 0.8  # of the victims are to be in a section


def torture(arena: Arena, plan: Plan) -> Result:
    """Tortures a channel, and returns what came of it; its `faults` are to be empty.

    Raises:
        InvalidOption: The plan wants what cannot be done there.
    """
    _check(arena, plan)
    with tempfile.TemporaryDirectory(prefix="ojobchannels-") as folder:
        return _Torture(arena, plan, Path(folder)).run()


class _Torture:
    def __init__(self, arena: Arena, plan: Plan, folder: Path) -> None:
        self._arena = arena
        self._plan = plan
        self._folder = folder
        self._dice = random.Random(plan.seed)  # noqa: S311  chance of a test
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stopped: dict[int, float] = {}
        self._sections = 0
        self._last = ""
        self._harmed_at = 0  # sections: on a slow host nothing would get on otherwise
        self._wrong = ""
        self._done: Counter[str] = Counter()
        frees_at_death = "crash_release" in arena.subject.channel_type.capabilities
        self._lapses = bool(set(plan.faults) - ({"kill"} if frees_at_death else set()))
        self._ttl = plan.ttl or (SHORT_TTL if self._lapses else PATIENT_TTL)

    def run(self) -> Result:
        history = self._folder / "history"
        history.touch()
        began = time.monotonic()
        with history.open("rb") as lines, self._team():
            self._go_on_until_enough(lines, began)
            seconds = time.monotonic() - began
            self._finish()
        return judge(
            history, self._arena.label, self._plan, self._ttl, seconds, self._done, self._wrong
        )

    def _go_on_until_enough(self, lines: Iterator[bytes], began: float) -> None:
        moved, next_fault = began, began + self._pause()
        while not self._wrong:
            time.sleep(_LOOK)
            now = time.monotonic()
            if self._read(lines):
                moved = now
            elif now > moved + _STUCK:
                self._wrong = f"no process got on for {_STUCK:g} s"
            ends = self._plan.seconds is not None and now >= began + self._plan.seconds
            if ends or self._sections >= self._plan.sections:
                return
            self._look_after_workers()
            self._wake(now)
            if now >= next_fault and self._sections >= self._harmed_at + self._plan.processes:
                self._do_harm()
                next_fault = time.monotonic() + self._pause()

    def _read(self, lines: Iterator[bytes]) -> bool:
        before = self._sections
        for line in lines:
            self._sections += line.startswith(b'["section"')
            if line.startswith(b'["wrong"') and line.endswith(b"\n"):
                self._wrong = json.loads(line)[1]
        return self._sections > before

    def _look_after_workers(self) -> None:
        if any(worker.poll() is not None for worker in self._workers):
            self._wrong = self._wrong or f"a process ended by itself: {self._last_words()}"

    def _last_words(self) -> str:
        return (self._folder / "stderr").read_text("utf-8", "replace")[-4000:]

    def _do_harm(self) -> None:
        if not self._plan.faults:
            return
        weights = [_WEIGHTS.get(fault, _RARELY) for fault in self._plan.faults]
        if self._last == "delay":
            self._arena.heal()
        self._last = fault = self._dice.choices(self._plan.faults, weights)[0]
        self._done[fault] += 1
        self._harmed_at = self._sections
        if fault == "kill":
            self._kill()
        elif fault == "stop":
            self._stop()
        else:
            self._arena.breaks[fault](self._dice)

    def _kill(self) -> None:
        victim = self._victim()
        self._workers.remove(victim)
        self._stopped.pop(victim.pid, None)
        victim.kill()
        victim.wait()
        self._start()

    def _stop(self) -> None:
        victim = self._victim()
        os.kill(victim.pid, signal.SIGSTOP)
        self._stopped[victim.pid] = time.monotonic() + self._dice.uniform(1, 3) * self._ttl

    def _victim(self) -> subprocess.Popen[bytes]:
        """Chooses a process, for the most part one that is at work in a section."""
        busy = insiders(self._folder) if self._dice.random() < _BUSY else set()
        return self._dice.choice([one for one in self._workers if one.pid in busy] or self._workers)

    def _wake(self, now: float) -> None:
        for pid, until in list(self._stopped.items()):
            if now >= until:
                os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]

    @contextmanager
    def _team(self) -> Iterator[None]:
        try:
            for _ in range(self._plan.processes):
                self._start()
            yield
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()

    def _start(self) -> None:
        given = {
            "channel": self._arena.subject.name,
            "config": self._arena.subject.config,
            "folder": str(self._folder),
            "names": self._plan.names,
            "ttl": self._ttl,
            "wait": max(20, 2 * self._ttl),
            "lapses": self._lapses,
            "unsure": bool(ON_SERVERS & set(self._plan.faults)),
            "seed": self._dice.random(),
            "parent": os.getpid(),
        }
        module = "ojobchannels.testing.torture.worker"
        with (self._folder / "stderr").open("ab") as shouts:
            self._workers.append(
                subprocess.Popen(  # noqa: S603  ourselves
                    [sys.executable, "-P", "-W", "error", "-m", module, json.dumps(given)],
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    stdin=subprocess.DEVNULL,
                    stdout=shouts,
                    stderr=shouts,
                )
            )

    def _finish(self) -> None:
        """Lets all processes come to their end; what is wrong by then needs no more."""
        if self._wrong:
            return
        self._arena.heal()
        self._wake(float("inf"))
        (self._folder / "enough").touch()
        for worker in self._workers:
            try:
                worker.wait(_STUCK)
            except subprocess.TimeoutExpired:
                self._wrong = f"process {worker.pid} did not come to its end within {_STUCK:g} s"
        if any(worker.returncode for worker in self._workers):
            self._wrong = self._wrong or f"a process ended with an error: {self._last_words()}"

    def _pause(self) -> float:
        return self._dice.uniform(0.1, 2) * self._plan.pause


def _check(arena: Arena, plan: Plan) -> None:
    for fault in plan.faults:
        if fault not in FAULTS:
            raise InvalidOption(f"fault {fault!r}", "there is no such", f"give {', '.join(FAULTS)}")
        if fault in ON_SERVERS and fault not in arena.breaks:
            can = ", ".join(["kill", "stop", *arena.breaks])
            raise InvalidOption(
                f"fault {fault!r}",
                f"it cannot be done to {arena.label}",
                f"give {can}, or have a server started with --channel redis or --channel mongo",
            )
    arena.subject.open().close()
