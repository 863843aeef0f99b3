"""The pid file of `ojob.unique`, in folders that others may write to."""

import os
import stat
from pathlib import Path

import pytest

from ojobchannels.errors import InvalidOption, RunsAlready
from ojobchannels.ojob.process.pid_file import pid_file_held

STRANGER = 12345


def hold(path: Path) -> None:
    with pid_file_held("f.yaml", str(path)):
        raise AssertionError("the file was accepted")


@pytest.mark.parametrize("what", ["link", "dangling link", "FIFO", "hard link"])
def test_nothing_is_followed_in_its_place(tmp_path: Path, what: str) -> None:
    """No target is truncated, no call waits; the error says what is in the way."""
    target, path = tmp_path / "target", tmp_path / "ojob.pid"
    target.write_text("precious")
    if what == "FIFO":
        os.mkfifo(path)
    elif what == "hard link":
        path.hardlink_to(target)
    else:
        path.symlink_to(target if what == "link" else tmp_path / "missing")
    with pytest.raises(InvalidOption, match=r"symbolic link|not a regular file|several names"):
        hold(path)
    assert target.read_text() == "precious"
    assert not (tmp_path / "missing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_of_a_stranger_is_refused(tmp_path: Path) -> None:
    """Its process id would be the stranger's choice, and its lock would stop the run."""
    tmp_path.chmod(0o777)
    path = tmp_path / "ojob.pid"
    path.write_text("1\n")
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(InvalidOption, match="another user"):
        hold(path)
    assert path.read_text() == "1\n"


def test_only_its_user_can_lock_it(tmp_path: Path) -> None:
    """A second run is refused, with the process id of the first; the end removes the file."""
    path = tmp_path / "made" / "ojob.pid"
    with pid_file_held("f.yaml", str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(RunsAlready) as caught:
            hold(path)
        assert caught.value.pid == os.getpid()
    assert not path.exists()
