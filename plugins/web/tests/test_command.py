"""The command ``ojob web``, as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

import ojobchannels as oc
from ojobchannels.cli import cli
from ojobchannels_web.serve import InvalidSetting, read_tokens


def run(manager: oc.JobManager, tmp_path: Path, *options: str) -> tuple[int, str]:
    """Runs the command, which must refuse to serve."""
    with manager.run("x"):
        pass
    jobs = f"sqlite:///{tmp_path}/jobs.db"
    result = CliRunner().invoke(cli, ["web", "--jobs", jobs, *options])
    return result.exit_code, result.output


def test_it_serves_until_it_is_asked_to_stop(manager: oc.JobManager, tmp_path: Path) -> None:
    """And ends with status 0 although a page is open."""
    with manager.run("report"):
        pass
    command = [sys.executable, "-m", "ojobchannels", "web", "--port", "0"]
    environment = {**os.environ, "OJOB_JOBS": f"sqlite:///{tmp_path}/jobs.db"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"Serving (\S+) \(read-only\)", process.stderr.readline())
        assert found
        with urllib.request.urlopen(found[1], timeout=30) as reply:  # noqa: S310  our own server
            assert b"report" in reply.read()
        with urllib.request.urlopen(f"{found[1]}events", timeout=30) as stream:  # noqa: S310  our own server
            assert stream.readline() == b"retry: 2000\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "--token-file"),  # noqa: S104  must be refused
        (["--allow", "unlock"], "tokens"),
        (["--allow", "eat", "--user-header", "X-User"], "'eat'"),
        (["--token-file", "missing"], "missing"),
        (["--channel", "orders"], "NAME=URL"),
        (["--channel", "orders=sqlite:///missing.db"], "missing.db"),
        (["--host", "192.0.2.1", "--token-file", "TOKENS"], "cannot listen"),
    ],
)
def test_options_that_are_unsafe_or_wrong_are_refused(
    manager: oc.JobManager, tmp_path: Path, options: list[str], message: str
) -> None:
    """In one line that says what to do."""
    tokens = tmp_path / "tokens"
    tokens.write_text("ann 0123456789abcdef\n")
    tokens.chmod(0o600)
    found = [str(tokens) if option == "TOKENS" else option for option in options]
    status, output = run(manager, tmp_path, *found)
    assert status == 2
    assert message in output
    assert output.startswith("ojob: ")


def test_a_token_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("ann 0123456789abcdef\n")
    tokens.chmod(0o604)
    with pytest.raises(InvalidSetting, match="chmod"):
        read_tokens(str(tokens))
    tokens.chmod(0o640)
    assert read_tokens(str(tokens)) == {"0123456789abcdef": "ann"}
