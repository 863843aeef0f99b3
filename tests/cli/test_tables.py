"""What people read: tables on terminals and in pipes, times, durations, channel types."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ojobchannels.cli.commands.report import COLUMNS as REPORT
from ojobchannels.cli.tables import Column, show
from ojobchannels.cli.times import local, parse_moment, parse_span, relative, span
from ojobchannels.manager.records import STATUSES

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
LONG = "the text of an error that is much longer than what any terminal has room for in a line"
WIDE = (
    Column("job", lambda row: row["job"]),
    Column("count", lambda row: row.get("count", ""), right=True),
    Column("status", lambda row: row.get("status", ""), colours={"failed": "red"}),
    Column("what", lambda row: row.get("what", ""), folds=True),
)
ROWS = (
    {"job": "sync", "count": "7", "status": "failed", "what": LONG},
    {"job": "roll-up", "count": "12", "status": "completed"},
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7d", 604_800),
        ("90 min", 5400),
        ("1h30m", 5400),
        ("0.5s", 0.5),
        ("2w", 1_209_600),
        ("5ms", 0.005),
    ],
)
def test_spans_are_read_with_units(text: str, seconds: float) -> None:
    assert parse_span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "7", "d", "7x", "7 months", "1h later", "-1h", "9" * 30 + "w"]
)
def test_what_is_no_span_is_refused_with_advice(text: str) -> None:
    with pytest.raises(ValueError, match="write 45s, 30m, 12h, 7d or 2w"):
        parse_span(text)


def test_moments_are_dates_times_and_spans_back_from_now() -> None:
    assert parse_moment("2h", NOW) == NOW - timedelta(hours=2)
    assert parse_moment("2026-03-31T18:00Z", NOW) == datetime(2026, 3, 31, 18, tzinfo=UTC)
    assert parse_moment("2026-03-31", NOW) == datetime(2026, 3, 31).astimezone()
    for wrong in ("soon", "2026-13-01", "99999w", "0001-01-01"):
        with pytest.raises(ValueError, match="write 2h, 7d, 2026-03-31"):
            parse_moment(wrong, NOW)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "< 1 ms"),
        (412, "412 ms"),
        (3_240, "3.2 s"),
        (9_960, "10 s"),
        (59_600, "1 min 0 s"),
        (125_000, "2 min 5 s"),
        (3_780_000, "1 h 3 min"),
        (187_200_000, "2 d 4 h"),
    ],
)
def test_durations_have_two_units_at_most(ms: int, text: str) -> None:
    assert span(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (5, "5 s ago"), (200, "3 min ago"), (-42, "in 42 s"), (90_000, "1 d ago")],
)
def test_moments_near_by_are_told_from_now(seconds: int, text: str) -> None:
    assert relative(NOW_MS - seconds * 1000, NOW_MS) == text


def test_moments_far_away_are_told_by_their_date() -> None:
    long_ago = NOW_MS - 30 * 86_400_000
    assert relative(long_ago, NOW_MS) == local(long_ago)
    assert re.fullmatch(r"2026-03-0[12] \d\d:\d\d:\d\d", local(long_ago))


def test_in_a_pipe_columns_are_aligned_and_texts_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, WIDE, as_json=False, nothing="")
    assert capsys.readouterr().out.splitlines() == [
        "JOB      COUNT  STATUS     WHAT",
        f"sync         7  failed     {LONG}",
        "roll-up     12  completed",
    ]


def test_a_column_without_any_text_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"job": "a"}, {"job": "b", "status": "x"}], WIDE, as_json=False, nothing="")
    assert capsys.readouterr().out == "JOB  STATUS\na    -\nb    x\n"


def test_wide_characters_keep_the_columns_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"job": "日次集計", "status": "x"}, {"job": "e\u0301te\u0301", "status": "y"}]
    show(rows, WIDE, as_json=False, nothing="")
    assert capsys.readouterr().out.splitlines()[1:] == ["日次集計  x", "e\u0301te\u0301       y"]


def test_what_would_steer_a_terminal_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"job": "a\x1b[2J\nb"}], WIDE, as_json=False, nothing="")
    assert capsys.readouterr().out == "JOB\na\\x1b[2J\\nb\n"


def test_programs_get_the_records_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, WIDE, as_json=True, nothing="")
    assert json.loads(capsys.readouterr().out) == list(ROWS)


def test_the_report_counts_every_status(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"name": "a", "runs": 7, "lastStart": NOW_MS, "lastStatus": "lost"}
    show([row | dict.fromkeys(STATUSES, 1)], REPORT, as_json=False, nothing="")
    told = capsys.readouterr().out.lower()
    assert [status for status in STATUSES if status not in told] == []


def on_terminal(columns: int, **settings: str) -> str:
    """Returns what a terminal gets when it is shown the rows."""
    script = (
        "import sys; sys.path[:0] = [sys.argv[1]]; import test_tables as t; "
        "t.show(t.ROWS, t.WIDE, as_json=False, nothing='')"
    )
    mine, its = pty.openpty()
    termios.tcsetwinsize(its, (50, columns))
    environment = {
        key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")
    }
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        env=environment | {"TERM": "xterm"} | settings,
        stdin=its,
        stdout=its,
        check=True,
    )
    os.close(its)
    shown = b""
    while chunk := _read(mine):
        shown += chunk
    os.close(mine)
    assert done.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_a_terminal_gets_colours() -> None:
    shown = on_terminal(200)
    assert "\x1b[31mfailed" in shown
    assert "\x1b[31mcompleted" not in shown


@pytest.mark.parametrize("settings", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_they_are_not_wanted(settings: dict[str, str]) -> None:
    assert "\x1b" not in on_terminal(200, **settings)


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_terminal_gets_long_texts_folded_and_whole(columns: int) -> None:
    shown = on_terminal(columns, NO_COLOR="1")
    assert max(map(len, shown.splitlines())) <= columns
    assert LONG in " ".join(shown.split())


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_a_terminal_of_any_width_gets_every_header(columns: int) -> None:
    """That of a folded column stands below the others, as its cells do."""
    shown = on_terminal(columns, NO_COLOR="1")
    assert shown.partition("sync")[0].split() == ["JOB", "COUNT", "STATUS", "WHAT"]


def test_channels_shows_the_types_their_options_and_who_provides_them(ojob: Any) -> None:
    done = ojob("channels")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^db +sqlite:// +ojobchannels +a SQLite database", done.stdout, re.MULTILINE)
    assert re.search(r"^db +durable +true/false +true +", done.stdout, re.MULTILINE)
    assert re.search(r"^file +file +text +\(required\) +", done.stdout, re.MULTILINE)
    types = {type["type"]: type for type in json.loads(ojob("channels", "--json").stdout)["types"]}
    assert set(types) >= {"simple", "file", "db"}
    assert "crash_release" in types["db"]["capabilities"]


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Installs a plugin of one module; answers the environment in which it is found."""
    folder = tmp_path / "installed"

    def install(distribution: str, module: str) -> dict[str, str]:
        name = distribution.replace("-", "_")
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{name}.py").write_text(module, encoding="utf-8")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[ojobchannels]\nqueue = {name}\n")
        path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {"PYTHONPATH": os.pathsep.join(path)}

    return install


