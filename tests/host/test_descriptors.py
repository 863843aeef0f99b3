"""Processes that may open few files: idle ones are closed, and the error says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ojobchannels.host import files

pytest.importorskip("resource")

SHORT_OF_FILES = """
import os, resource, sys
import ojobchannels as oc
type, folder = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
channels = [oc.open_channel(f"orders {n}", type=type, file=f"{folder}/x") for n in range(4)]
for number in range(150):
    for channel in channels:
        with channel.lock(f"lock {number}", ttl=30):
            pass
print("locked")
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for channel in channels:
    channel.set("key", 1)
print("stored")
while True:
    try:
        taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        break
try:
    oc.open_channel("orders", type=type, file=f"{folder}/y")
except oc.ChannelUnavailable as error:
    print(error.advice)
"""

OTHERS = """
import os, sys, threading
import ojobchannels as oc
channel = oc.open_channel("orders", type=sys.argv[1], file=sys.argv[2] + "/x")
channel.set("key", 1)
count = lambda: len(os.listdir("/proc/self/fd"))
before, barrier = count(), threading.Barrier(40)
def read():
    for _ in range(20):
        barrier.wait()
        channel.get("key")
threads = [threading.Thread(target=read) for _ in range(40)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(count() - before)
"""


def output_of(program: str, type: str, folder: Path) -> list[str]:
    """Run a program in a process of its own; return its lines."""
    command = [sys.executable, "-c", program, type, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("type", ["file", "db"])
def test_descriptors_that_are_open_for_speed_are_given_back(type: str, tmp_path: Path) -> None:
    """Where no more can be had, the error says how to raise the limit."""
    locked, stored, advice = output_of(SHORT_OF_FILES, type, tmp_path)
    assert (locked, stored) == ("locked", "stored")
    assert "ulimit -n" in advice


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
@pytest.mark.parametrize("type", ["file", "db"])
def test_a_burst_of_threads_leaves_few_files_open(type: str, tmp_path: Path) -> None:
    """However many threads used the channel at a time."""
    assert int(output_of(OTHERS, type, tmp_path)[0]) <= 30


def test_a_file_closes_while_the_interpreter_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter may have cleared the names of the module before."""
    file = files.SideFolder(tmp_path, 0o700).file("lock")
    opened = [file.open(), (descriptor := os.open(tmp_path, os.O_RDONLY))]
    folder = files.OpenFolder(descriptor)
    monkeypatch.setattr(files, "os", None)
    del file, folder
    for descriptor in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
