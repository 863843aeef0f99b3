"""The output of a run: on a terminal, in a pipe, as JSON, and in log files."""

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
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ojobchannels.errors import LogFileUnavailable
from ojobchannels.ojob import run_file
from ojobchannels.ojob.report.console import Console, JsonLines, Output
from ojobchannels.ojob.report.events import Event, Kind, Level, ended
from ojobchannels.ojob.report.log_file import LogFile, LogFiles
from ojobchannels.ojob.report.outcomes import Outcome
from ojobchannels.ojob.report.past_logs import tidy
from ojobchannels.ojob.schema.date_format import DateFormat
from ojobchannels.ojob.schema.settings import LogToFileSpec

AT = datetime(2026, 3, 1, 2, 4, 5, 678_000, UTC)


def event(text: str, at: datetime = AT, kind: Kind = "log", level: Level = "info") -> Event:
    """Return an event of a job."""
    return Event(at, "Extract", kind, level, text)


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def written(
    monkeypatch: pytest.MonkeyPatch, events: Iterable[Event], stream: io.StringIO
) -> list[str]:
    """Return the lines that the console writes to a stream."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        console = Console()
        for each in events:
            console.emit(each)
    return stream.getvalue().splitlines()


_CAPTURE = """\
jobs:
- name: Capture
  exec: |
    import contextlib, io
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        print("its own line")
        job("Neighbour")
    log("captured", repr(printed.getvalue()))
- {name: Neighbour, exec: log("a line of the neighbour")}
- name: Tee
  exec: |
    import sys
    class Tee:
        def __init__(self, *to): self.to = to
        def write(self, text): [each.write(text) for each in self.to]
        def flush(self): raise RuntimeError("the copy is full")
    sys.stdout = Tee(sys.stdout)
    print("printed")
    log("logged")
- {name: After, exec: "print('after'); log('after too')"}
todo: [Capture, Tee, After]
"""


def test_code_that_redirects_standard_output_keeps_the_lines_of_jobs_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any object in its place, the run continues, and its lines are where they were."""
    path, stream = tmp_path / "f.yaml", io.StringIO()
    path.write_text(_CAPTURE)
    monkeypatch.setattr(sys, "stdout", stream)
    assert run_file(path).exit_status == 0
    lines = [line.rpartition(" | ")[2] for line in stream.getvalue().splitlines()]
    expected = ["a line of the neighbour", "captured 'its own line\\n'", "printed", "logged"]
    expected += ["after", "after too"]
    assert [line for line in lines if not line.startswith(("started", "completed"))] == expected


