"""What operators see of daemons and requests whose processes are gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import ojobchannels as oc
from ojobchannels.cli import cli
from ojobchannels.cli.top.board import read_board
from ojobchannels.host.clock import now_ms
from ojobchannels.manager import records
from ojobchannels.manager.actions import journal
from ojobchannels.manager.schedules.published import lock_name
from ojobchannels.manager.serving.presence import Presence
from tests.manager.schedules.conftest import schedule


class Site:
    """Channels that commands read, and the manager that fills them."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:////{folder / 'jobs.db'}"
        self.manager = oc.JobManager(self.url, self.url)

    def call(self, *words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--jobs", self.url])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    with site.manager:
        yield site


def _publish(site: Site) -> Presence:
    daemon = Presence(site.manager.state, "/srv/my jobs.yaml", "hash")
    daemon.update([schedule("nightly", since=now_ms())], {}, "hash")
    return daemon


def _lose(site: Site, daemon: Presence) -> None:
    """Take the life sign of a daemon away, as its death would."""
    assert site.manager.state.force_unlock(lock_name(daemon.info.id)) is not None


def test_the_live_view_names_daemons_without_a_sign_of_life(site: Site) -> None:
    """And the runs of their processes, which may be stopped or dead."""
    daemon = _publish(site)
    where = f"{daemon.info.host}:{daemon.info.pid}"
    with site.manager.run("nightly"):
        assert "sign of life" not in read_board(site.manager).summary
        _lose(site, daemon)
        board = read_board(site.manager)
        assert f"daemons without a sign of life: 1 ({where})" in board.summary
        (line,) = board.lines
        assert (line.state, (line.record or {})["note"]) == (
            "running",
            "its daemon gives no sign of life",
        )
        assert "its daemon gives no sign of life" in site.call("jobs", "--wide").stdout


def test_a_request_that_no_daemon_can_take_is_refused_at_once(site: Site) -> None:
    """With the daemon that had the schedule, and how to start it."""
    daemon = _publish(site)
    _lose(site, daemon)
    done = site.call("now", "nightly")
    assert done.exit_code == 2
    where = f"{daemon.info.host}:{daemon.info.pid}"
    assert f"the last one, {where}, is without a sign of life" in done.stderr
    assert "ojob run '/srv/my jobs.yaml'" in done.stderr
    assert site.manager.actions() == []


def test_an_action_of_a_dead_daemon_says_why_it_failed(site: Site) -> None:
    """In the column of results."""
    request = journal.record(site.manager.state, "now", "nightly", requested=True)
    by = {"host": "web1", "pid": 7, "lifeSign": "daemon of web1"}
    assert journal.move(site.manager.state, request, "taken", **by) is not None
    shown = site.call("actions", "--wide").stdout
    assert "failed" in shown
    assert "the daemon web1:7 took it, and died before it recorded the end" in shown


@pytest.mark.parametrize("command", ["show", "logs", "rerun", "cancel"])
def test_a_beginning_of_several_runs_is_an_error_that_lists_them(site: Site, command: str) -> None:
    """No command acts on a guess."""
    for number in (1, 2):
        record = records.begun("nightly", f"abcdef{number}" + "0" * 25, "completed", {})
        records.add(site.manager.jobs, record, 1_800_000_000_000)
    done = site.call(command, "abcdef")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "2 runs begin with it" in done.stderr
    assert all(f"abcdef{number}" in done.stderr for number in (1, 2))
