"""Paths of `file` and `db`: modes, owners, links, folders and filesystems."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.backends.local import paths as places

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]


NOBODY = 65534


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o644, 0o666])
def test_the_mode_is_kept_and_no_helper_file_has_more_permissions(
    file_storage: Storage, bits: int
) -> None:
    """A user who may not read the file may not read the helper files either."""
    file_storage.path.write_text("{}")
    file_storage.path.chmod(bits)
    channel = file_storage.open()
    channel.set("a", 1)
    channel.lock("nightly", ttl=30).release()
    assert mode(file_storage.path) == bits
    for path in file_storage.path.parent.rglob("*"):
        assert mode(path) & 0o666 & ~bits == 0, path


def test_a_new_file_has_the_mode_of_the_umask(
    file_storage: Storage, start_worker: StartWorker
) -> None:
    """So do all helper files."""
    worker = start_worker(
        """
import os
os.umask(0o077)
with oc.open_channel(params["name"], params["config"]) as channel:
    channel.set("a", 1)
    channel.lock("nightly", ttl=30).release()
""",
        name=file_storage.name,
        config=file_storage.config,
    )
    assert worker.end() == 0
    assert mode(file_storage.path) == 0o600
    for path in file_storage.path.parent.rglob("*"):
        assert mode(path) & 0o077 == 0, path


def test_a_link_stays_a_link(file_storage: Storage, tmp_path: Path) -> None:
    """The target is replaced; the link and the target are one channel."""
    real = tmp_path / "elsewhere" / "real.json"
    real.parent.mkdir()
    real.write_text("{}")
    file_storage.path.symlink_to(real)
    channel = file_storage.open()
    direct = oc.open_channel(channel.name, type="file", file=real)
    with direct:
        for turn in range(5):
            channel.set("a", turn)
            assert direct.get("a") == turn
            direct.set("b", turn)
            assert channel.get("b") == turn
        with channel.lock("nightly", ttl=30):
            assert direct.try_lock("nightly", ttl=30) is None
    assert file_storage.path.is_symlink()
    assert not real.is_symlink()
    assert list(tmp_path.glob("*.ojob")) == []


AS_NOBODY = """
import os, sys, tempfile
with tempfile.TemporaryDirectory() as folder:
    with oc.open_channel("warm up", type=params["type"], file=folder + "/warm") as channel:
        channel.set("a", 1)
        channel.lock("nightly", ttl=30).release()
os.setgroups([])
os.setgid(params["user"])
os.setuid(params["user"])
try:
    with oc.open_channel("test", type=params["type"], file=params["file"]) as channel:
        channel.set("by", "user")
        channel.lock("nightly", ttl=30).release()
        channel.lock("user's", ttl=30).release()
    send("passed")
except oc.ChannelError as error:
    send([type(error).__name__, str(error)])
"""


@needs_root
@pytest.mark.parametrize("bits", [0o600, 0o644, 0o666])
def test_the_file_of_another_user_is_refused(
    common_folder: Path, start_worker: StartWorker, bits: int
) -> None:
    """Replacing it would change the owner: a clear error instead, and nothing is changed."""
    file = common_folder / "channel.json"
    with oc.open_channel("test", type="file", file=file) as channel:
        channel.set("a", 1)
    file.chmod(bits)
    before = file.read_bytes(), file.stat()
    worker = start_worker(AS_NOBODY, type="file", file=str(file), user=NOBODY)
    kind, message = worker.receive()
    assert kind == "ChannelUnavailable"
    assert str(file) in message
    assert "user id" in message
    assert worker.end() == 0
    assert (file.read_bytes(), file.stat()) == before


@needs_root
@pytest.mark.parametrize("type", ["file", "db"])
def test_root_keeps_the_owner_of_a_file_and_its_access(
    common_folder: Path, start_worker: StartWorker, type: str
) -> None:
    """After root wrote and locked there, all files belong to the user, and still work."""
    file = common_folder / f"channel.{type}"
    own = {"type": type, "file": str(file), "user": NOBODY}
    assert start_worker(AS_NOBODY, **own).receive() == "passed"
    with oc.open_channel("test", type=type, file=file) as channel:
        assert channel.get("by") == "user"
        channel.set("by", "root")
        channel.lock("nightly", ttl=30).release()
        channel.lock("root's", ttl=30).release()
        channel.lock("user's", ttl=30).release()
    assert (file.stat().st_uid, file.stat().st_gid) == (NOBODY, NOBODY)
    assert {path.stat().st_uid for path in common_folder.rglob("*")} == {NOBODY}
    assert start_worker(AS_NOBODY, **own).receive() == "passed"


@needs_root
@pytest.mark.parametrize("type", ["file", "db"])
def test_the_first_run_by_root_leaves_the_owner_of_the_folder_access(
    common_folder: Path, start_worker: StartWorker, type: str
) -> None:
    """All that root creates there belongs to the owner, with new folders too."""
    home = common_folder / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    file = home / "data" / "jobs" / f"channel.{type}"
    with oc.open_channel("test", type=type, file=file) as channel:
        channel.set("by", "root")
        channel.lock("nightly", ttl=30).release()
    assert {path.stat().st_uid for path in home.rglob("*")} == {NOBODY}
    own = {"type": type, "file": str(file), "user": NOBODY}
    assert start_worker(AS_NOBODY, **own).receive() == "passed"


@needs_root
@pytest.mark.parametrize("type", ["file", "db"])
def test_a_folder_that_may_not_be_entered_raises_one_clear_error(
    common_folder: Path, start_worker: StartWorker, type: str
) -> None:
    """Of ours, and not that of the system."""
    file = common_folder / "locked" / f"channel.{type}"
    file.parent.mkdir(mode=0o700)
    kind, message = start_worker(AS_NOBODY, type=type, file=str(file), user=NOBODY).receive()
    assert kind == "ChannelUnavailable"
    assert str(file.parent) in message


@needs_root
@pytest.mark.parametrize("type", ["file", "db"])
def test_a_folder_without_write_permission_raises_one_clear_error(
    common_folder: Path, start_worker: StartWorker, type: str
) -> None:
    """It gives the path and the required permission."""
    file = common_folder / "locked" / f"channel.{type}"
    file.parent.mkdir(mode=0o755)
    worker = start_worker(AS_NOBODY, type=type, file=str(file), user=NOBODY)
    kind, message = worker.receive()
    assert kind == "ChannelUnavailable"
    assert str(file.parent) in message
    assert "write permission" in message
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("type", ["file", "db"])
def test_a_path_that_is_a_folder_raises_one_clear_error(tmp_path: Path, type: str) -> None:
    """Nothing is created in or beside it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(oc.ChannelUnavailable, match="is a folder"):
        oc.open_channel("test", type=type, file=folder)
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.parametrize("type", ["file", "db"])
def test_missing_folders_are_created(tmp_path: Path, type: str) -> None:
    """As needed by the first run of a job in a fresh checkout."""
    with oc.open_channel("test", type=type, file=tmp_path / "a" / "b" / "c") as channel:
        channel.set("a", 1)
    assert (tmp_path / "a" / "b" / "c").is_file()