def test_channels_tells_of_a_plugin_that_failed_to_load(
    ojob: Any, install: Callable[..., dict[str, str]]
) -> None:
    settings = install("queue-channels", "import no_such_driver")
    done = ojob("channels", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "FAILED TO LOAD" in done.stdout
    assert re.search(r"^queue +queue-channels +ModuleNotFoundError: ", done.stdout, re.MULTILINE)
    (failure,) = json.loads(ojob("channels", "--json", **settings).stdout)["failures"]
    assert failure["distribution"] == "queue-channels"


OFFER = """
from ojobchannels import ChannelType, hookimpl

@hookimpl
def ojobchannels_channel_types():
    return [ChannelType("queue", "a queue", open)]
"""


SECRETIVE = """
from ojobchannels import ChannelType, Option, hookimpl

@hookimpl
def ojobchannels_channel_types():
    options = (
        Option("url", object, "where it is", "queue://localhost"),
        Option("password", object, "password of the user"),
        Option("clock", object, "the clock that judges leases", object()),
    )
    return [ChannelType("queue", "a queue", open, options)]
"""


def test_channels_shows_options_of_any_kind_that_a_file_can_give(
    ojob: Any, install: Callable[..., dict[str, str]]
) -> None:
    """A URL, which may be a list elsewhere, and a password; but no object of Python's."""
    settings = install("queue-channels", SECRETIVE)
    shown = ojob("channels", **settings).stdout
    assert re.search(r"^queue +url +any +queue://localhost +where it is$", shown, re.MULTILINE)
    assert re.search(r"^queue +password +any +- +password of the user$", shown, re.MULTILINE)
    types = json.loads(ojob("channels", "--json", **settings).stdout)["types"]
    (queue,) = (type for type in types if type["type"] == "queue")
    assert [option["name"] for option in queue["options"]] == ["url", "password"]


def test_channels_tells_of_a_type_that_two_offer(
    ojob: Any, install: Callable[..., dict[str, str]]
) -> None:
    install("queue-channels", OFFER)
    settings = install("other-channels", OFFER)
    done = ojob("channels", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "IN CONFLICT" in done.stdout
    (conflict,) = json.loads(ojob("channels", "--json", **settings).stdout)["conflicts"]
    assert conflict["type"] == "queue"
    assert sorted(conflict["distributions"]) == ["other-channels", "queue-channels"]
