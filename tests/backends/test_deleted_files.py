"""Files that are deleted, moved or linked while channels use them: never two holders in silence."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels import documents
from ojobchannels.backends.db import backend

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]


def side(storage: Storage) -> Path:
    return storage.path.with_name(f"{storage.path.name}.ojob")


def test_a_second_name_of_the_file_is_refused(shared_storage: Storage, tmp_path: Path) -> None:
    """Each hard link would have separate locks; the error says what to do."""
    with shared_storage.open() as channel:
        channel.set("a", 1)
    second = tmp_path / "second"
    second.hardlink_to(shared_storage.path)
    before = sorted(tmp_path.iterdir())
    for path in (second, shared_storage.path):
        with pytest.raises(oc.ChannelUnavailable, match="hard link") as refused:
            oc.open_channel(shared_storage.name, type=shared_storage.type, file=path)
        assert str(path) in str(refused.value)
        assert "symbolic" in str(refused.value)
    assert sorted(tmp_path.iterdir()) == before
    second.unlink()
    assert shared_storage.open().get("a") == 1


@pytest.mark.parametrize("gone", ["deleted", "moved"])
def test_handles_of_before_and_after_exclude_each_other(
    shared_storage: Storage, tmp_path: Path, gone: str
) -> None:
    """After the folder beside the file was deleted, all handles use the new one."""
    before = shared_storage.open()
    before.lock("nightly", ttl=60).release()
    before.set("a", 1)
    if gone == "deleted":
        shutil.rmtree(side(shared_storage))
    else:
        side(shared_storage).rename(tmp_path / "elsewhere")
    after = shared_storage.open()
    for one, other in ((before, after), (after, before)):
        with one.lock("nightly", ttl=60) as lease:
            assert other.try_lock("nightly", ttl=60) is None
            assert other.lock_info("nightly").fence == lease.fence  # type: ignore[union-attr]  # it is held
            assert [info.name for info in other.locks()] == ["nightly"]
            one.set("a", lease.fence)
            assert other.get("a") == lease.fence


def test_a_holder_learns_that_its_record_was_deleted(file_storage: Storage) -> None:
    """At the next renewal the lease is lost, once; at extend and release LockLost is raised."""
    losses: SimpleQueue[oc.Lease] = SimpleQueue()
    channel = file_storage.open()
    renewed = channel.lock("renewed", ttl=0.6, keep_alive=True, on_lost=losses.put)
    extended, released = channel.lock("extended", ttl=60), channel.lock("released", ttl=60)
    shutil.rmtree(side(file_storage))
    with file_storage.open().lock("released", ttl=60) as current:
        assert losses.get(timeout=20) is renewed
        for attempt in (extended.extend, released.release):
            with pytest.raises(oc.LockLost):
                attempt()
        current.check()
    assert losses.empty()


def test_locks_of_db_outlive_the_folder_beside_it(
    db_storage: Storage, start_worker: StartWorker
) -> None:
    """They are in the database: later requests find them held, and their holder alive."""
    worker = start_worker(
        "lease = channel.lock('nightly', ttl=60)\nsend()\nreceive()\nlease.extend()\nsend('fine')",
        db_storage,
    )
    worker.receive()
    shutil.rmtree(side(db_storage))
    assert db_storage.open().try_lock("nightly", ttl=60) is None
    worker.send()
    assert worker.receive() == "fine"


def test_without_the_sign_of_life_a_holder_counts_as_alive(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """A live holder keeps its lock although the liveness file was deleted."""
    worker = start_worker("channel.lock('nightly', ttl=60)\nsend()\nreceive()", shared_storage)
    worker.receive()
    (side(shared_storage) / "alive").unlink()
    channel = shared_storage.open()
    assert channel.try_lock("nightly", ttl=60) is None
    with channel.lock("other", ttl=60):
        assert shared_storage.open().try_lock("other", ttl=60) is None


@pytest.mark.parametrize("gone", ["deleted", "replaced"])
def test_a_database_that_went_away_gets_one_clear_error(db_storage: Storage, gone: str) -> None:
    """Nothing is written to the deleted file; leases are lost; the new file is not changed."""
    old = db_storage.open()
    old.set("a", "old")
    lease = old.lock("nightly", ttl=60)
    put_away = db_storage.path.with_name("put away")
    db_storage.path.rename(put_away)
    for end in ("-wal", "-shm"):
        Path(f"{db_storage.path}{end}").unlink()
    new = db_storage.open() if gone == "replaced" else None
    if new is not None:
        new.set("a", "new")
    for attempt in (
        lambda: old.get("a"),
        lambda: old.set("a", "void"),
        lambda: old.set_all({"a": "void"}),
        lambda: old.lock("other", ttl=60),
        old.locks,
    ):
        with pytest.raises(oc.ChannelUnavailable, match="deleted, moved or replaced") as caught:
            attempt()
        assert str(db_storage.path) in str(caught.value)
    for end_of_lease in (lease.extend, lease.release):
        with pytest.raises(oc.LockLost):
            end_of_lease()
    old.close()
    if new is None:
        assert not db_storage.path.exists()
        new = db_storage.open()
    new.set("b", "new")
    assert Path(f"{db_storage.path}-wal").exists()
    assert db_storage.open().get("b") == "new"


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_file_that_moves_in_a_quiet_folder_is_missed(
    db_storage: Storage, tmp_path: Path, end: str
) -> None:
    """Nothing has changed in the folder for a while; then one of the files is moved within it."""
    channel = db_storage.open()
    channel.set("a", 1)
    while time.time_ns() - tmp_path.stat().st_ctime_ns < 200_000_000:
        assert channel.get("a") == 1
    path = Path(f"{db_storage.path}{end}")
    path.rename(tmp_path / "elsewhere")
    for attempt in (lambda: channel.get("a"), lambda: channel.lock("nightly", ttl=60)):
        with pytest.raises(oc.ChannelUnavailable, match="deleted, moved or replaced"):
            attempt()
    (tmp_path / "elsewhere").rename(path)
    assert channel.get("a") == 1


def test_a_folder_that_moves_is_missed(tmp_path: Path) -> None:
    """A folder above the database is moved, and another one takes its place."""
    inner = tmp_path / "inner"
    inner.mkdir()
    channel = oc.open_channel("moved", type="db", file=inner / "data.db")
    channel.set("a", 1)
    while time.time_ns() - inner.stat().st_ctime_ns < 200_000_000:
        assert channel.get("a") == 1
    inner.rename(tmp_path / "elsewhere")
    for _ in ("nothing is at the path", "another folder is at the path"):
        with pytest.raises(oc.ChannelUnavailable, match="deleted, moved or replaced"):
            channel.get("a")
        inner.mkdir(exist_ok=True)
    channel.close()


def test_a_database_that_is_put_back_is_used_again(db_storage: Storage) -> None:
    """A file that was missing for a moment causes errors, but no restart is needed."""
    channel = db_storage.open()
    channel.set("a", 1)
    away = db_storage.path.with_name("away")
    db_storage.path.rename(away)
    with pytest.raises(oc.ChannelUnavailable):
        channel.get("a")
    assert not db_storage.path.exists()
    away.rename(db_storage.path)
    assert channel.get("a") == 1


@pytest.mark.parametrize("ends", [["-wal"], ["-shm"], ["-wal", "-shm"]])
@pytest.mark.parametrize("action", ["delete", "replace"])
def test_a_log_that_went_away_gets_one_clear_error(
    db_storage: Storage, start_worker: StartWorker, ends: list[str], action: str
) -> None:
    """A tool deletes -wal or -shm: no lock has two holders, and no write goes to a lost file."""
    old = db_storage.open()
    other_handle = db_storage.open()
    lease = old.lock("nightly", ttl=60)
    old.set("a", "old")
    for end in ends:
        Path(f"{db_storage.path}{end}").unlink()
    if action == "replace":
        worker = start_worker(
            """
