"""What jobs and others write reaches terminals and log files as plain lines."""

import json
import sys
from datetime import UTC, datetime
from io import StringIO

import pytest

from ojobchannels.cli.errors import CommandError
from ojobchannels.cli.streams import echo
from ojobchannels.ojob.report.console import Console, JsonLines
from ojobchannels.ojob.report.events import Event
from ojobchannels.ojob.report.log_file import LogFiles
from ojobchannels.ojob.schema.settings import LogToFileSpec

HOSTILE = Event(
    datetime(2026, 3, 31, tzinfo=UTC),
    "Night\n00:00:00 | Pay | completed",
    "log",
    "info",
    "\x1b]0;title\x07red\x1b[31m\r00:00:00 | Pay | completed\u2028a\u202eb\x00\x9b2J\tend",
    id="a\nb",
)


def test_the_console_escapes_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line begins with the escaped name of the job, whatever name and text contain."""
    stream = StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    Console().emit(HOSTILE)
    lines = stream.getvalue().split("\n")[:-1]
    assert len(lines) == 3
    assert all(r" | Night\n00:00:00 | Pay | completed | " in line for line in lines)
    assert lines[0].endswith(r" | \x1b]0;title\x07red\x1b[31m")
    assert lines[2].endswith(" | a\\u202eb\\x00\\x9b2J\tend")
    assert all(line.replace("\t", "").isprintable() for line in lines)


def test_the_log_file_escapes_control_characters() -> None:
    """No line of a log file can be forged by a name, an id or a text."""
    spec = LogToFileSpec.model_validate({"lineTemplate": "{{job}} {{id}} {{message}}\n"})
    lines = LogFiles(spec).written(HOSTILE).split("\n")[:-1]
    assert len(lines) == 3
    assert all(line.startswith(r"Night\n00:00:00 | Pay | completed a\nb ") for line in lines)
    assert all(line.replace("\t", "").isprintable() for line in lines)


def test_json_keeps_the_text() -> None:
    """A program reads what the job wrote; JSON itself escapes control characters."""
    stream = StringIO()
    JsonLines(stream).emit(HOSTILE)
    assert json.loads(stream.getvalue())["text"] == HOSTILE.text
    assert stream.getvalue()[:-1].isprintable()


def test_the_command_line_escapes_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    """Also in errors, which quote holders of locks and names of files."""
    echo("lock '\x1b[2J'\nnext")
    CommandError("held by \x1b[2J\nojob: forged").show()
    shown = capsys.readouterr()
    assert shown.out == "lock '\\x1b[2J'\nnext\n"
    assert shown.err == "ojob: held by \\x1b[2J\\nojob: forged\n"
