"""What must not be cut in two by a fork: each waits for the other."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.host.forks import begin_work, end_work, let_go_before_forks

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
    """No connection is taken between the moment when all are let go and the fork itself."""
    work, began = object(), threading.Event()
    early: list[bool] = []

    def do() -> None:
        begin_work(work)
        began.set()
        end_work(work)

    class Forking:
        def let_go(self) -> None:
            worker.start()
            early.append(began.wait(_A_MOMENT))

    worker = threading.Thread(target=do)
    forking = Forking()
    let_go_before_forks(forking)
    _fork()
    worker.join(10)
    assert (early, began.is_set()) == ([False], True)
    del forking


def test_a_fork_waits_for_the_end_of_work() -> None:
    """A connection in somebody's hands comes back before the process forks."""
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
        end_work(work)  # a second time does nothing
    forker.join(10)
    assert (early, forked.is_set()) == (False, True)


def test_a_fork_does_not_wait_for_what_failed_as_its_database_is_gone(db_storage: Storage) -> None:
    """Also where the loss of a lease is all that is told of it."""
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
    assert time.monotonic() - began < 8  # it waits for ten seconds, and goes on then


def test_many_at_work_and_a_fork_now_and_then_never_wait_for_each_other_for_ever() -> None:
    """Whoever comes first goes on, and who waits is told when it may."""
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
