"""Entries of the jobs channel that are not run records: they stop nothing, and are named."""

import logging
from typing import Any

import pytest
from click.testing import CliRunner

import ojobchannels as oc
from ojobchannels.cli import cli

KEY = {"name": "odd", "startTime": 5}
VALID = {**KEY, "status": "completed", "endTime": 6, "duration": 1}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("text", "it is not a map"),
        (None, "it is not a map"),
        ({}, "it has no valid `name`"),
        (VALID | {"name": 1}, "it has no valid `name`"),
        (VALID | {"name": ""}, "it has no valid `name`"),
        (VALID | {"name": "a\0b", "status": "running"}, "it has no valid `name`"),
        (VALID | {"startTime": "now"}, "it has no valid `startTime`"),
        (VALID | {"startTime": True}, "it has no valid `startTime`"),
        (VALID | {"startTime": 2**60}, "it has no valid `startTime`"),
        (VALID | {"startTime": 2**60, "status": "running"}, "it has no valid `startTime`"),
        (VALID | {"endTime": 2**60}, "it has no valid `endTime`"),
        (VALID | {"status": ["completed"]}, "it has no valid `status`"),
        (VALID | {"status": "done"}, "it has no valid `status`"),
        (VALID | {"endTime": None}, "it has no valid `endTime`"),
        (VALID | {"endTime": [1]}, "it has no valid `endTime`"),
        (VALID | {"status": "running", "endTime": "x"}, "it has no valid `endTime`"),
        (VALID | {"duration": {}}, "its `duration` is not valid"),
        (VALID | {"startTime": 6}, "its `name` and `startTime` are not those of its key"),
    ],
)
def test_a_malformed_record_is_set_aside_and_named(
    entry: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every query shows the others; it stays where it is, and is logged once."""
    with oc.JobManager() as manager:
        manager.jobs.set(KEY, entry)
        with manager.run("good"):
            pass
        with caplog.at_level(logging.WARNING, "ojobchannels.jobs"):
            assert [run["name"] for run in manager.runs()] == ["good"]
            assert [row["name"] for row in manager.report()] == ["good"]
            assert manager.running() == []
            assert manager.prune(older_than=0).removed in (0, 1)
        assert manager.malformed == {'{"name":"odd","startTime":5}': reason}
        assert caplog.text.count(reason) == 1
        assert manager.jobs.get(KEY, default="gone") == entry
        manager.jobs.destroy()


def test_a_record_without_a_duration_counts(caplog: pytest.LogCaptureFixture) -> None:
    """But not for the average; a program may have written it."""
    with oc.JobManager() as manager:
        manager.jobs.set(KEY, {name: VALID[name] for name in VALID if name != "duration"})
        (row,) = manager.report()
        assert (row["completed"], row["averageDuration"]) == (1, None)
        assert not caplog.text
        manager.jobs.destroy()


def test_the_record_of_a_dead_run_without_an_identifier_is_closed() -> None:
    """It stops no query: a program of another origin may have written it, and died."""
    with oc.JobManager() as manager:
        with manager.run("good"):
            pass
        manager.jobs.set(KEY, {**KEY, "status": "running", "fence": 1})
        assert manager.close_dead_runs() == 1
        assert {row["name"]: row["abandoned"] for row in manager.report()} == {"good": 0, "odd": 1}
        assert [run.status for run in manager.runs(name="odd")] == ["abandoned"]
        manager.jobs.destroy()


@pytest.mark.parametrize("command", ["jobs", "history", "report"])
def test_the_command_line_counts_and_names_malformed_records(command: str, tmp_path: Any) -> None:
    """On standard error, so that the list stays a list."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    with oc.JobManager(url, url) as manager:
        for number in range(7):
            manager.jobs.set({"name": f"odd{number}", "startTime": 5}, {})
        with manager.run("good"):
            pass
    result = CliRunner().invoke(cli, [command, "--jobs", url, "--locks", url])
    assert result.exit_code == 0
    assert "Set aside 7 entries that cannot be read as run records: " in result.stderr
    assert result.stderr.count("(it has no valid `name`)") == 5
    assert "and 2 more" in result.stderr
