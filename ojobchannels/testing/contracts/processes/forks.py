"""Forks: a child process can use a channel, but owns no leases of its parent (rule 9)."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from ojobchannels.testing.contracts.base import Contract, promised, requires, timed
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.subject import Subject

FORK = """
import os, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
lease = channel.lock("nightly", ttl=60)
send(lease.fence)
receive()
child = os.fork()
if child == 0:
    try:
        lease.release()
        lease.release()
        with lease:
            pass
        assert not lease.held
        assert lease.remaining() == 0
        for attempt in (lease.check, lease.extend, lease.to_document, lease.share):
            try:
                attempt()
            except oc.LockLost as error:
                assert "parent" in str(error)
            else:
                raise AssertionError(attempt)
        channel.set("written by", os.getpid())
        assert channel.get("parent's") == "value"
        assert channel.try_lock("nightly", ttl=1) is None
        own = channel.lock("child's", ttl=60)
        send("child")
        receive()
        own.release()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
send(child)
send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
lease.check()
receive()
lease.release()
send("released")
"""
RENEW = """
import os, threading, time, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
lost = threading.Event()
lease = channel.lock("nightly", ttl=2.4, keep_alive=True, on_lost=lambda _: lost.set())
child = os.fork()
if child == 0:
    try:
        lease.release()
        with channel.lock("child's", ttl=2.4, keep_alive=True) as own:
            time.sleep(2.45)
            own.check()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
lease.check()
assert not lost.is_set()
lease.release()
send("fine")
"""
BUSY = """
import os, threading, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
held = channel.lock("held", ttl=60)
stop = threading.Event()
def work(number):
    turn = 0
    while not stop.is_set():
        turn += 1
        channel.set({"by": number}, turn)
        with channel.lock(f"lock {number}", ttl=60):
            channel.get({"by": number})
def wait():
    try:
        channel.lock("held", ttl=60, wait=60)
    except oc.ChannelClosed:
        pass
threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
threads.append(threading.Thread(target=wait))
for thread in threads:
    thread.start()
def in_child(number):
    for turn in range(20):
        channel.set(f"child {number}", turn)
        assert channel.get(f"child {number}") == turn
    with channel.lock(f"child's {number}", ttl=60, wait=10):
        assert not params["shared"] or channel.try_lock("held", ttl=60) is None
    assert held.remaining() == 0
    channel.close()
children = []
try:
    for number in range(5):
        child = os.fork()
        if child == 0:
            try:
                in_child(number)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    for turn in range(50):
        channel.set("parent", turn)
        assert channel.get("parent") == turn
    send([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    stop.set()
    held.extend()
    held.release()
finally:
    stop.set()
    channel.close()
    for thread in threads:
        thread.join()
"""
ORPHAN = """
import os, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
channel.set("parent", 1)
ready, begun = os.pipe()
child = os.fork()
if child == 0:
    try:
        for n in range(20):
            channel.set(n, n)
        os.write(begun, b"!")
        receive()
        for n in range(20, 40):
            channel.set(n, n)
        send(channel.size())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
os.read(ready, 1)
channel.close()
send("closed")
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

NORMAL_END = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
granted = threading.Event()
def wait():
    with channel.lock("waited for", ttl=60, wait=60):
        granted.set()
lease, other = channel.lock("nightly", ttl=60), channel.lock("waited for", ttl=60)
waiter = threading.Thread(target=wait)
waiter.start()
channel.set("parent", 1)
child = os.fork()
if child == 0:
    channel.set("child", 1)
    own = channel.lock("child's", ttl=60)
    again = oc.open_channel(channel_name, channel_config)
    again.try_lock("again", ttl=60)
    again.close()
    sys.exit(7)  # leaves the `with` block of the channel, and runs the exit functions
send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
lease.check()
lease.extend()
assert channel.get("parent") == 1
assert not granted.is_set()
send([channel.lock_info(name) is not None for name in ("nightly", "waited for")])
receive()
other.release()
assert granted.wait(10)
waiter.join()
lease.release()
send("released")
"""


@promised(pytest.mark.skipif(not hasattr(os, "fork"), reason=f"{sys.platform} has no fork"))
class ForkContract(Contract):
    """The behaviour of channels and leases in a forked child."""

    @requires("processes")
    def test_a_forked_child_owns_no_lease_of_its_parent(
        self, subject: Subject, children: Children
    ) -> None:
        """In the child, `release` and `with` do nothing, and the parent keeps the lock."""
        channel = subject.open()
        channel.set("parent's", "value")
        worker = children(FORK, subject)
        worker.receive()
        worker.send()
        child, word = sorted([worker.receive(), worker.receive()], key=str)
        assert word == "child"
        assert channel.get("written by") == child
        assert channel.lock_info("nightly") is not None
        info = channel.lock_info("child's")
        assert info is not None
        assert info.holder["pid"] == child
        worker.send()
        assert worker.receive() == 0
        assert channel.lock_info("child's") is None
        assert channel.lock_info("nightly") is not None
        worker.send()
        assert worker.receive() == "released"
        assert channel.lock_info("nightly") is None
        assert worker.end() == 0

    def test_a_forked_child_that_ends_normally_leaves_the_parent_alone(
        self, subject: Subject, children: Children
    ) -> None:
        """It closes the handle; the parent's leases, waiters and documents are not affected."""
        worker = children(NORMAL_END, subject)
        assert worker.receive() == 7
        assert worker.receive() == [True, True]
        if "processes" in subject.capabilities:
            channel = subject.open()
            assert channel.get("child") == 1
            assert sorted(info.name for info in channel.locks()) == ["nightly", "waited for"]
            assert channel.try_lock("nightly", ttl=1) is None
        worker.send()
        assert worker.receive() == "released"
        assert worker.end() == 0

    @requires("processes", "crash_release")
    def test_a_forked_child_does_not_hold_the_lock_of_a_dead_parent(
        self, subject: Subject, children: Children
    ) -> None:
        """Although the child has inherited the open files."""
        channel = subject.open()
        channel.set("parent's", "value")
        worker = children(FORK, subject)
        worker.receive()
        worker.send()
        child = next(word for word in (worker.receive(), worker.receive()) if word != "child")
        worker.kill()
        try:
            assert channel.lock_info("nightly") is None
            with channel.lock("nightly", ttl=1):
                pass
        finally:
            os.kill(child, signal.SIGKILL)

    @timed
    def test_the_parent_renews_its_leases_after_a_fork(
        self, subject: Subject, children: Children
    ) -> None:
        """A lease of the child is renewed as well."""
        worker = children(RENEW, subject)
        assert worker.receive() == "fine"
        assert worker.end() == 0

    def test_a_child_forked_from_busy_threads_works(
        self, subject: Subject, children: Children
    ) -> None:
        """It inherits no locked mutex, and gets no reply of the parent."""
        worker = children(BUSY, subject, shared="processes" in subject.capabilities)
        assert worker.receive() == [0] * 5
        assert worker.end() == 0

    @requires("processes")
    def test_a_forked_child_outlives_its_parents_channel(
        self, subject: Subject, children: Children
    ) -> None:
        """All writes of the child are stored, before and after."""
        parent = children(ORPHAN, subject)
        assert parent.receive() == "closed"
        with subject.open() as channel:
            assert channel.size() == 21
            channel.set("other", 1)
        parent.send()
        assert parent.receive() == 42
        assert parent.end() == 0
        channel = subject.open()
        assert channel.size() == 42
        assert {*range(40)} < set(channel.get_keys())
