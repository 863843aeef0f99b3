"""Time zones: by name, of the environment, and of the system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ojobchannels import JobFileError
from ojobchannels.manager.schedules.zones import zone_of
from ojobchannels.ojob import check_file


def test_the_local_zone_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`local` has daylight saving time: it is a time zone, not the present offset."""
    monkeypatch.setenv("TZ", "Europe/Lisbon")
    zone = zone_of("local")
    offsets = {datetime(2026, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)}
    assert offsets == {timedelta(0), timedelta(hours=1)}
    assert zone_of("UTC") is UTC


@pytest.mark.parametrize(
    "name", ["Europe/Lisbn", "../etc/passwd", "Europe", "/etc/localtime", "x\0"]
)
def test_an_invalid_zone_is_refused(name: str) -> None:
    """No name reads files outside the time zone database."""
    with pytest.raises(LookupError):
        zone_of(name)


def test_without_a_zone_in_the_environment_that_of_the_system_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any time zone of the system can be used."""
    monkeypatch.delenv("TZ", raising=False)
    assert datetime(2026, 1, 1, tzinfo=zone_of("local")).utcoffset() is not None
    assert Path("/etc/localtime").exists() or zone_of("local") is UTC


@pytest.mark.parametrize(
    ("value", "winter", "summer"),
    [
        (":Europe/Lisbon", 0, 1),
        ("CET-1CEST,M3.5.0,M10.5.0/3", 1, 2),
        ("EST5EDT", -5, -4),
        ("XXX3YYY", -3, -2),
        ("<+0330>-3:30", 3.5, 3.5),
        ("UTC0", 0, 0),
        (":", 0, 0),
        ("", 0, 0),
    ],
)
def test_the_environment_may_have_any_form_of_a_zone(
    monkeypatch: pytest.MonkeyPatch, value: str, winter: float, summer: float
) -> None:
    """A name, a rule of POSIX, or nothing for UTC; with or without a colon."""
    monkeypatch.setenv("TZ", value)
    zone = zone_of("local")
    offsets = [datetime(2026, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)]
    assert offsets == [timedelta(hours=winter), timedelta(hours=summer)]


@pytest.mark.parametrize("colon", ["", ":"])
def test_the_environment_may_have_the_path_of_a_zone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, colon: str
) -> None:
    """As in ``TZ=:/etc/localtime``."""
    file = tmp_path / "zone"
    block = b"TZif2" + bytes(15) + bytes.fromhex("00000000" * 4 + "00000001" + "00000004")
    block += bytes.fromhex("000000000000") + b"UTC\0"
    file.write_bytes(2 * block + b"\nAAA-2\n")
    monkeypatch.setenv("TZ", f"{colon}{file}")
    assert datetime(2026, 1, 1, tzinfo=zone_of("local")).utcoffset() == timedelta(hours=2)


def test_an_unknown_zone_of_the_environment_is_a_diagnostic(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It names the variable, not the word `local` of the file."""
    monkeypatch.setenv("TZ", "rubbish!")
    path = tmp_path / "f.yaml"
    path.write_text("ojob: {timezone: local}\njobs: []\n")
    with pytest.raises(JobFileError, match="TZ is 'rubbish!'"):
        check_file(path)
