"""Log folders that others may write to, and runs that are killed while they tidy up."""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ojobchannels.errors import LogFileUnavailable
from ojobchannels.ojob.report import log_file
from ojobchannels.ojob.report.events import Event
from ojobchannels.ojob.report.log_file import LogFile, LogFiles
from ojobchannels.ojob.report.past_logs import tidy
from ojobchannels.ojob.schema.settings import LogToFileSpec
from tests.planted import plant

STRANGER = 12345
PRESENT = "log-2026-03-09.log"
PAST = "log-2026-03-01.log"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def log_files(folder: Path, **keys: Any) -> LogFiles:
    return LogFiles(LogToFileSpec.model_validate({"logFolder": str(folder), **keys}))


def an_event(text: str = "one") -> Event:
    return Event(datetime(2026, 3, 9, tzinfo=UTC), "Extract", "log", "info", text)


def write_to(folder: Path) -> None:
    """Write a line into a file, and tidy up nothing."""
    file = LogFile(log_files(folder, HKRegExPattern="no file"))
    try:
        file.emit(an_event())
    finally:
        file.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file that no run may read or change."""
    file = tmp_path / "target"
    file.write_text("precious")
    file.chmod(0o600)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of log files that everybody may write to."""
    made = tmp_path / "logs"
    made.mkdir()
    made.chmod(0o777)
    return made


