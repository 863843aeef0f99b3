"""Forks by C libraries, unnoticed by Python: by `daemon`, or by servers with workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from tests.conftest import Storage

PROGRAM = """
import ctypes, os, sys
import ojobchannels as oc
channel = oc.open_channel("orders", type=sys.argv[1], file=sys.argv[2])
lease = channel.lock("parent", ttl=60)
if ctypes.CDLL(None).fork() == 0:
    own = channel.lock("child", ttl=60)
    print(os.getpid(), flush=True)
sys.stdin.readline()
"""


@contextmanager
def forked(type: str, file: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the program; yield the process and the number of its child."""
    command = [sys.executable, "-c", PROGRAM, type, file]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process, child
        finally:
            for pid in (child, process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the locks of Linux")
def test_a_hidden_child_keeps_no_lock_of_its_dead_parent_and_has_its_own(
    shared_storage: Storage,
) -> None:
    """The lock of the killed parent is free at once; the child's stays while the child lives."""
    channel = shared_storage.open("orders")
    file = str(shared_storage.options["file"])
    with forked(shared_storage.type, file) as (process, child):
        process.kill()
        process.wait()
        channel.lock("parent", ttl=30, wait=10).release()
        with pytest.raises(oc.LockBusy):
            channel.lock("child", ttl=30)
        os.kill(child, signal.SIGKILL)
        channel.lock("child", ttl=30, wait=10).release()
