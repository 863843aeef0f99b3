"""Writes of `file`: complete or absent after kills, full disks and failed flushes."""

from __future__ import annotations

import errno
import json
import os
import random
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.backends.local.file_lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]


WRITE_LARGE = """
import random
number = 0
while True:
    number += 1
    channel.set("large", {"first": number, "text": "x" * 200_000, "last": number})
    channel.set({"n": number % 5}, number)
    send(number)
"""


def test_a_kill_at_any_instant_leaves_the_old_or_the_new_file(
    file_storage: Storage, start_worker: StartWorker
) -> None:
    """Never a torn file; it contains all acknowledged writes; temporary files are removed."""
    reached = 0
    for _ in range(12):
        worker = start_worker(WRITE_LARGE, file_storage)
        for _ in range(random.randrange(1, 12)):
            reached = worker.receive()
        worker.kill()
        reached = max(worker.remaining(), default=reached)
        json.loads(file_storage.path.read_text("utf-8"))
        with file_storage.open() as channel:
            large = channel.get("large")
            assert large["first"] == large["last"] >= reached
            assert channel.get({"n": reached % 5}) >= reached
            channel.set("after", 1)
    left = {path.name for path in file_storage.path.parent.iterdir()}
    assert left == {file_storage.path.name, f"{file_storage.path.name}.ojob"}


FULL_DISK = """
import resource
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
channel.set("small", 1)
limit(100_000)
for attempt in (
    lambda: channel.set("large", "x" * 200_000),
    lambda: channel.set("small", "x" * 200_000),
    lambda: channel.set_all({"small": 2, "large": "x" * 200_000}),
    lambda: channel.get_set(1, "small", "x" * 200_000),
    lambda: channel.add("large", "x" * 200_000),
):
    try:
        attempt()
        send("passed")
    except oc.StorageFull as error:
        send(str(error))
    send([channel.get("small"), channel.size()])
lease = channel.lock("nightly", ttl=30)
lease.extend()
lease.release()
channel.set("small", 2)
limit(resource.RLIM_INFINITY)
channel.set("large", "x" * 200_000)
send(channel.size())
"""


def test_a_full_disk_is_reported_and_nothing_is_lost(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """StorageFull; old values are kept, small writes continue, large ones once there is space."""
    worker = start_worker(FULL_DISK, shared_storage)
    for _ in range(5):
        message = worker.receive()
        assert str(shared_storage.path) in message or shared_storage.path.name in message
        assert "nothing was changed" in message
        assert worker.receive() == [1, 1]
    assert worker.receive() == 2
    assert worker.end() == 0
    channel = shared_storage.open()
    assert channel.get("small") == 2
    if shared_storage.type == "file":
        assert list(shared_storage.path.parent.glob(".*")) == []


def test_a_write_is_on_the_disk_before_the_file_is_replaced(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary file, fsync, rename, fsync of the folder: in this order."""
    channel = file_storage.open()
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append(f"fsync {kind}")
        fsync(descriptor)

    def noting_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        assert path.parent == target.parent
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    channel.set("a", 1)
    assert steps == ["fsync file", "rename", "fsync folder"]


def test_the_error_of_a_failed_folder_flush_says_that_the_change_is_stored(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is already replaced, so the change is stored, and the message says so."""
    channel = file_storage.open()
    channel.set("a", 1)
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOSPC, "no room")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(oc.ChannelUnavailable, match="the change is stored") as caught:
        channel.set("a", 2)
    assert not isinstance(caught.value, oc.StorageFull)
    assert "no room" in str(caught.value)
    monkeypatch.undo()
    assert channel.get("a") == file_storage.open().get("a") == 2
    channel.set("b", 3)
    assert channel.get_all() == [2, 3]


def test_a_failed_write_right_after_another_keeps_the_index_consistent(
    file_storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    in_background: Callable[..., Future[Any]],
) -> None:
    """A failed change of one thread is not mixed with a change that another has just stored."""
    channel = file_storage.open()
    channel.set_all({"a": 1, "b": 1})
    leave, fsync = FileLock.release, os.fsync
    failing: list[Future[Any]] = []
    reached, may_fail = threading.Event(), threading.Event()

    def full(_: int) -> None:
        reached.set()
        assert may_fail.wait(20)
        raise OSError(errno.ENOSPC, "no room")

    def leaving(lock: FileLock) -> None:
        leave(lock)
        if not failing and lock.path.name == "gate":
            monkeypatch.setattr(os, "fsync", full)
            failing.append(in_background(channel.set, "b", 2))
            assert reached.wait(20)

    monkeypatch.setattr(FileLock, "release", leaving)
    channel.set("a", 2)
    may_fail.set()
    assert isinstance(failing[0].exception(20), oc.StorageFull)
    monkeypatch.setattr(os, "fsync", fsync)
    assert dict(channel.items()) == {"a": 2, "b": 1}
    assert (channel.get("a"), channel.get("b")) == (2, 1)
