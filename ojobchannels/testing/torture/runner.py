"""Runs a torture test: starts the processes, injects the faults, and checks the history."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ojobchannels.errors import InvalidOption
from ojobchannels.testing.forks import Forks, modules_of
from ojobchannels.testing.torture.ledger import processes_inside
from ojobchannels.testing.torture.plan import FAULTS, LONG_TTL, ON_SERVERS, SHORT_TTL, Plan
from ojobchannels.testing.torture.result import Result, judge
from ojobchannels.testing.torture.targets import Target

_WEIGHTS: Final = {"kill": 6, "stop": 6, "cut": 10, "reset": 4, "delay": 2, "failover": 4}
_DEFAULT_WEIGHT: Final = 0.4
_STALL_SECONDS: Final = 60.0  # without a section
_POLL_SECONDS: Final = 0.05
_WORKER: Final = "ojobchannels.testing.torture.worker"
_VICTIMS_INSIDE: Final = 0.8  # share of the victims that are in a section


def torture(target: Target, plan: Plan) -> Result:
    """Run a torture test and return its result; a correct channel has no `violations`.

    Raises:
        InvalidOption: The plan has a fault that the target does not support.
    """
    _check(target, plan)
    with tempfile.TemporaryDirectory(prefix="ojobchannels-") as folder:
        imports = modules_of(target.subject.channel_type)
        with Forks(_WORKER, imports, Path(folder, "stderr")) as workers:
            return _Torture(target, plan, Path(folder), workers).run()


class _Torture:
    def __init__(self, target: Target, plan: Plan, folder: Path, workers: Forks) -> None:
        self._target = target
        self._plan = plan
        self._folder = folder
        self._rng = random.Random(plan.seed)  # noqa: S311  random choices of a test
        self._workers = workers
        self._stopped: dict[int, float] = {}
        self._started = itertools.count()
        self._sections = 0
        self._last = ""
        self._last_fault_at = 0  # sections; leaves slow hosts time to make progress
        self._violation = ""
        self._done: Counter[str] = Counter()
        frees_at_death = "crash_release" in target.subject.channel_type.capabilities
        self._lapses = bool(set(plan.faults) - ({"kill"} if frees_at_death else set()))
        self._ttl = plan.ttl or (SHORT_TTL if self._lapses else LONG_TTL)

    def run(self) -> Result:
        history = self._folder / "history"
        history.touch()
        began = time.monotonic()
        with history.open("rb") as lines:
            for _ in range(self._plan.processes):
                self._start()
            self._work(lines, began)
            seconds = time.monotonic() - began
            self._finish()
        return judge(
            history, self._target.label, self._plan, self._ttl, seconds, self._done, self._violation
        )

    def _work(self, lines: Iterator[bytes], began: float) -> None:
        moved, next_fault = began, began + self._pause()
        while not self._violation:
            time.sleep(_POLL_SECONDS)
            now = time.monotonic()
            if self._read(lines):
                moved = now
            elif now > moved + _STALL_SECONDS:
                self._violation = f"no progress for {_STALL_SECONDS:g} s"
            ends = self._plan.seconds is not None and now >= began + self._plan.seconds
            if ends or self._sections >= self._plan.sections:
                return
            self._check_workers()
            self._wake(now)
            if now >= next_fault and self._sections >= self._last_fault_at + self._plan.processes:
                self._inject_fault()
                next_fault = time.monotonic() + self._pause()

    def _read(self, lines: Iterator[bytes]) -> bool:
        before = self._sections
        for line in lines:
            self._sections += line.startswith(b'["section"')
            if line.startswith(b'["violation"') and line.endswith(b"\n"):
                self._violation = json.loads(line)[1]
        return self._sections > before

    def _check_workers(self) -> None:
        before = len(self._workers.running)
        self._workers.ended()
        if len(self._workers.running) < before:
            self._violation = self._violation or f"a process ended unexpectedly: {self._stderr()}"

    def _stderr(self) -> str:
        return (self._folder / "stderr").read_text("utf-8", "replace")[-4000:]

    def _inject_fault(self) -> None:
        if not self._plan.faults:
            return
        weights = [_WEIGHTS.get(fault, _DEFAULT_WEIGHT) for fault in self._plan.faults]
        if self._last == "delay":
            self._target.heal()
        not_yet = [fault for fault in self._plan.faults if not self._done[fault]]
        fault = not_yet[0] if not_yet else self._rng.choices(self._plan.faults, weights)[0]
        self._last = fault
        self._done[fault] += 1
        self._last_fault_at = self._sections
        if fault == "kill":
            self._kill()
        elif fault == "stop":
            self._stop()
        else:
            self._target.faults[fault](self._rng)

    def _kill(self) -> None:
        victim = self._victim()
        self._stopped.pop(victim, None)
        self._workers.kill(victim)
        self._start()

    def _stop(self) -> None:
        victim = self._victim()
        os.kill(victim, signal.SIGSTOP)
        self._stopped[victim] = time.monotonic() + self._rng.uniform(1, 3) * self._ttl

    def _victim(self) -> int:
        """Choose a process, most often one that is in a section."""
        inside = processes_inside(self._folder) if self._rng.random() < _VICTIMS_INSIDE else set()
        candidates = [worker for worker in self._workers.running if worker in inside]
        return self._rng.choice(candidates or self._workers.running)

    def _wake(self, now: float) -> None:
        for pid, until in list(self._stopped.items()):
            if now >= until:
                os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]

    def _start(self) -> None:
        settings = {
            "channel": self._target.subject.name,
            "config": self._target.subject.config,
            "folder": str(self._folder),
            "names": self._plan.names,
            "slots": self._plan.slots,
            "ttl": self._ttl,
            "wait": max(20, 2 * self._ttl),
            "lapses": self._lapses,
            "server_fails": bool(ON_SERVERS & set(self._plan.faults)),
            "asynchronous": self._plan.asynchronous and next(self._started) % 2 == 1,
            "seed": self._rng.random(),
            "parent": self._workers.parent,
        }
        self._workers.start(settings)

    def _finish(self) -> None:
        """Let all processes finish, unless a violation was found."""
        if self._violation:
            return
        self._target.heal()
        self._wake(float("inf"))
        (self._folder / "stop").touch()
        for worker in list(self._workers.running):
            status = self._workers.wait(worker, _STALL_SECONDS)
            if status is None:
                self._violation = f"process {worker} did not end within {_STALL_SECONDS:g} s"
            elif status:
                self._violation = (
                    self._violation or f"a process ended with an error: {self._stderr()}"
                )

    def _pause(self) -> float:
        return self._rng.uniform(0.1, 2) * self._plan.pause


def _check(target: Target, plan: Plan) -> None:
    for fault in plan.faults:
        if fault not in FAULTS:
            raise InvalidOption(f"fault {fault!r}", "unknown fault", f"use {', '.join(FAULTS)}")
        if fault in ON_SERVERS and fault not in target.faults:
            supported = ", ".join(["kill", "stop", *target.faults])
            raise InvalidOption(
                f"fault {fault!r}",
                f"not supported by {target.label}",
                f"use {supported}, or a --channel that has it, such as redis or ignite-cluster",
            )
    target.subject.open().close()
