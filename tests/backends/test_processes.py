"""Processes that share a `file` or `db` channel, beyond what the kit proves of every backend."""

from __future__ import annotations

import os
import random
import signal
import time
from itertools import islice
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]


WRITE = """
for number in range(params["start"], params["keys"]):
    channel.set({"by": params["by"], "number": number}, {"by": params["by"], "number": number})
    send(number)
"""


def acknowledged(worker: Child, limit: int | None = None) -> int:
    """Return how many keys the writer has reported as stored."""
    return max((number + 1 for number in islice(worker.remaining(), limit)), default=0)


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_two_processes_write_a_thousand_keys_while_they_are_killed(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Writers are killed at random and restarted: all acknowledged writes are stored."""
    channel, keys = shared_storage.open(), 500

    def start(by: str) -> Child:
        stored = [one["number"] for one in channel.get_all({"by": by})]
        assert stored == list(range(len(stored)))
        return start_worker(WRITE, shared_storage, by=by, start=len(stored), keys=keys)

    writers = {by: start(by) for by in "ab"}
    for _ in range(4):
        for by, writer in writers.items():
            before = acknowledged(writer, limit=1 + random.randrange(keys // 8))
            writer.kill()
            assert max(before, acknowledged(writer)) <= len(channel.get_all({"by": by}))
            writers[by] = start(by)
    assert [writer.end() for writer in writers.values()] == [0, 0]
    assert channel.size() == 2 * keys
    for by in "ab":
        assert [one["number"] for one in channel.get_all({"by": by})] == list(range(keys))


def test_a_forked_child_continues_after_its_parent_has_died(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """The child's writes are stored although the parent closed the channel and ended."""
    parent = start_worker(
        """
import os, traceback
channel.set("parent", 1)
ready, begun = os.pipe()
child = os.fork()
if child == 0:
    os.close(ready)
    try:
        channel.set_all((n, n) for n in range(100))
        os.write(begun, b"!")
        receive()
        for n in range(100, 200):
            channel.set(n, n)
        send(channel.size())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
os.close(begun)
assert os.read(ready, 1) == b"!"
channel.close()
send("closed")
os._exit(0)
""",
        shared_storage,
    )
    assert parent.receive() == "closed"
    assert parent.wait() == 0
    with shared_storage.open() as channel:
        assert channel.size() == 101
        channel.set("other", 1)
    parent.send()
    assert parent.receive() == 202
    parent.end()
    channel = shared_storage.open()
    assert channel.size() == 202
    assert {*range(200)} < set(channel.get_keys())


def test_a_stopped_process_does_not_hang_the_others(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Stopped anywhere, even in the middle of a write, it delays others by at most a timeout."""
    channel = shared_storage.open(timeout=0.2)
    worker = start_worker(
        "send()\nwhile True:\n    channel.set('key', 'x' * 100000)", shared_storage
    )
    worker.receive()
    refused = 0
    for turn in range(10):
        os.kill(worker.pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            channel.set("other", turn)
        except oc.ChannelTimeout:
            refused += 1
        assert time.monotonic() - began < 15
        os.kill(worker.pid, signal.SIGCONT)
    worker.kill()
    channel.set("other", "last")
    assert channel.get("other") == "last"
