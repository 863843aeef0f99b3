"""A forked child has a client of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Storage

    StartWorker = Callable[..., Any]

USE_BOTH = """
import os, sys, threading, traceback, warnings

warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
channel.set("parent", 0)
held = channel.lock("held", ttl=60)
stop = threading.Event()
def work():
    while not stop.is_set():
        channel.set("busy", 1)
        channel.get("busy")
def wait():
    try:
        channel.lock("held", ttl=60, wait=60)
    except oc.ChannelClosed:
        pass
threads = [threading.Thread(target=work) for _ in range(3)] + [threading.Thread(target=wait)]
for thread in threads:
    thread.start()
children = []
for number in range(5):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for turn in range(30):
                channel.set(f"child {number}", turn)
                assert channel.get(f"child {number}") == turn
            with channel.lock(f"lock {number}", ttl=30):
                assert channel.try_lock("held", ttl=1) is None
                try:
                    channel.lock("held", ttl=1, wait=0.1)
                except oc.LockBusy:
                    pass
            assert held.remaining() == 0
            held.release()
            channel.close()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    children.append(child)
for turn in range(100):
    channel.set("parent", turn)
    assert channel.get("parent") == turn
say([os.waitpid(child, 0)[1] for child in children])
stop.set()
held.check()
held.extend()
held.release()
channel.close()
for thread in threads:
    thread.join()
say("done")
"""


def test_parent_and_children_use_one_channel_at_once(
    storage: Storage, start_worker: StartWorker
) -> None:
    """Forked while other threads were working and waiting: no reply reaches another process."""
    worker = start_worker(USE_BOTH, storage)
    assert worker.hear() == [0] * 5
    assert worker.hear() == "done"
    assert worker.end() == 0


def test_a_child_that_ends_takes_nothing_of_its_parent_along(
    storage: Storage, start_worker: StartWorker
) -> None:
    """Neither connections nor leases; and it ends in order without a word."""
    worker = start_worker(
        """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
channel.set("key", 1)
lease = channel.lock("nightly", ttl=60)
for uses in (True, False):
    child = os.fork()
    if child == 0:
        if uses:
            channel.get("key")
        sys.exit(7)  # in order: what is to be done at the end of a process is done
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    lease.check()
    channel.set("key", 2, fence=lease.fence)
    lease.extend()
lease.release()
""",
        storage,
    )
    assert worker.hear() == 7
    assert worker.hear() == 7
    assert worker.end() == 0


def test_a_child_goes_on_when_its_parent_is_gone(
    storage: Storage, start_worker: StartWorker
) -> None:
    """What it writes is there, whether the parent closed the channel or died."""
    parent = start_worker(
        """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
channel.set("parent", 1)
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.close(write)
    os.read(read, 1)  # until the parent is gone
    for n in range(20):
        channel.set(n, n)
    channel.set("child", "done")
    say(channel.size())
    os._exit(0)
os.close(read)
channel.close()
os._exit(0)
""",
        storage,
    )
    assert parent.hear() == 22
    assert storage.open().get("child") == "done"


def test_handles_of_one_place_share_a_client(storage: Storage) -> None:
    """It is closed with the last of them, and not before, though one is closed twice."""
    one, other = storage.open(), storage.open("another")
    elsewhere = storage.open(prefix="elsewhere")
    servers = [
        handle.hook.get.get_hookimpls()[0].plugin.line.server for handle in (one, other, elsewhere)
    ]
    assert servers[0] is servers[1] is not servers[2]
    backend = one.hook.get.get_hookimpls()[0].plugin
    one.close()
    backend.close()  # as after an interruption
    other.set("key", 1)
    assert other.get("key") == 1


def test_a_channel_that_nobody_closed_is_closed_with_the_process(
    storage: Storage, start_worker: StartWorker
) -> None:
    """Without a warning of the driver's."""
    worker = start_worker(
        """
kept = oc.open_channel("kept", given["config"], prefix="kept")
kept.set("key", 1)
say("done")
""",
        storage,
    )
    assert worker.hear() == "done"
    assert worker.end() == 0