@pytest.mark.parametrize("what", ["link", "dangling link", "FIFO", "hard link"])
def test_nothing_is_followed_in_the_place_of_the_log(
    folder: Path, target: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line is reported as lost, and the run neither waits nor writes elsewhere."""
    plant(folder / PRESENT, what, target)
    write_to(folder)
    printed = capsys.readouterr().err
    assert "log lines are lost" in printed
    assert printed.count("cannot write the log file") == 1
    assert target.read_text() == "precious"
    assert not target.with_name("missing").exists()


def test_a_link_in_the_place_of_the_first_log_is_an_error(folder: Path, target: Path) -> None:
    """No job runs; the error says what is wrong."""
    (folder / "run.log").symlink_to(target)
    with pytest.raises(LogFileUnavailable, match="symbolic link"):
        LogFile(log_files(folder, filenameTemplate="run.log"))


@pytest.mark.parametrize("what", ["link", "dangling link", "FIFO", "hard link"])
def test_a_past_log_is_neither_followed_nor_waited_for(
    folder: Path, target: Path, what: str
) -> None:
    """Nothing of the target is copied, and the other past files are tidied up."""
    plant(folder / PAST, what, target)
    (folder / "log-2026-03-02.log").write_text("line\n")
    tidy(log_files(folder).past, folder / PRESENT)
    assert {path.name for path in folder.iterdir()} == {PAST, "log-2026-03-02.log.gz"}
    assert target.read_text() == "precious"


@pytest.mark.parametrize("what", ["link", "dangling link", "FIFO"])
def test_no_line_is_lost_where_the_compressed_file_would_be(
    folder: Path, target: Path, what: str
) -> None:
    """The past file stays as it is, and the target is not replaced or appended to."""
    (folder / PAST).write_text("line\n")
    plant(folder / f"{PAST}.gz", what, target)
    tidy(log_files(folder).past, folder / PRESENT)
    assert (folder / PAST).read_text() == "line\n"
    assert target.read_text() == "precious"


@needs_root
def test_files_of_a_stranger_are_left_alone(folder: Path) -> None:
    """In a folder that everybody may write to: not written to, and not compressed."""
    for name in (PRESENT, PAST):
        (folder / name).write_text("line\n")
        os.chown(folder / name, STRANGER, STRANGER)
    tidy(log_files(folder).past, folder / "log-2026-03-10.log")
    write_to(folder)
    assert {path.name: path.read_text() for path in folder.glob("log-2026-03-0*")} == {
        PRESENT: "line\n",
        PAST: "line\n",
    }


@needs_root
def test_users_who_were_let_in_share_a_log(folder: Path) -> None:
    """A folder that only a group may write to is shared on purpose."""
    folder.chmod(0o770)
    (folder / PRESENT).write_text("line\n")
    os.chown(folder / PRESENT, STRANGER, STRANGER)
    write_to(folder)
    assert len((folder / PRESENT).read_text().splitlines()) == 2


def test_a_program_that_locks_the_log_does_not_stop_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for the lock has an end; the line is written."""
    monkeypatch.setattr(log_file, "_LONGEST_WAIT", 0.02)
    with (folder / PRESENT).open("a") as reader:
        fcntl.flock(reader, fcntl.LOCK_EX)
        write_to(folder)
    assert (folder / PRESENT).read_text().endswith("one\n")


def test_a_log_that_was_renamed_is_not_written_to(folder: Path) -> None:
    """Tools such as logrotate rename a file; the next line begins a new one, none is lost."""
    file = LogFile(log_files(folder, HKRegExPattern="no file"))
    file.emit(an_event("one"))
    (folder / PRESENT).rename(folder / "rotated")
    file.emit(an_event("two"))
    file.close()
    assert (folder / "rotated").read_text().endswith("one\n")
    assert (folder / PRESENT).read_text().endswith("two\n")


def test_a_log_stays_where_it_was_when_the_working_folder_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for the files of later days."""
    monkeypatch.chdir(folder.parent)
    file = LogFile(log_files(Path("logs"), HKRegExPattern="no file"))
    monkeypatch.chdir("/")
    file.emit(an_event())
    file.close()
    assert (folder / PRESENT).exists()


def test_moved_files_are_added_to_earlier_ones(folder: Path, tmp_path: Path) -> None:
    """Not compressed, into a folder where a file of that name exists: nothing is overwritten."""
    backup = tmp_path / "backup"
    rules = log_files(folder, dontCompress=True, backupFolder=str(backup)).past
    for turn, text in enumerate(("one\n", "one\n", "two\n")):
        (folder / PAST).write_text(text)
        os.utime(folder / PAST, ns=(0, turn))
        tidy(rules, folder / PRESENT)
    assert (backup / PAST).read_text() == "one\none\ntwo\n"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("compresses", [True, False])
def test_a_kill_before_the_removal_doubles_no_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compresses: bool
) -> None:
    """The next run recognises the file in its copy, and only removes it."""
    backup = tmp_path / "backup"
    rules = log_files(folder, dontCompress=not compresses, backupFolder=str(backup)).past
    (folder / PAST).write_text("one\ntwo\n")
    unlink = os.unlink

    def killed(path: str, *, dir_fd: int | None = None) -> None:
        if path == PAST:
            raise OSError
        unlink(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", killed)
        tidy(rules, folder / PRESENT)
    assert (folder / PAST).exists()
    tidy(rules, folder / PRESENT)
    assert list(folder.iterdir()) == []
    (stored,) = backup.iterdir()
    content = gzip.decompress(stored.read_bytes()) if compresses else stored.read_bytes()
    assert content == b"one\ntwo\n"


def test_a_copy_is_private_while_it_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has the permissions and the time of the file afterwards; what a kill left is replaced."""
    (folder / PAST).write_text("line\n")
    (folder / PAST).chmod(0o640)
    (folder / f".{PAST}.gz.new").write_text("left by a kill")
    os.utime(folder / PAST, (1, 1))
    modes = []
    copy = shutil.copyfileobj

    def seen(source: Any, target: Any) -> None:
        (partial,) = folder.glob(".*")
        modes.append(stat.S_IMODE(partial.stat().st_mode))
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfileobj", seen)
    tidy(log_files(folder).past, folder / PRESENT)
    (stored,) = folder.iterdir()
    assert modes == [0o600]
    assert (stat.S_IMODE(stored.stat().st_mode), stored.stat().st_mtime) == (0o640, 1)
