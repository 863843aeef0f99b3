"""Processes: several of them use one storage at the same time."""

from __future__ import annotations

import statistics

from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.kit.children import Child, Children, boot_time
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl

# Takes the locks that the test names, and sends the time of each grant.
WAIT = """
with oc.open_channel(channel_name, channel_config, extensions=[WaitObserver()]) as waiting:
    while name := receive():
        with waiting.lock(name, ttl=60, wait=60):
            send(boot_time())
"""
COUNT = """
send()
receive()
for _ in range(params["turns"]):
    while True:
        seen = channel.get("counter")
        if channel.get_set(seen, "counter", {"n": seen["n"] + 1}) is not None:
            break
"""
TRY = """
send()
for turn in range(params["turns"]):
    receive()
    send(channel.try_lock(f"lock {turn}", ttl=60) is not None)
receive()
"""
TAKE = """
taken = []
send()
receive()
operation = channel.pop if params["pops"] else channel.shift
while (value := operation(default=oc.MISSING)) is not oc.MISSING:
    taken.append(value)
send(taken)
"""

FENCES = """
from ojobchannels.testing.clock import ManualClock
clock = ManualClock()
clock.step_wall(-3600)
if params["steps"]:
    channel_config["args"]["clock"] = clock
with oc.open_channel(channel_name, channel_config) as own:
    send()
    while receive():
        with own.lock("nightly", ttl=60) as lease:
            fence = lease.fence
        send(fence)
"""


