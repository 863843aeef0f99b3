"""What a run tells: on a terminal, in a pipe, as JSON, and in files by date."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ojobchannels.errors import LogFileUnavailable
from ojobchannels.ojob.report.console import Console, JsonLines, Output
from ojobchannels.ojob.report.events import Event, Kind, Level, ended
from ojobchannels.ojob.report.log_file import LogFile, LogFiles, tidy
from ojobchannels.ojob.report.outcomes import Outcome
from ojobchannels.ojob.schema.date_format import DateFormat

AT = datetime(2026, 3, 1, 2, 4, 5, 678_000, UTC)


def event(text: str, at: datetime = AT, kind: Kind = "log", level: Level = "info") -> Event:
    """Something that a job says."""
    return Event(at, "Extract", kind, level, text)


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, told: Iterable[Event]) -> list[str]:
    """Returns the lines that a terminal is sent."""
    stream = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        console = Console()
        for each in told:
            console.emit(each)
    return stream.getvalue().splitlines()


def test_a_terminal_shows_in_colour_how_a_job_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red for a failure, green for a success; what jobs say has none."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    told = (
        event("reading"),
        event("completed in 1 s", kind="completed"),
        event("failed after 1 s: no\nsecond line", kind="failed", level="error"),
    )
    assert on_terminal(monkeypatch, told) == [
        "02:04:05 | Extract | reading",
        "02:04:05 | Extract | \x1b[32mcompleted in 1 s\x1b[0m",
        "02:04:05 | Extract | \x1b[31mfailed after 1 s: no\x1b[0m",
        "02:04:05 | Extract | \x1b[31msecond line\x1b[0m",
    ]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colour_gets_none(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """By the variables that everybody uses for it."""
    monkeypatch.setenv(name, value)
    told = [event("completed", kind="completed")]
    assert on_terminal(monkeypatch, told) == ["02:04:05 | Extract | completed"]


def test_programs_get_each_event_as_a_line_of_json() -> None:
    """With the time, the runs by which its records are found, and the error in its parts."""
    stream = io.StringIO()
    output = Output(JsonLines(stream))
    output.log("Extract", "warn", "two\nlines")
    output.started("Extract", "3 of 12")
    error = ValueError("no such column")
    output.ended(
        Outcome("Extract", "failed", None, error, 1.5, run_names=("extract",), run_ids=("r1",))
    )
    said, began, end = map(json.loads, stream.getvalue().splitlines())
    assert (said["event"], said["level"], said["text"]) == ("log", "warn", "two\nlines")
    assert (began["event"], began["text"]) == ("started", "started (3 of 12)")
    assert datetime.fromisoformat(end["time"]).tzinfo is not None
    assert (end["event"], end["seconds"], end["launched"]) == ("failed", 1.5, False)
    assert end["runs"] == [{"name": "extract", "id": "r1"}]
    assert end["error"] == {"type": "ValueError", "message": "no such column", "trace": ""}


def test_a_sink_may_take_the_place_of_the_others_for_a_while() -> None:
    """And is closed afterwards."""
    usual, instead = io.StringIO(), io.StringIO()
    output = Output(JsonLines(usual))
    with output.with_sink(JsonLines(instead), replace=True):
        output.log("Extract", "info", "one")
    output.log("Extract", "info", "two")
    assert json.loads(instead.getvalue())["text"] == "one"
    assert json.loads(usual.getvalue())["text"] == "two"


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("yyyy-MM-dd HH:mm:ss.SSS", "2026-03-01 02:04:05.678"),
        ("yyyy'th year'", "2026th year"),
        ("M/d/yy H.m.s", "3/1/26 2.4.5"),
        ("HH''mm", "02'04"),
        ("HHZ XXX", "02+0000 +00:00"),
    ],
)
def test_dates_are_written_as_their_pattern_tells(pattern: str, written: str) -> None:
    """And the pattern knows its own texts again."""
    found = DateFormat(pattern)
    assert found.write(AT) == written
    assert re.fullmatch(found.matches, written)


def test_a_letter_that_stands_for_nothing_is_refused() -> None:
    """With those that may be taken."""
    with pytest.raises(ValueError, match="'ww', which stands for nothing: take yyyy, yy, MM"):
        DateFormat("yyyy-ww")


def lines(path: Path) -> list[str]:
    """The lines of a log file."""
    return path.read_text().splitlines()


def test_lines_of_a_day_go_to_the_file_of_that_day(tmp_path: Path) -> None:
    """In folders that are made, each line of a text for itself; the day before is compressed."""
    folder = tmp_path / "logs" / "batch"
    file = LogFile(LogFiles(folder))
    file.emit(event("one\ntwo", AT))
    file.emit(event("three", AT + timedelta(days=1), level="error"))
    file.close()
    tidy(LogFiles(folder), folder / "log-2026-03-02.log")
    assert lines(folder / "log-2026-03-02.log") == [
        "2026-03-02 02:04:05.678 | ERROR | Extract | three"
    ]
    assert gzip.decompress((folder / "log-2026-03-01.log.gz").read_bytes()).decode() == (
        "2026-03-01 02:04:05.678 | INFO | Extract | one\n"
        "2026-03-01 02:04:05.678 | INFO | Extract | two\n"
    )
    assert not (folder / "log-2026-03-01.log").exists()


def test_names_and_lines_are_made_by_templates(tmp_path: Path) -> None:
    """A file for each hour, and lines of another form."""
    files = LogFiles(
        tmp_path,
        "batch_{{timedate}}.txt",
        DateFormat("yyyyMMddHH"),
        "{{{message}}} ({{ job }})\n",
    )
    file = LogFile(files)
    file.emit(event("one"))
    file.close()
    assert lines(tmp_path / "batch_2026030102.txt") == ["one (Extract)"]
    assert files.is_ours("batch_2026030102.txt.gz")
    assert not files.is_ours("batch_yesterday.txt")


def test_past_files_are_moved_and_removed_in_time(tmp_path: Path) -> None:
    """What is no log file stays, and what is in use."""
    folder, backup = tmp_path / "logs", tmp_path / "old"
    files = LogFiles(folder, keep=60, compress=False, backup=backup)
    present = folder / "log-2026-03-09.log"
    folder.mkdir()
    old, new, other = (
        folder / f"{name}" for name in ("log-2026-03-01.log", "log-2026-03-08.log", "a.log")
    )
    for path in (old, new, other, present):
        path.write_text("line\n")
    long_ago = time.time() - 3 * 3600
    for path in (old, other, present):
        os.utime(path, (long_ago, long_ago))
    tidy(files, present)
    assert sorted(path.name for path in folder.iterdir()) == ["a.log", present.name]
    assert [path.name for path in backup.iterdir()] == [new.name]
    os.utime(backup / new.name, (long_ago, long_ago))
    tidy(files, present)
    assert list(backup.iterdir()) == []


def test_late_lines_are_added_to_what_is_compressed(tmp_path: Path) -> None:
    """Another process had written to that day's file after it was compressed."""
    present, past = tmp_path / "log-2026-03-02.log", tmp_path / "log-2026-03-01.log"
    for text in ("one\n", "two\n"):
        past.write_text(text)
        tidy(LogFiles(tmp_path), present)
    assert gzip.decompress(past.with_suffix(".log.gz").read_bytes()) == b"one\ntwo\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_somebody_writes_to_is_left_alone(tmp_path: Path) -> None:
    """Its lines would be lost; it is compressed when its writer has gone on."""
    file = LogFile(LogFiles(tmp_path))
    file.emit(event("one"))
    tidy(LogFiles(tmp_path), tmp_path / "another")
    assert (tmp_path / "log-2026-03-01.log").exists()
    file.close()
    tidy(LogFiles(tmp_path), tmp_path / "another")
    assert not (tmp_path / "log-2026-03-01.log").exists()