try:
    channel = oc.open_channel(params["name"], params["config"])
    channel.set("a", "new")
except oc.ChannelUnavailable:
    pass
send()
receive()
""",
            name=db_storage.name,
            config=db_storage.config,
        )
        worker.receive()
    for channel in (old, other_handle):
        with pytest.raises(oc.ChannelUnavailable, match="deleted, moved or replaced"):
            channel.get("a")
        with pytest.raises(oc.ChannelUnavailable, match="deleted, moved or replaced"):
            channel.set("a", "void")
        with pytest.raises(oc.ChannelUnavailable, match="deleted, moved or replaced"):
            channel.lock("other", ttl=60)
    with pytest.raises(oc.LockLost):
        lease.extend()
    old.close()
    with pytest.raises(oc.ChannelUnavailable, match="deleted, moved or replaced"):
        db_storage.open()  # this process still has the deleted files


def test_a_log_is_expected_again_after_sqlite_deleted_it(
    db_storage: Storage, start_worker: StartWorker
) -> None:
    """The last connection of all processes deletes -wal and -shm: before a fork, for example."""
    channel = db_storage.open()
    other_handle = db_storage.open()
    channel.set("a", 1)
    assert other_handle.get("a") == 1
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert not Path(f"{db_storage.path}-wal").exists()
    worker = start_worker("channel.set('a', 2)", db_storage)
    assert worker.end() == 0
    assert (channel.get("a"), other_handle.get("a")) == (2, 2)


def test_a_write_into_a_log_that_goes_away_meanwhile_is_not_confirmed(
    db_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are compared again after the commit."""
    channel = db_storage.open()
    channel.set("a", 1)

    def encode_late(value: object) -> str:
        if value == "late":  # the connection has been checked already
            Path(f"{db_storage.path}-wal").unlink()
        return documents.encode(value)

    monkeypatch.setattr(backend, "encode", encode_late)
    with pytest.raises(oc.ChannelUnavailable, match="deleted, moved or replaced"):
        channel.set("a", "late")