@requires("processes")
class ProcessContract(Contract):
    """Processes that share a storage see, exclude and wake each other."""

    def test_a_process_sees_writes_of_another_process(
        self, subject: Subject, children: Children
    ) -> None:
        """No read is older than the last write of another process."""
        child = children(
            """
while (value := receive()) is not None:
    send([channel.get("key"), channel.get_all(match={"n": value}), channel.size()])
    channel.set("reply", value)
    send()
""",
            subject,
        )
        channel = subject.open()
        for turn in range(20):
            channel.set("key", {"n": turn})
            child.send(turn)
            assert child.receive() == [{"n": turn}, [{"n": turn}], 1 + (turn > 0)]
            child.receive()
            assert channel.get("reply") == turn

    def test_a_lock_of_another_process_is_held(self, subject: Subject, children: Children) -> None:
        """`lock_info` shows its pid, and its release frees the lock."""
        holder = children(
            """
lease = channel.lock("nightly", ttl=60)
send(lease.fence)
receive()
lease.release()
send()
""",
            subject,
        )
        fence = holder.receive()
        channel = subject.open()
        assert channel.try_lock("nightly", ttl=60) is None
        info = channel.lock_info("nightly")
        assert info is not None
        assert (info.fence, info.holder["pid"]) == (fence, holder.pid)
        holder.send()
        holder.receive()
        with channel.lock("nightly", ttl=60) as lease:
            assert lease.fence > fence

    def test_one_of_several_processes_gets_the_lock(
        self, subject: Subject, children: Children
    ) -> None:
        """Of three that try at once, ten times in a row."""
        workers = [children(TRY, subject, turns=10) for _ in range(3)]
        for worker in workers:
            worker.receive()
        for turn in range(10):
            for worker in workers:
                worker.send()
            granted = [worker.receive() for worker in workers]
            assert granted.count(True) == 1, f"turn {turn}: {granted.count(True)} got the lock"

    def test_a_process_with_a_wrong_clock_neither_steals_nor_loses_a_lock(
        self, subject: Subject, children: Children
    ) -> None:
        """A process whose wall clock is an hour ahead or behind from its start."""
        channel = subject.open()
        lease = channel.lock("ours", ttl=60)
        script = """
import time
wall, wall_ns, by = time.time, time.time_ns, params["by"]
time.time, time.time_ns = lambda: wall() + by, lambda: wall_ns() + by * 10**9
with oc.open_channel(channel_name, channel_config) as other:
    stolen = other.try_lock("ours", ttl=60) is not None
    own = other.lock(f"theirs {by}", ttl=60)
    send([stolen, own.fence])
    receive()
    own.extend()
    own.release()
    send("kept")
"""
        for by in (3600, -3600):
            child = children(script, subject, by=by)
            stolen, fence = child.receive()
            assert stolen is False, "a client whose clock is off stole the lock"
            assert channel.try_lock(f"theirs {by}", ttl=60) is None
            info = channel.lock_info(f"theirs {by}")
            assert info is not None
            assert info.fence == fence
            child.send()
            assert child.receive() == "kept"
        lease.release()

    def test_fences_increase_between_processes(
        self, subject: Subject, timing: TimeControl, children: Children
    ) -> None:
        """The last one is remembered by the storage: one process has a clock an hour behind."""
        steps = timing.clock is not None
        others = [children(FENCES, subject, steps=steps) for _ in range(2)]
        channel = subject.open()
        for other in others:
            other.receive()
        fences = []
        for turn in range(20):
            with channel.lock("nightly", ttl=60) as lease:
                fences.append(lease.fence)
            others[turn % 2].send(True)
            fences.append(others[turn % 2].receive())
        assert fences == sorted(set(fences)), "a fence was not higher than the one before"

    def test_no_update_is_lost_between_processes(
        self, subject: Subject, children: Children
    ) -> None:
        """Three processes that increment a counter by compare-and-set lose no increment."""
        channel = subject.open()
        channel.set("counter", {"n": 0})
        workers = [children(COUNT, subject, turns=40) for _ in range(3)]
        for worker in workers:
            worker.receive()
        for worker in workers:
            worker.send()
        assert [worker.end() for worker in workers] == [0] * 3
        assert channel.get("counter") == {"n": 120}

    def test_no_entry_is_removed_twice(self, subject: Subject, children: Children) -> None:
        """Concurrent `pop` and `shift` never return the same entry twice."""
        channel = subject.open()
        for number in range(90):
            channel.set(number, number)
        workers = [children(TAKE, subject, pops=bool(number % 2)) for number in range(3)]
        for worker in workers:
            worker.receive()
        for worker in workers:
            worker.send()
        taken = [value for worker in workers for value in worker.receive()]
        assert sorted(taken) == list(range(90))
        assert channel.size() == 0

    def test_a_release_wakes_a_waiter_in_another_process(
        self, subject: Subject, children: Children
    ) -> None:
        """Within 50 ms and two round trips, in the median of ten."""
        waiter = children(WAIT, subject)
        channel = subject.open()
        lags = []
        for turn in range(10):
            lease = channel.lock(f"lock {turn}", ttl=60)
            waiter.send(lease.name)
            assert waiter.receive() == "waiting"
            released = boot_time()
            lease.release()
            lags.append(_grant_time(waiter) - released)
        assert statistics.median(lags) < 0.06, f"woken after {sorted(lags)} s"

    def test_a_detached_lease_survives_the_exit_of_its_process(
        self, subject: Subject, children: Children
    ) -> None:
        """A process that detached a lease does not release it at exit."""
        sender = children("send(channel.lock('nightly', ttl=60).to_document())", subject)
        document = sender.receive()
        assert sender.end() == 0
        with subject.open().lease_from(document) as lease:
            assert lease.fence == document["fence"]

    def test_a_lease_moves_to_another_process(self, subject: Subject, children: Children) -> None:
        """That process keeps it alive, writes with its fence, and is shown as the holder."""
        channel = subject.open()
        document = channel.lock("nightly", ttl=60).to_document()
        receiver = children(
            """
lease = channel.lease_from(params["document"], keep_alive=True)
channel.set("result", "done", fence=lease.fence)
send(lease.fence)
receive()
lease.release()
send()
""",
            subject,
            document=document,
        )
        assert receiver.receive() == document["fence"]
        assert channel.get("result") == "done"
        info = channel.lock_info("nightly")
        assert info is not None
        assert info.holder["pid"] == receiver.pid
        receiver.send()
        receiver.receive()
        assert channel.lock_info("nightly") is None


def _grant_time(child: Child) -> float:
    """Return the time of a grant, as the child sends it."""
    return float(child.receive())
