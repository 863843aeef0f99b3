"""Tables on terminals and in pipes, times, durations, and `ojob channels`."""

import json
import os
import pty
import re
import termios
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ojobchannels.cli.commands.reading.report import COLUMNS as REPORT
from ojobchannels.cli.tables import Column, show
from ojobchannels.cli.times import parse_duration, parse_moment, relative
from ojobchannels.host.terminal import duration, local_time
from ojobchannels.manager.records import STATUSES
from ojobchannels.testing.forks import Forks
from ojobchannels.testing.programs import Program

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting programs

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
LONG = "the text of an error that is longer than most terminals are wide, if columns precede it"
COLUMNS = (
    Column("job", lambda row: row["job"]),
    Column("count", lambda row: row.get("count", ""), right=True),
    Column("status", lambda row: row.get("status", ""), colours={"failed": "red"}),
    Column("host", lambda row: row.get("host", ""), optional=True),
    Column("what", lambda row: row.get("what", ""), cut=True),
)
ROWS = (
    {"job": "sync", "count": "7", "status": "failed", "host": "h", "what": LONG},
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
def test_durations_are_parsed_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "7", "d", "7x", "7 months", "1h later", "-1h", "9" * 30 + "w"]
)
def test_an_invalid_duration_is_rejected_with_advice(text: str) -> None:
    with pytest.raises(ValueError, match="write 45s, 30m, 12h, 7d or 2w"):
        parse_duration(text)


def test_a_time_is_a_date_or_a_duration_before_now() -> None:
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
def test_durations_have_at_most_two_units(ms: int, text: str) -> None:
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (5, "5 s ago"), (200, "3 min ago"), (-42, "in 42 s"), (90_000, "1 d ago")],
)
def test_recent_times_are_relative_to_now(seconds: int, text: str) -> None:
    assert relative(NOW_MS - seconds * 1000, NOW_MS) == text


def test_times_older_than_a_week_are_dates() -> None:
    assert re.fullmatch(r"2026-03-0[12]", relative(NOW_MS - 30 * 86_400_000, NOW_MS))


def test_local_times_have_their_utc_offset() -> None:
    text = local_time(NOW_MS)
    assert re.fullmatch(r"2026-0[34]-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", text)
    assert datetime.fromisoformat(text) == NOW


def test_in_a_pipe_columns_are_aligned_and_complete(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(ROWS, COLUMNS)
    assert capsys.readouterr().out.splitlines() == [
        "JOB      COUNT  STATUS     HOST  WHAT",
        f"sync         7  failed     h     {LONG}",
        "roll-up     12  completed  -",
    ]


def test_an_empty_column_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"job": "a"}, {"job": "b", "status": "x"}], COLUMNS)
    assert capsys.readouterr().out == "JOB  STATUS\na    -\nb    x\n"


def test_wide_characters_keep_the_columns_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"job": "日次集計", "status": "x"}, {"job": "e\u0301te\u0301", "status": "y"}]
    show(rows, COLUMNS)
    assert capsys.readouterr().out.splitlines()[1:] == ["日次集計  x", "e\u0301te\u0301       y"]


def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"job": "a\x1b[2J\nb"}], COLUMNS)
    assert capsys.readouterr().out == "JOB\na\\x1b[2J\\nb\n"


def test_json_output_is_the_records_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, COLUMNS, as_json=True)
    assert json.loads(capsys.readouterr().out) == list(ROWS)


def test_the_report_counts_every_status(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"name": "a", "runs": 7, "lastStart": NOW_MS, "lastStatus": "lost"}
    show([row | dict.fromkeys(STATUSES, 1)], REPORT)
    shown = capsys.readouterr().out.lower()
    assert [status for status in STATUSES if status not in shown] == []


OnTerminal: TypeAlias = Callable[..., str]


@pytest.fixture
def on_terminal(_ojob_forks: Forks) -> OnTerminal:
    """Return the output of `show` on a terminal of the given width."""

    def on_terminal(columns: int, wide: bool = False, **settings: str) -> str:
        script = (
            "import sys; sys.path[:0] = [sys.argv[1]]; import test_tables as t; "
            f"t.show(t.ROWS, t.COLUMNS, wide={wide})"
        )
        mine, its = pty.openpty()
        termios.tcsetwinsize(its, (50, columns))
        environment = {
            key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")
        }
        program = Program(
            _ojob_forks,
            ["-c", script, Path(__file__).parent],
            env=environment | {"TERM": "xterm"} | settings,
            stdin=its,
            stdout=its,
            imports=["pytest", "ojobchannels.cli.commands.reading.report"],
        )
        os.close(its)
        shown = b""
        while chunk := _read(mine):
            shown += chunk
        os.close(mine)
        assert program.wait() == 0
        return shown.decode().replace("\r\n", "\n")

    return on_terminal


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_statuses_are_coloured_on_a_terminal(on_terminal: OnTerminal) -> None:
    shown = on_terminal(200)
    assert "\x1b[31mfailed" in shown
    assert "\x1b[31mcompleted" not in shown


@pytest.mark.parametrize("settings", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_turned_off(on_terminal: OnTerminal, settings: dict[str, str]) -> None:
    assert "\x1b" not in on_terminal(200, **settings)


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_table_fits_the_terminal_with_one_line_for_each_row(
    on_terminal: OnTerminal, columns: int
) -> None:
    """Long texts end with an ellipsis; a terminal that is wide enough shows them completely."""
    header, sync, roll_up = on_terminal(columns, NO_COLOR="1").splitlines()
    assert max(map(len, (header, sync, roll_up))) <= columns
    assert sync.endswith(LONG if columns == 120 else "…")


@pytest.mark.parametrize(("missing", "host"), [(0, ["HOST"]), (1, [])])
def test_an_optional_column_is_left_out_if_the_table_does_not_fit(
    on_terminal: OnTerminal, missing: int, host: list[str]
) -> None:
    width = len(f"roll-up     12  completed  HOST  {LONG}") - missing
    header = on_terminal(width, NO_COLOR="1").partition("\n")[0]
    assert header.split() == ["JOB", "COUNT", "STATUS", *host, "WHAT"]


def test_wide_shows_all_columns_and_complete_texts(on_terminal: OnTerminal) -> None:
    header, sync, _ = on_terminal(20, wide=True, NO_COLOR="1").splitlines()
    assert header.split() == ["JOB", "COUNT", "STATUS", "HOST", "WHAT"]
    assert sync.endswith(LONG)


def test_channels_shows_the_types_with_their_options_and_distributions(ojob: Any) -> None:
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
    """Install a plugin of one module, and return the environment in which it is found."""
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


def test_channels_lists_a_plugin_that_failed_to_load(
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


def test_channels_shows_every_option_that_a_file_can_set(
    ojob: Any, install: Callable[..., dict[str, str]]
) -> None:
    """Options of any JSON type are included, Python objects are not."""
    settings = install("queue-channels", SECRETIVE)
    shown = ojob("channels", **settings).stdout
    assert re.search(r"^queue +url +any +queue://localhost +where it is$", shown, re.MULTILINE)
    assert re.search(r"^queue +password +any +- +password of the user$", shown, re.MULTILINE)
    types = json.loads(ojob("channels", "--json", **settings).stdout)["types"]
    (queue,) = (type for type in types if type["type"] == "queue")
    assert [option["name"] for option in queue["options"]] == ["url", "password"]


def test_channels_lists_a_type_that_two_distributions_provide(
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