@pytest.mark.parametrize("type", ["file", "db"])
@pytest.mark.parametrize("filesystem", ["nfs4", "fuse.sshfs"])
def test_network_filesystems_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: str, filesystem: str
) -> None:
    """Locks between processes do not work there: the error says so and names alternatives."""
    monkeypatch.setattr(places, "filesystem_type", lambda _: filesystem)
    with pytest.raises(
        oc.NotSupported, match=f"the filesystem {filesystem}, which other hosts"
    ) as refused:
        oc.open_channel("test", type=type, file=tmp_path / "channel")
    assert "redis" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "filesystem",
    [
        *("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "fakeowner", "osxfs"),
        *("fuse.grpcfuse", "vboxsf", "fuse.vmhgfs-fuse", "prl_fs", "fuse.ceph-fuse", "pvfs2"),
        *("fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.juicefs", "fuse.mfs", "afpfs"),
        *("fuse.blobfuse2", "fuse.davfs", "fuse", "fuse.one-that-comes-next-year"),
    ],
)
def test_a_filesystem_that_other_hosts_write_to_is_shared(filesystem: str) -> None:
    """On a network, from the host of a virtual machine, or through an unknown FUSE program."""
    assert places.is_shared(filesystem)


@pytest.mark.parametrize(
    "filesystem", ["ext4", "xfs", "overlay", "tmpfs", "fuseblk", "fuse.fuse-overlayfs", ""]
)
def test_a_filesystem_of_this_host_is_not_shared(filesystem: str) -> None:
    """Nor one whose type is not known."""
    assert not places.is_shared(filesystem)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_the_type_of_a_filesystem_is_known() -> None:
    """It comes from /proc, by the device of the path."""
    assert places.filesystem_type(Path("/proc")) == "proc"
    assert places.filesystem_type(Path("/sys")) == "sysfs"


def test_closing_closes_every_file(shared_storage: Storage) -> None:
    """A handle leaves no descriptor open after any operation."""
    shared_storage.open().close()
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are what is compared
    channel = shared_storage.open()
    channel.set("a", 1)
    for name in "abc":
        channel.lock(name, ttl=30, keep_alive=True)
    channel.lock("shared", ttl=30).share()
    channel.close()
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  names are what is compared


@needs_root
def test_a_refused_open_creates_nothing_beside_the_file_of_another_user(
    common_folder: Path, start_worker: StartWorker
) -> None:
    """A folder of another user would exclude the owner."""
    file = common_folder / "channel.json"
    file.write_text("{}")
    worker = start_worker(AS_NOBODY, type="file", file=str(file), user=NOBODY)
    assert worker.receive()[0] == "ChannelUnavailable"
    assert worker.end() == 0
    assert list(common_folder.iterdir()) == [file]


def test_a_mode_changed_while_the_file_is_open_is_kept(file_storage: Storage) -> None:
    """The next write does not make a private file readable again."""
    channel = file_storage.open()
    channel.set("a", 1)
    file_storage.path.chmod(0o600)
    channel.set("a", 2)
    assert mode(file_storage.path) == 0o600


@pytest.mark.parametrize("type", ["file", "db"])
@pytest.mark.parametrize("file", ["~no-such-user/x", "a\0b", "loop"])
def test_an_invalid_path_is_reported(
    type: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a wrong option, for any error of the system."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    with pytest.raises((oc.InvalidOption, oc.ChannelUnavailable)):
        oc.open_channel("test", type=type, file=file)
