"""Exclusivity under fire: processes killed and stopped, connections cut, the server restarted."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import RedisServer, or_skip

WORKER = Path(__file__).with_name("torture_worker.py")
PROCESSES = 8
TTL = 0.4
LIMIT = 900


class Torture:
    """Processes that work in sections over a proxy, and what is done to them."""

    def __init__(self, server: RedisServer, proxy: Proxy, folder: Path, seed: int) -> None:
        self._server = server
        self._proxy = proxy
        self._folder = folder
        self._dice = random.Random(seed)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stopped: dict[int, float] = {}
        self.done: Counter[str] = Counter()

    def run(self, sections: int, pause: float) -> list[dict[str, Any]]:
        """Works until there are so many sections; answers what the processes wrote down."""
        history = self._folder / "history"
        history.touch()
        began = time.monotonic()
        acts = [self.kill, self.stop, self.cut, self.reset, self.delay, self.restart]
        try:
            for _ in range(PROCESSES):
                self._start()
            while history.read_bytes().count(b'"section"') < sections:
                assert time.monotonic() < began + LIMIT, "it does not get on"
                time.sleep(self._dice.uniform(0.1, 2) * pause)
                self._go_on()
                self._dice.choices(acts, (6, 6, 10, 4, 2, 0.4))[0]()
            self._proxy.heal()
            self._go_on(everybody=True)
            (self._folder / "enough").touch()
            for worker in self._workers:
                assert worker.wait(60) == 0
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()
        return [json.loads(line) for line in history.read_text().splitlines()]

    def kill(self) -> None:
        """Kills one with -9; another takes its place."""
        victim = self._dice.choice(self._workers)
        self._workers.remove(victim)
        self._stopped.pop(victim.pid, None)
        victim.kill()
        victim.wait()
        self._start()

    def stop(self) -> None:
        """Stops one for longer than its ttl."""
        victim = self._dice.choice(self._workers)
        os.kill(victim.pid, signal.SIGSTOP)
        self._stopped[victim.pid] = time.monotonic() + self._dice.uniform(1, 3) * TTL

    def cut(self) -> None:
        """Cuts a connection before a request, or before a reply."""
        way = self._dice.choice([self._proxy.cut_reply, self._proxy.cut_request])
        way(self._dice.randrange(1, 10), b"EVALSHA")

    def reset(self) -> None:
        """Ends all connections."""
        self._proxy.reset()

    def delay(self) -> None:
        """Lets replies take long for a moment."""
        self._proxy.delay(replies=self._dice.uniform(0.01, 0.3))
        time.sleep(0.2)
        self._proxy.heal()

    def restart(self) -> None:
        """Ends the server, in order or not, and starts it again."""
        self._dice.choice([self._server.shut_down, self._server.kill])()
        self._server.start()

    def _start(self) -> None:
        url = f"redis://127.0.0.1:{self._proxy.port}"
        self._workers.append(
            subprocess.Popen(
                [sys.executable, "-W", "error", WORKER, url, self._folder, str(self._dice.random())]
            )
        )

    def _go_on(self, everybody: bool = False) -> None:
        for pid, until in list(self._stopped.items()):
            if everybody or time.monotonic() >= until:
                os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]


def faults(history: list[dict[str, Any]]) -> list[str]:
    """Returns what must not have been, by the beliefs of those who were there."""
    found = [f"{one} was overwritten" for one in history if one["what"] == "overwritten"]
    leases: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for one in history:
        if "fence" in one:
            known = leases[one["name"]].setdefault(one["fence"], one)
            if known["pid"] != one["pid"]:
                found.append(f"{one['fence']} was given to two processes")
        if one["what"] == "stale" and one["mark"] <= one["fence"]:
            found.append(f"{one} was refused by an older lease")
    for name, by_fence in leases.items():
        last: dict[str, Any] | None = None
        for one in sorted(by_fence.values(), key=lambda each: each["fence"]):
            if last and one["acquired"] < last["asked"]:
                found.append(f"{name}: fence {one['fence']} was granted before {last['fence']}")
            if last and last.get("believed", 0) > one["acquired"]:
                found.append(f"{name}: {last} overlaps with {one}")
            last = one
    return found


def torture(folder: Path, sections: int, pause: float) -> Counter[str]:
    seed = random.randrange(10**9)
    with (
        or_skip(),
        RedisServer(options={"appendfsync": "always"}) as server,
        Proxy(server.address) as proxy,
    ):
        history = Torture(server, proxy, folder, seed).run(sections, pause)
    assert faults(history) == [], f"seed {seed}"
    return Counter(one["what"] for one in history)


def test_sections_exclude_each_other_under_fire(tmp_path: Path) -> None:
    """Eight processes on four names, some hundred sections, in any state of disrepair."""
    seen = torture(tmp_path, 400, 0.1)
    assert seen["section"] >= 400


@pytest.mark.torture
@pytest.mark.timeout(1000)
def test_tens_of_thousands_of_sections(tmp_path: Path) -> None:
    """The same for long; stopped holders were told, and stale writes refused."""
    seen = torture(tmp_path, 20_000, 0.5)
    assert seen["lost"] > 0
    assert seen["stale"] > 0


def test_the_checker_finds_overlaps_and_fences_that_fall() -> None:
    """What it is to catch, it catches."""
    one = {"what": "section", "name": "north", "fence": 1, "pid": 1}
    one |= {"asked": 0.5, "acquired": 1.0, "believed": 2.0}
    two = {**one, "fence": 2, "asked": 2.1, "acquired": 2.5, "believed": 3.0, "pid": 2}
    assert faults([one, two]) == []
    assert faults([one, {**two, "acquired": 1.5}])
    late = {**one, "fence": 0, "asked": 0.1, "acquired": 5.0, "believed": 0.0}
    assert faults([late, one]) == []  # it was stopped before it could note the time
    assert faults([{**one, "fence": 3}, two])
    assert faults([one, {**two, "fence": 1}])
    assert faults([one, {**one, "what": "overwritten"}])
