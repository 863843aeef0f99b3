"""Waits of the main thread in which a signal handler raises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ojobchannels.host.wakeup import Latch
from ojobchannels.manager import Launch

SEND = """\
import os, random, sys, time
for _ in range(2000):
    time.sleep(random.random() / 10_000)
    os.kill(int(sys.argv[1]), int(sys.argv[2]))
"""


class Stopped(KeyboardInterrupt):
    """What the handler raises."""


@pytest.fixture
def signals() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Call a function again and again, ended by the exception of a signal handler."""
    is_calling = False

    def handle(*_: object) -> None:
        nonlocal is_calling
        if is_calling:
            is_calling = False
            raise Stopped

    def call_interrupted(function: Callable[[], object]) -> None:
        nonlocal is_calling
        count = 0
        command = [sys.executable, "-c", SEND, str(os.getpid()), str(int(signal.SIGUSR1))]
        with subprocess.Popen(command) as sender:
            while sender.poll() is None:
                try:
                    is_calling = True
                    for _ in range(500):
                        function()
                except Stopped:
                    count += 1
                finally:
                    is_calling = False
        assert count > 100

    before = signal.signal(signal.SIGUSR1, handle)
    yield call_interrupted
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_at_any_moment_of_a_wait_for_a_launch_raises_only_its_own_exception(
    signals: Callable[[Callable[[], object]], None],
) -> None:
    """Another exception would not end the run as an interrupt does, and the run would wait."""
    launch = Launch("work")
    signals(lambda: launch.wait(0))
    thread = threading.Thread(target=launch._finish, args=("completed", 1), daemon=True)
    thread.start()
    assert launch.result(timeout=60) == 1
    thread.join()


def test_a_latch_wakes_all_that_wait_for_it() -> None:
    latch, woken = Latch(), threading.Semaphore(0)
    latch.then(woken.release)

    def wait() -> None:
        if latch.wait(60):
            woken.release()

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert not latch.is_set()
    latch.set()
    for thread in threads:
        thread.join()
    latch.then(woken.release)
    assert all(woken.acquire(blocking=False) for _ in range(5))
    assert latch.wait(0)


def test_a_wait_for_a_latch_ends_after_its_time() -> None:
    latch = Latch()
    began = time.monotonic()
    assert not latch.wait(0.02)
    assert time.monotonic() - began >= 0.02
