"""Folders that others may write to: they can slow a channel down, but not make it hang, follow a
link, overwrite, disclose or give away a file."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from tests.planted import plant

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path
    from typing import Any

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]
    Background = Callable[..., Future[Any]]

STRANGER = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def side(storage: Storage) -> Path:
    return storage.path.with_name(f"{storage.path.name}.ojob")


def use(storage: Storage) -> None:
    """Write and lock; the channel may refuse it with an error of ours."""
    with suppress(oc.ChannelUnavailable), storage.open() as channel:
        channel.set("a", 1)
        channel.get("a")
        channel.lock("nightly", ttl=30).release()
        channel.locks()


@pytest.mark.parametrize("what", ["link", "dangling link", "FIFO", "hard link"])
@pytest.mark.parametrize("name", ["gate", "alive", "version", "locks/*"])
def test_nothing_is_followed_in_the_place_of_a_helper_file(
    shared_storage: Storage, tmp_path: Path, name: str, what: str
) -> None:
    """It is opened neither for reading nor for writing, and no call waits for it."""
    target = tmp_path / "target"
    target.write_bytes(b"precious" * 1000)
    target.chmod(0o600)
    use(shared_storage)
    for path in side(shared_storage).glob(name):
        plant(path, what, target)
    use(shared_storage)
    assert target.read_bytes() == b"precious" * 1000
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("what", ["link", "dangling link", "FIFO", "hard link"])
@pytest.mark.parametrize("name", ["wal", "shm", "journal"])
def test_nothing_is_followed_in_the_place_of_a_file_of_sqlite(
    db_storage: Storage, tmp_path: Path, name: str, what: str
) -> None:
    """The open is refused with the path; SQLite itself would overwrite a hard link's target."""
    target = tmp_path / "target"
    target.write_bytes(b"precious" * 1000)
    target.chmod(0o600)
    use(db_storage)
    path = db_storage.path.with_name(f"{db_storage.path.name}-{name}")
    plant(path, what, target)
    with pytest.raises(oc.ChannelUnavailable, match=f"-{name}.*delete it"):
        db_storage.open()
    assert target.read_bytes() == b"precious" * 1000
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not (tmp_path / "missing").exists()
    path.unlink()
    use(db_storage)


@pytest.mark.parametrize("what", ["link", "dangling link"])
def test_a_link_in_the_place_of_the_side_folder_is_refused(
    shared_storage: Storage, tmp_path: Path, what: str
) -> None:
    """The error gives its path; nothing is created where it leads."""
    elsewhere = tmp_path / "elsewhere"
    if what == "link":
        elsewhere.mkdir()
    side(shared_storage).symlink_to(elsewhere)
    with pytest.raises(oc.ChannelUnavailable, match="not a folder") as caught:
        shared_storage.open()
    assert str(side(shared_storage)) in str(caught.value)
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_a_fifo_in_the_place_of_the_data_is_refused(shared_storage: Storage) -> None:
    """Before and after the channel was opened, without waiting for its other end."""
    os.mkfifo(shared_storage.path)
    with pytest.raises(oc.ChannelUnavailable, match="not a regular file"):
        shared_storage.open()
    shared_storage.path.unlink()
    channel = shared_storage.open()
    channel.set("a", 1)
    shared_storage.path.unlink()
    os.mkfifo(shared_storage.path)
    with pytest.raises(oc.ChannelUnavailable):
        channel.get("a")


@needs_root
@pytest.mark.parametrize("exists", [False, True])
def test_a_side_folder_of_another_user_is_refused(shared_storage: Storage, exists: bool) -> None:
    """It would decide on the permissions of the data; the error says whose it is."""
    if exists:
        shared_storage.open().close()
        for path in side(shared_storage).rglob("*"):
            path.unlink() if path.is_file() else None
        for path in side(shared_storage).iterdir():
            path.rmdir()
    else:
        side(shared_storage).mkdir()
    os.chown(side(shared_storage), STRANGER, STRANGER)
    side(shared_storage).chmod(0o777)
    with pytest.raises(oc.ChannelUnavailable, match=f"user id {STRANGER}"):
        shared_storage.open()
    assert list(side(shared_storage).iterdir()) == []


