"""Durable launches from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

import ojobchannels as oc
from ojobchannels.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Channels:
    """The channels of a manager, and commands on them."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:////{folder / 'jobs.db'}"
        self.manager = oc.JobManager(self.url, self.url)

    def ojob(self, *args: str) -> Result:
        return CliRunner().invoke(cli, [*args, "--jobs", self.url], catch_exceptions=False)


@pytest.fixture
def channels(tmp_path: Path) -> Iterator[Channels]:
    """Channels of type db."""
    opened = Channels(tmp_path)
    with opened.manager:
        yield opened


def test_a_launch_from_the_command_line_is_that_of_python(channels: Channels) -> None:
    """It prints its identifier; its options and args are in the launch."""
    options = ["--priority", "0", "--retries", "2", "--delay", "1h", "--key", "monday"]
    result = channels.ojob("launch", "Send", "limit=7", *options)
    (info,) = channels.manager.launches()
    assert result.stdout == f"{info.id}\n"
    assert "no process takes launches of 'Send' now" in result.stderr
    assert (info.name, info.args, info.priority) == ("Send", {"limit": 7}, 0)
    assert info.due - info.added == 3_600_000
    again = channels.ojob("launch", "Send", "limit=8", "--key", "monday", "--json")
    assert json.loads(again.stdout)["id"] == info.id
    assert len(channels.manager.launches()) == 1


def test_a_launch_that_waits_is_cancelled(channels: Channels) -> None:
    """By its identifier; one that has ended is not known as a run."""
    launch = channels.manager.launch("Send", durable=True)
    cancelled = channels.ojob("cancel", launch.launch_id)
    assert cancelled.stdout.endswith("of job 'Send' was cancelled before it began.\n")
    assert (cancelled.exit_code, launch.state) == (0, "cancelled")
    assert channels.ojob("cancel", launch.launch_id).exit_code == 2
