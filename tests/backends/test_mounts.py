"""A file that is mounted elsewhere on its own: a second name, with separate locks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ojobchannels as oc
from ojobchannels.backends.local.mounts import is_mount_point

CODE = """
import sys, ojobchannels as oc
try:
    oc.open_channel("c", type=sys.argv[1], file=sys.argv[2]).close()
except oc.ChannelUnavailable as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_mount_points_are_known(tmp_path: Path) -> None:
    """A folder within a mount does not count."""
    assert is_mount_point(Path("/proc"))
    assert not is_mount_point(tmp_path)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare"
)
@pytest.mark.parametrize("type", ["file", "db"])
def test_a_file_that_is_a_mount_point_is_refused(tmp_path: Path, type: str) -> None:
    """As in a container that mounts a single file; the error says to mount the folder."""
    folder = tmp_path / "with space"
    folder.mkdir()
    real, second = tmp_path / "real", folder / "second"
    for path in (real, second):
        path.touch()
    script = 'mount --bind "$1" "$2" && shift && exec "$0" -c "$3" "$2" "$1"'
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, sys.executable]
    result = subprocess.run(
        [*command, real, second, type, CODE], capture_output=True, text=True, check=False
    )
    if "mount" in result.stderr and not result.stdout:
        pytest.skip("mounting is not allowed here")
    assert f"{second} is a mount point" in result.stdout, result.stderr
    assert "mount the folder" in result.stdout
    assert list(folder.iterdir()) == [second]


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare"
)
@pytest.mark.parametrize("type", ["file", "db"])
def test_a_read_only_filesystem_is_named(tmp_path: Path, type: str) -> None:
    """The error does not ask for permissions that no user could have there."""
    path = tmp_path / "data"
    with oc.open_channel("c", type=type, file=path) as channel:
        channel.set("a", 1)
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$0" "$@"'
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, sys.executable]
    result = subprocess.run(
        [*command, tmp_path, "-c", CODE, type, path], capture_output=True, text=True, check=False
    )
    if "mount" in result.stderr and not result.stdout:
        pytest.skip("mounting is not allowed here")
    assert "Read-only file system" in result.stdout, result.stderr
    assert "permission" not in result.stdout