@pytest.mark.parametrize(
    ("umask", "expected"), [(0o022, 0o600), (0o077, 0o600), (0o002, 0o660), (0o000, 0o666)]
)
def test_new_files_are_private_unless_the_umask_admits_others(
    shared_storage: Storage, start_worker: StartWorker, umask: int, expected: int
) -> None:
    """Those admitted may write too: a user who can only read could lock a file, and stop all."""
    worker = start_worker(
        """
import os
os.umask(params["umask"])
with oc.open_channel(params["name"], params["config"]) as channel:
    channel.set("a", 1)
    channel.lock("nightly", ttl=30).release()
    send(); receive()
""",
        umask=umask,
        name=shared_storage.name,
        config=shared_storage.config,
    )
    worker.receive()
    for path in shared_storage.path.parent.rglob("*"):
        wanted = expected | (expected & 0o444) >> 2 if path.is_dir() else expected
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    worker.send()
    assert worker.end() == 0


def test_readers_of_the_data_cannot_enter_its_side_folder(shared_storage: Storage) -> None:
    """Also where an earlier version has admitted them."""
    use(shared_storage)
    shared_storage.path.chmod(0o644)
    side(shared_storage).chmod(0o755)
    shared_storage.open().close()
    assert stat.S_IMODE(side(shared_storage).stat().st_mode) == 0o700
    assert stat.S_IMODE(shared_storage.path.stat().st_mode) == 0o644


def test_a_lock_is_granted_although_the_liveness_file_is_locked(shared_storage: Storage) -> None:
    """Another program that locks all of it delays the notice of a death, and nothing else."""
    shared_storage.open().close()
    with (side(shared_storage) / "alive").open("w") as alive:
        everything = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(alive, fcntl.F_OFD_SETLK, everything)
        channel = shared_storage.open()
        with channel.lock("nightly", ttl=30, wait=0) as lease:
            assert shared_storage.open().try_lock("nightly", ttl=30) is None
            lease.extend(30)


def test_a_waiter_touches_only_its_own_fifo(
    shared_storage: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_background: Background,
) -> None:
    """A link that takes its place right after it was made is neither followed nor given away."""
    target = tmp_path / "target"
    target.write_text("precious")
    target.chmod(0o600)
    before = target.stat()
    replaced = threading.Event()
    mkfifo = os.mkfifo

    def make_and_replace(path: str, mode: int, *, dir_fd: int) -> None:
        mkfifo(path, mode, dir_fd=dir_fd)
        os.unlink(path, dir_fd=dir_fd)
        os.symlink(target, path, dir_fd=dir_fd)
        replaced.set()

    monkeypatch.setattr(os, "mkfifo", make_and_replace)
    channel = shared_storage.open()
    lease = channel.lock("nightly", ttl=30)
    waiter = in_background(channel.lock, "nightly", ttl=30, wait=20)
    assert replaced.wait(20)
    lease.release()
    waiter.result(20).release()
    assert target.read_text() == "precious"
    after = target.stat()
    assert (after.st_mode, after.st_uid, after.st_ino) == (
        before.st_mode,
        before.st_uid,
        before.st_ino,
    )


@needs_root
def test_a_folder_that_takes_the_place_of_a_new_one_is_not_given_away(
    shared_storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private folder of root, moved there by the owner of the folder, keeps owner and mode."""
    os.chown(tmp_path, STRANGER, STRANGER)
    moved = tmp_path / "private"
    moved.mkdir(mode=0o700)
    (moved / "secrets").write_text("precious")
    mkdir = os.mkdir

    def make_and_replace(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        mkdir(path, mode, dir_fd=dir_fd)
        if path == side(shared_storage).name and moved.exists():
            side(shared_storage).rmdir()
            moved.rename(side(shared_storage))

    monkeypatch.setattr(os, "mkdir", make_and_replace)
    with pytest.raises(oc.ChannelUnavailable, match="replaced"):
        shared_storage.open()
    status = side(shared_storage).stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o700)


@needs_root
def test_a_file_that_another_user_has_replaced_does_not_receive_the_data(
    file_storage: Storage,
) -> None:
    """Otherwise root would give its next content to that user."""
    channel = file_storage.open()
    channel.set("a", "precious")
    file_storage.path.unlink()
    file_storage.path.write_text("{}")
    os.chown(file_storage.path, STRANGER, STRANGER)
    with pytest.raises(oc.ChannelUnavailable, match=f"user id {STRANGER}"):
        channel.set("b", "precious")
    assert file_storage.path.read_text() == "{}"


@needs_root
def test_a_side_folder_of_the_owner_of_the_folder_does_not_open_new_data(
    shared_storage: Storage, tmp_path: Path
) -> None:
    """Root may use it, but the umask of root decides who may read what root creates."""
    os.chown(tmp_path, STRANGER, STRANGER)
    side(shared_storage).mkdir()
    side(shared_storage).chmod(0o777)
    os.chown(side(shared_storage), STRANGER, STRANGER)
    shared_storage.open().set("a", 1)
    assert stat.S_IMODE(shared_storage.path.stat().st_mode) == 0o600