def test_a_terminal_shows_the_end_of_a_job_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is red, a success is green, and log lines are not coloured."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    events = (
        event("reading"),
        event("completed in 1 s", kind="completed"),
        event("failed after 1 s: no\nsecond line", kind="failed", level="error"),
    )
    assert written(monkeypatch, events, Terminal()) == [
        "02:04:05 | Extract | reading",
        "02:04:05 | Extract | \x1b[32mcompleted in 1 s\x1b[0m",
        "02:04:05 | Extract | \x1b[31mfailed after 1 s: no\x1b[0m",
        "02:04:05 | Extract | \x1b[31msecond line\x1b[0m",
    ]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_turned_off(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    events = [event("completed", kind="completed")]
    assert written(monkeypatch, events, Terminal()) == ["02:04:05 | Extract | completed"]


def test_lines_have_the_date_and_the_offset_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The output of a cron job may be read days later, in another time zone."""
    at = AT.astimezone(timezone(timedelta(hours=2)))
    assert written(monkeypatch, [event("reading", at)], io.StringIO()) == [
        "2026-03-01 04:04:05+02:00 | Extract | reading"
    ]


def test_each_event_is_a_line_of_json() -> None:
    """It has the time in UTC, the runs that lead to the records, and the parts of the error."""
    stream = io.StringIO()
    output = Output(JsonLines(stream))
    output.log("Extract", "warn", "two\nlines")
    output.started("Extract", "3 of 12")
    error = ValueError("no such column")
    output.ended(
        Outcome("Extract", "failed", None, error, 1.5, run_names=("extract",), run_ids=("r1",))
    )
    log, start, end = map(json.loads, stream.getvalue().splitlines())
    assert (log["event"], log["level"], log["text"]) == ("log", "warn", "two\nlines")
    assert (start["event"], start["text"]) == ("started", "started (3 of 12)")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", end["time"])
    assert (end["event"], end["seconds"], end["launched"]) == ("failed", 1.5, False)
    assert end["runs"] == [{"name": "extract", "id": "r1"}]
    assert end["error"] == {"type": "ValueError", "message": "no such column", "trace": ""}


def test_a_sink_can_replace_the_others_within_a_block() -> None:
    """It is closed at the end of the block."""
    usual, instead = io.StringIO(), io.StringIO()
    output = Output(JsonLines(usual))
    with output.with_sink(JsonLines(instead), replace=True):
        output.log("Extract", "info", "one")
    output.log("Extract", "info", "two")
    assert json.loads(instead.getvalue())["text"] == "one"
    assert json.loads(usual.getvalue())["text"] == "two"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd HH:mm:ss.SSS", "2026-03-01 02:04:05.678"),
        ("yyyy'th year'", "2026th year"),
        ("M/d/yy H.m.s", "3/1/26 2.4.5"),
        ("HH''mm", "02'04"),
        ("HHZ XXX", "02+0000 +00:00"),
    ],
)
def test_dates_are_formatted_by_their_pattern(pattern: str, text: str) -> None:
    """The pattern also matches the texts that it produces."""
    found = DateFormat(pattern)
    assert found.write(AT) == text
    assert re.fullmatch(found.matches, text)


def test_an_unknown_letter_in_a_pattern_is_rejected() -> None:
    """The error lists the known ones."""
    with pytest.raises(ValueError, match="'ww', which is not a field; the fields are yyyy, yy, MM"):
        DateFormat("yyyy-ww")


def log_files(folder: Path, **keys: Any) -> LogFiles:
    """The log files in a folder."""
    return LogFiles(LogToFileSpec.model_validate({"logFolder": str(folder), **keys}))


def lines(path: Path) -> list[str]:
    """The lines of a log file."""
    return path.read_text().splitlines()


def test_lines_are_written_to_the_file_of_their_day(tmp_path: Path) -> None:
    """Folders are created, texts are split into lines, and the past file is compressed."""
    folder = tmp_path / "logs" / "batch"
    file = LogFile(log_files(folder))
    file.emit(event("one\ntwo", AT))
    file.emit(event("three", AT + timedelta(days=1), level="error"))
    file.close()
    tidy(log_files(folder).past, folder / "log-2026-03-02.log")
    assert lines(folder / "log-2026-03-02.log") == [
        "2026-03-02 02:04:05.678 | ERROR | Extract | three"
    ]
    assert gzip.decompress((folder / "log-2026-03-01.log.gz").read_bytes()).decode() == (
        "2026-03-01 02:04:05.678 | INFO | Extract | one\n"
        "2026-03-01 02:04:05.678 | INFO | Extract | two\n"
    )
    assert not (folder / "log-2026-03-01.log").exists()


def test_file_names_and_lines_are_made_from_templates(tmp_path: Path) -> None:
    """Here with one file for each hour, and lines of another format."""
    files = log_files(
        tmp_path,
        filenameTemplate="batch_{{timedate}}.txt",
        fileDateFormat="yyyyMMddHH",
        lineTemplate="{{{message}}} ({{ job }})\n",
    )
    file = LogFile(files)
    file.emit(event("one"))
    file.close()
    assert lines(tmp_path / "batch_2026030102.txt") == ["one (Extract)"]
    assert files.is_ours("batch_2026030102.txt.gz")
    assert not files.is_ours("batch_yesterday.txt")


def test_past_files_are_moved_and_then_removed(tmp_path: Path) -> None:
    """Other files, and the file in use, are left alone."""
    folder, backup = tmp_path / "logs", tmp_path / "old"
    files = log_files(folder, HKhowLongAgoInMinutes=60, dontCompress=True, backupFolder=str(backup))
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
    tidy(files.past, present)
    assert sorted(path.name for path in folder.iterdir()) == ["a.log", present.name]
    assert [path.name for path in backup.iterdir()] == [new.name]
    os.utime(backup / new.name, (long_ago, long_ago))
    tidy(files.past, present)
    assert list(backup.iterdir()) == []


def test_late_lines_are_added_to_the_compressed_file(tmp_path: Path) -> None:
    """Another process wrote to the file of a day after it was compressed."""
    present, past = tmp_path / "log-2026-03-02.log", tmp_path / "log-2026-03-01.log"
    for text in ("one\n", "two\n"):
        past.write_text(text)
        tidy(log_files(tmp_path).past, present)
    assert gzip.decompress(past.with_suffix(".log.gz").read_bytes()) == b"one\ntwo\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_is_open_in_a_process_is_left_alone(tmp_path: Path) -> None:
    """Its lines would be lost; it is compressed after the process has closed it."""
    file = LogFile(log_files(tmp_path))
    file.emit(event("one"))
    tidy(log_files(tmp_path).past, tmp_path / "another")
    assert (tmp_path / "log-2026-03-01.log").exists()
    file.close()
    tidy(log_files(tmp_path).past, tmp_path / "another")
    assert not (tmp_path / "log-2026-03-01.log").exists()


def test_a_deleted_file_is_created_again(tmp_path: Path) -> None:
    """Programs that rotate logs remove files at any time."""
    file = LogFile(log_files(tmp_path))
    file.emit(event("one"))
    (tmp_path / "log-2026-03-01.log").unlink()
    file.emit(event("two"))
    file.close()
    assert lines(tmp_path / "log-2026-03-01.log")[0].endswith("two")


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    """The error names the setting."""
    (tmp_path / "logs").write_text("")
    with pytest.raises(LogFileUnavailable, match=r"cannot write .*logFolder"):
        LogFile(log_files(tmp_path / "logs"))


def test_lost_lines_are_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Jobs continue, and later lines are written when that is possible again."""
    file = LogFile(log_files(tmp_path / "logs"))
    (tmp_path / "logs").rename(tmp_path / "away")
    (tmp_path / "logs").write_text("in the way")
    file.emit(event("one", AT))
    file.emit(event("two", AT))
    (tmp_path / "logs").unlink()
    file.emit(event("three", AT))
    file.close()
    assert capsys.readouterr().err.count("ojob: log lines are lost: cannot write") == 1
    assert lines(tmp_path / "logs" / "log-2026-03-01.log")[0].endswith("three")


def test_several_processes_write_to_one_file(tmp_path: Path) -> None:
    """No line is lost or mixed with another one."""
    writer = (
        "import sys; from datetime import datetime, UTC\n"
        "from ojobchannels.ojob.report.log_file import LogFile, LogFiles\n"
        "from ojobchannels.ojob.report.events import Event\n"
        "from ojobchannels.ojob.schema.settings import LogToFileSpec\n"
        "keys = {'logFolder': sys.argv[1], 'filenameTemplate': 'all.log'}\n"
        "file = LogFile(LogFiles(LogToFileSpec.model_validate(keys)))\n"
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


def test_a_failure_is_reported_with_the_lines_of_its_traceback() -> None:
    """Frames of installed libraries are left out of the text."""
    try:
        json.loads("[")
    except ValueError as error:
        text = ended(Outcome("Extract", "failed", error=error)).text
    assert text.startswith("failed after 0.00 s: JSONDecodeError: ")
    assert re.findall(r'File "(.*)"', text) == [__file__]
    assert '    json.loads("[")' in text