def test_a_file_that_was_taken_away_is_begun_anew(tmp_path: Path) -> None:
    """As programs do that rotate logs."""
    file = LogFile(LogFiles(tmp_path))
    file.emit(event("one"))
    (tmp_path / "log-2026-03-01.log").unlink()
    file.emit(event("two"))
    file.close()
    assert lines(tmp_path / "log-2026-03-01.log")[0].endswith("two")


def test_a_folder_that_cannot_be_made_is_told_at_once(tmp_path: Path) -> None:
    """With the setting that names it."""
    (tmp_path / "logs").write_text("")
    with pytest.raises(LogFileUnavailable, match=r"cannot write .*logFolder"):
        LogFile(LogFiles(tmp_path / "logs"))


def test_lines_that_cannot_be_written_are_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the work goes on; when there is room again, so does the log."""
    file = LogFile(LogFiles(tmp_path / "logs"))
    (tmp_path / "logs").rename(tmp_path / "away")
    (tmp_path / "logs").write_text("in the way")
    file.emit(event("one", AT))
    file.emit(event("two", AT))
    (tmp_path / "logs").unlink()
    file.emit(event("three", AT))
    file.close()
    assert capsys.readouterr().err.count("ojob: lines are lost: cannot write") == 1
    assert lines(tmp_path / "logs" / "log-2026-03-01.log")[0].endswith("three")


def test_processes_share_a_file(tmp_path: Path) -> None:
    """No line is torn or lost."""
    writer = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from ojobchannels.ojob.report.log_file import LogFile, LogFiles\n"
        "from ojobchannels.ojob.report.events import Event\n"
        "file = LogFile(LogFiles(Path(sys.argv[1]), name='all.log'))\n"
        "at = datetime(2026, 3, 1, tzinfo=UTC)\n"
        "for number in range(500):\n"
        "    file.emit(Event(at, sys.argv[2], 'log', 'info', f'{number} ' + 'x' * 200))\n"
        "file.close()\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", writer, str(tmp_path), name]) for name in "abc"
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    found = [line.split(" | ")[2:] for line in lines(tmp_path / "all.log")]
    for name in "abc":
        texts = [text for job, text in found if job == name]
        assert texts == [f"{number} " + "x" * 200 for number in range(500)]


def test_the_error_of_a_job_is_told_with_where_it_was_raised() -> None:
    """In the text for people."""
    try:
        raise ValueError("no such column")
    except ValueError as error:
        told = ended(Outcome("Extract", "failed", error=error)).text
    assert told.startswith("failed after 0.00 s: ValueError: no such column\n")
    assert "test_console.py" in told
