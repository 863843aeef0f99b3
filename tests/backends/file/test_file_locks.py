"""Lock records of `file`: one file per lock, never unlinked."""

from __future__ import annotations

import resource
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.backends.file import lock_files
from ojobchannels.hookspecs import LeaseRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]


def test_lock_files_are_never_unlinked(file_storage: Storage) -> None:
    """A lock has the same file as long as the channel exists."""
    channel = file_storage.open()

    def inodes() -> dict[str, int]:
        folder = file_storage.path.with_name(f"{file_storage.path.name}.ojob") / "locks"
        return {path.name: path.stat().st_ino for path in folder.iterdir()}

    channel.lock("nightly", ttl=30).release()
    before = inodes()
    assert len(before) == 1
    for _ in range(5):
        channel.lock("nightly", ttl=30).release()
        channel.force_unlock("nightly")
        channel.destroy()
    channel.close()
    file_storage.open().lock("nightly", ttl=30).release()
    assert inodes() == before


def record_of_a_lock(storage: Storage) -> Path:
    (path,) = storage.path.with_name(f"{storage.path.name}.ojob").joinpath("locks").iterdir()
    return path


def cut(content: bytes, at: int) -> bytes:
    return content[:at]


def spoilt(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]


@pytest.mark.parametrize("mutate", [cut, spoilt])
def test_a_damaged_lock_record_does_not_count_as_a_free_lock(
    file_storage: Storage, mutate: Callable[[bytes, int], bytes]
) -> None:
    """For any byte, every call raises one error that names the file; after a repair it works."""
    channel, other = file_storage.open(), file_storage.open()
    lease = channel.lock("nightly", ttl=60)
    record = record_of_a_lock(file_storage)
    whole = record.read_bytes()
    end = whole.rindex(b"}", 0, 4096) + 1
    for at in range(1, end):
        record.write_bytes(mutate(whole, at))
        with pytest.raises(oc.ChannelDamaged) as damaged:
            other.try_lock("nightly", ttl=60)
        assert damaged.value.path == str(record)
        assert "'nightly' is damaged" in str(damaged.value)
    for attempt in (
        lambda: other.lock_info("nightly"),
        lambda: other.force_unlock("nightly"),
        lease.extend,
        lease.share,
        lease.release,
    ):
        with pytest.raises(oc.ChannelDamaged):
            attempt()
    record.write_bytes(whole)
    lease.extend()
    lease.release()
    with other.lock("nightly", ttl=60) as later:
        assert later.fence > lease.fence


def test_a_damaged_lock_record_delays_no_other_renewal(file_storage: Storage) -> None:
    """Its renewal must be tried again, as for a record that another process has locked."""
    channel = file_storage.open()
    damaged = channel.lock("damaged", ttl=60)
    record = record_of_a_lock(file_storage)
    well = channel.lock("well", ttl=60)
    record.write_bytes(b"x")
    requests = [LeaseRequest(one.name, one.token, 60_000) for one in (damaged, well)]
    assert channel.hook.extend_all(leases=requests, timeout=1000) == [None, True]


def test_a_damaged_lock_file_can_be_deleted(file_storage: Storage) -> None:
    """As the error advises; fences continue to grow."""
    channel = file_storage.open()
    fence = channel.lock("nightly", ttl=60).fence
    record = record_of_a_lock(file_storage)
    record.write_bytes(b"x")
    with pytest.raises(oc.ChannelDamaged, match="delete that file"):
        channel.try_lock("nightly", ttl=60)
    record.unlink()
    with channel.lock("nightly", ttl=60) as lease:
        assert lease.fence > fence


MANY_LOCKS = """
import os, resource, sys

_, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (params["limit"] or highest, highest))
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
with oc.open_channel(channel_name, channel_config) as many:
    leases = [many.lock(f"lock {n}", ttl=60) for n in range(params["locks"])]
    opened.clear()
    for lease in leases:
        lease.extend()
    send([len(opened), len(many.locks()), len(os.listdir("/proc/self/fd"))])
    for lease in leases:
        lease.release()
    send(len(many.locks()))
"""


def test_more_locks_than_files_that_are_kept_open(
    file_storage: Storage, start_worker: StartWorker
) -> None:
    """Hundreds of names work at once where few files may be open."""
    worker = start_worker(MANY_LOCKS, file_storage, limit=120, locks=200)
    _, held, descriptors = worker.receive()
    assert held == 200
    assert descriptors < 110
    assert worker.receive() == 0
    assert worker.end() == 0


def test_renewals_open_no_file_where_many_may_be_open(
    file_storage: Storage, start_worker: StartWorker
) -> None:
    """A sixteenth of the limit is kept open, so that each renewal costs the same."""
    _, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    locks = min(max(highest // 16, 64), 200)
    worker = start_worker(MANY_LOCKS, file_storage, limit=0, locks=locks)
    assert worker.receive()[:2] == [0, locks]
    assert worker.receive() == 0
    assert worker.end() == 0


def test_few_files_stay_open_however_many_are_remembered(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are forgotten, and used again, count as before."""
    monkeypatch.setattr(lock_files, "_MOST_KNOWN", 4)
    monkeypatch.setattr(lock_files, "_most_kept_open", lambda: 2)
    channel = file_storage.open()
    channel.lock("0", ttl=60).release()
    before = len(list(Path("/dev/fd").iterdir()))
    for number in (*range(8), *range(8), 3, 3, 0, 7, 0):
        channel.lock(str(number), ttl=60).release()
    assert len(list(Path("/dev/fd").iterdir())) <= before + 2
    channel.close()


def test_a_lock_that_does_not_fit_on_the_disk_is_not_granted(
    shared_storage: Storage, start_worker: Callable[..., Any]
) -> None:
    """A full disk refuses the lock with StorageFull, and its record does not change."""
    channel = shared_storage.open()
    fence = channel.lock("nightly", ttl=60).fence
    channel.force_unlock("nightly")
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, highest = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (170, highest))
try:
    channel.lock("nightly", ttl=60)
except oc.StorageFull:
    send("full")
resource.setrlimit(resource.RLIMIT_FSIZE, (highest, highest))
"""
    worker = start_worker(script, shared_storage)
    assert worker.receive() == "full"
    assert worker.end() == 0
    with channel.lock("nightly", ttl=60) as lease:
        assert lease.fence > fence


def test_a_foreign_file_among_the_lock_files_is_ignored(file_storage: Storage) -> None:
    """So is a lock file whose name was cut off."""
    channel = file_storage.open()
    channel.lock("nightly", ttl=60)
    locks = file_storage.path.with_name(f"{file_storage.path.name}.ojob") / "locks"
    locks.joinpath("stray").write_bytes(b"x" * 5000)
    assert [info.name for info in channel.locks()] == ["nightly"]


@pytest.mark.parametrize("name", ["\ud800", "x" * 5000])
def test_any_thread_name_can_hold_a_lock(file_storage: Storage, name: str) -> None:
    """The holder info contains as much of it as possible."""
    channel = file_storage.open()
    granted: list[oc.Lease | None] = []
    thread = threading.Thread(
        target=lambda: granted.append(channel.try_lock("nightly", ttl=60)), name=name
    )
    thread.start()
    thread.join()
    assert granted[0] is not None
