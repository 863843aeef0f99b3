"""A forked child has its own connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.servers import RedisServer
    from ojobchannels.testing.subject import Subject

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
            for turn in range(100):
                channel.set(f"child {number}", turn)
                assert channel.get(f"child {number}") == turn
            with channel.lock(f"lock {number}", ttl=30):
                assert channel.try_lock("held", ttl=1) is None
            assert held.remaining() == 0
            held.release()
            channel.close()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    children.append(child)
for turn in range(300):
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
    storage: Subject, start_worker: StartWorker
) -> None:
    """Forked while other threads were working and waiting: no reply reaches another process."""
    worker = start_worker(USE_BOTH, storage)
    assert worker.hear() == [0] * 5
    assert worker.hear() == "done"
    assert worker.end() == 0


def test_a_child_that_ends_takes_no_connection_of_its_parent_along(
    server: RedisServer, start_worker: StartWorker, storage: Subject
) -> None:
    """The parent's connection is as good after as before, and is the only one left."""
    storage.options = {"url": server.url}
    worker = start_worker(
        """
import os
channel.set("key", 1)
for _ in range(3):
    child = os.fork()
    if child == 0:
        channel.get("key")
        os._exit(0)
    os.waitpid(child, 0)
channel.set("key", 2)
say("waiting")
hear()
""",
        storage,
    )
    assert worker.hear() == "waiting"
    server.wait_until(lambda: server.info()["connected_clients"] == "2", "kept connections")
    assert server.info()["total_connections_received"]
    worker.tell()
    assert worker.end() == 0


def test_a_child_goes_on_when_its_parent_is_gone(
    storage: Subject, start_worker: StartWorker
) -> None:
    """What it writes is there, whether the parent closed the channel or died."""
    parent = start_worker(
        """
import os
channel.set("parent", 1)
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.close(write)
    os.read(read, 1)  # until the parent is gone
    for n in range(50):
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
    assert parent.hear() == 52
    with storage.open() as channel:
        assert channel.get("child") == "done"
        assert isinstance(channel, oc.Channel)
