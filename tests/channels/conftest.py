"""Renewals that a test observes, blocks or makes fail."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import ManualClock

TTL = 1.5


class Renewals:
    """An extension that records renewals, and can block them or make them fail."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.times: list[float] = []
        self.timeouts: list[int] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.failures: list[BaseException] = []

    @oc.hookimpl(wrapper=True)
    def extend_all(self, leases: list[Any], timeout: int) -> Iterator[None]:
        self.sizes.append(len(leases))
        self.times.append(time.monotonic())
        self.timeouts.append(timeout)
        self.begun.release()
        assert self.may_go.wait(30)
        if self.failures:
            raise self.failures.pop()
        results = yield
        self.done.release()
        return results

    def wait_for(self, count: int) -> None:
        """Wait for renewals that the host's clock triggers."""
        for _ in range(count):
            assert self.done.acquire(timeout=20)

    def bring(self, count: int, clock: ManualClock) -> None:
        """Let a third of the TTL pass, and a renewal with it, `count` times."""
        for _ in range(count):
            clock.advance(TTL / 3 + 0.01)
            assert self.done.acquire(timeout=20)

    def bring_retry(self, lease: oc.Lease, clock: ManualClock) -> None:
        """Let time pass until a renewal comes that succeeds, after those that fail."""
        while not self.done.acquire(timeout=0.5):
            lease.check()
            clock.advance(TTL / 20)


@pytest.fixture
def renewals() -> Iterator[Renewals]:
    """Renewals that are unblocked at the end of the test."""
    extension = Renewals()
    yield extension
    extension.may_go.set()


def threads(kind: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == f"ojobchannels-{kind}"]


def gone(kind: str) -> bool:
    for thread in threads(kind):
        thread.join(30)
    return not threads(kind)
