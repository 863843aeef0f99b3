"""Forks wait for short work, and new work waits for a fork."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.host.forks import begin_work, end_work, release_before_forks

if TYPE_CHECKING:
    from tests.conftest import Storage

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
_A_MOMENT = 0.05


def _fork() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def test_work_that_begins_during_a_fork_waits_for_its_end() -> None:
    """No connection is opened between the closing of all connections and the fork itself."""
    work, began = object(), threading.Event()
    early: list[bool] = []

    def do() -> None:
        begin_work(work)
        began.set()
        end_work(work)

    class Forking:
        def release_for_fork(self) -> None:
            worker.start()
            early.append(began.wait(_A_MOMENT))

    worker = threading.Thread(target=do)
    forking = Forking()
    release_before_forks(forking)
    _fork()
    worker.join(10)
    assert (early, began.is_set()) == ([False], True)
    del forking


def test_a_fork_waits_for_the_end_of_work() -> None:
    """A connection in use is returned before the process forks."""
    work, forked = object(), threading.Event()

    def fork() -> None:
        _fork()
        forked.set()

    forker = threading.Thread(target=fork)
    begin_work(work)
    try:
        forker.start()
        early = forked.wait(_A_MOMENT)
    finally:
        end_work(work)
        end_work(work)  # a second call does nothing
    forker.join(10)
    assert (early, forked.is_set()) == (False, True)


def test_a_fork_does_not_wait_for_work_that_failed(
    db_storage: Storage,
) -> None:
    """Its database is gone; also where the only error is the loss of a lease."""
    with db_storage.open() as channel:
        leases = [channel.lock(name, ttl=60) for name in ("a", "b")]
        db_storage.path.rename(db_storage.path.with_name("away"))
        with pytest.raises(oc.ChannelUnavailable):
            channel.get("a")
        for end in (leases[0].extend, leases[0].release, leases[1].release):
            with pytest.raises(oc.LockLost):
                end()
    began = time.monotonic()
    _fork()
    assert time.monotonic() - began < 8  # it would wait ten seconds, then continue


def test_many_workers_and_forks_never_deadlock() -> None:
    """The first to come continues, and the other is woken."""
    over = threading.Event()
    done: list[bool] = []

    def do() -> None:
        while not over.is_set():
            work = object()
            begin_work(work)
            end_work(work)
        done.append(True)

    workers = [threading.Thread(target=do) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(20):
            _fork()
    finally:
        over.set()
    for worker in workers:
        worker.join(10)
    assert len(done) == 4
