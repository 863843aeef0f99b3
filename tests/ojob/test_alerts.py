"""`ojob.alerts`: what it accepts, what it refuses and where, and the jobs that it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ojobchannels.alerts import Alert, Mail, Ping, Webhook
from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file, run_file
from ojobchannels.ojob.load.loader import load

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager
    from tests.ojob.conftest import Run

INCLUDE = "include: [oJobManager.yaml]"
JOBS = """\
jobs:
- name: Pager
  exec: log(*(args["notice"].get(key) for key in ("event", "job", "error")))
- name: Work
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {name: work}
  exec: |
    if not args.get("well"):
      raise ValueError("broken")
todo: [oJobManager Init, Work]
"""


def diagnostics(
    folder: Path, alerts: str, include: str = "include: [oJobManager.yaml]"
) -> list[str]:
    """Check a file with alerts, and return what is wrong with it."""
    path = folder / "f.yaml"
    path.write_text(f"ojob:\n  alerts:\n{alerts}{include}\n{JOBS}")
    try:
        check_file(path)
    except JobFileError as error:
        return [f"{one.line}:{one.column} {one.message}" for one in error.diagnostics]
    return []


def test_a_job_runs_for_each_alert(run: Run, manager: JobManager) -> None:
    """The job of an alert gets the notice, also at the very end of a run."""
    text = f"ojob: {{alerts: [{{job: Pager}}]}}\n{JOBS}"
    result, reported = run(text)
    assert result.exit_status == 1
    assert "Pager: failed work ValueError: broken" in reported
    _, reported = run(text, well=True)
    assert "Pager: recovered work None" in reported
    alert: object = manager.state.get({"alerts": Alert("Pager").id})
    assert isinstance(alert, dict)
    assert alert["notices"] == []


def test_all_keys(tmp_path: Path) -> None:
    """Each key of an alert arrives in its rule."""
    path = tmp_path / "f.yaml"
    path.write_text(
        "include: [oJobManager.yaml]\n"
        "ojob:\n"
        "  alerts:\n"
        "  - webhook: {url: 'https://a.example/x', body: {a: 1}, headers: {X: y}, timeout: 500}\n"
        "    on: failed\n"
        "    jobs: [a, b-*]\n"
        "    every: 5\n"
        "    name: hook\n"
        "  - ping: {start: 'https://a.example/1', success: 'https://a.example/2', "
        "fail: 'https://a.example/3'}\n"
        "  - mail: {to: a@example.org, from: o@example.org, host: mail, port: 26, security: none, "
        "user: u, password: p, subject: s, text: t}\n"
        "    skippedInARow: 4\n" + JOBS
    )
    hook, ping, mail = load(path).alerts
    webhook = Webhook("https://a.example/x", {"a": 1}, {"X": "y"}, 0.5)
    assert hook == Alert(webhook, on=("failed",), jobs=("a", "b-*"), every=5, name="hook")
    assert ping == Alert(Ping("https://a.example/2", "https://a.example/1", "https://a.example/3"))
    sent = Mail(("a@example.org",), "o@example.org", "mail", 26, "none", "u", "p", "s", "t")
    assert mail.target == sent
    assert (mail.skipped_in_a_row, "skipped" in mail.on) == (4, True)


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        ("{job: Pagr}", "3:11 unknown job 'Pagr'"),
        ("{job: Pager, on: faild}", "3:22 unknown on 'faild'"),
        ("{job: Pager, on: [failed, lots]}", "3:31 unknown on 'lots'"),
        ("{job: Pager, every: 0}", "3:25 0 is out of range"),
        ("{on: failed}", "3:5 an alert has one of `webhook`, `mail`, `ping` or `job`, found none"),
        ("{job: Pager, onn: failed}", "3:18 unknown key `onn`"),
        ("{webhook: {url: 'ftp://x/s3cret'}}", "3:21 ftp://x/*** is not a URL of http or https"),
        ("{webhook: {}}", "3:6 `url` is missing"),
        (
            "{webhook: {url: 'http://x', body: {t: '{{erro}}'}}}",
            "3:43 a notice has no field 'erro'",
        ),
        ("{webhook: {url: 'http://x', timeout: 900000}}", "3:42 900 s is out of range"),
        ("{webhook: {url: 'http://x', headers: {Host: y}}}", "3:49 'Host' cannot be set"),
        ("{ping: {timeout: 5}}", "3:12 a ping needs a URL"),
        ("{ping: {fail: 'http://x'}, every: 2}", "3:39 a ping is sent for every run, and takes no"),
        ("{mail: {to: a, from: a@b.c, host: h}}", "3:17 'a' is not a mail address"),
        ("{mail: {to: a@b.c, from: b, host: h}}", "3:30 'b' is not a mail address"),
        ("{mail: {to: a@b.c, from: a@b.c, host: h, user: u}}", "3:52 `password` is missing"),
        ("{mail: {to: a@b.c, from: a@b.c, host: h, security: ssl}}", "3:56 unknown security 'ssl'"),
        ("{mail: {to: a@b.c, from: a@b.c, host: h, port: 70000}}", "3:52 70000 is out of range"),
    ],
)
def test_mistakes_have_a_position(tmp_path: Path, alert: str, expected: str) -> None:
    """A mistake in an alert is found before anything runs, at its line and column."""
    found = diagnostics(tmp_path, f"  - {alert}\n")
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_a_file_without_managed_jobs(tmp_path: Path) -> None:
    """Alerts of a file that has no managed jobs would never report anything."""
    found = diagnostics(tmp_path, "  - job: Pager\n", "")
    assert "3:3 alerts are about managed jobs, but this file has none" in found


def test_the_same_alert_twice(tmp_path: Path) -> None:
    """Two equal alerts would share one memory."""
    found = diagnostics(tmp_path, "  - job: Pager\n  - job: Pager\n")
    assert found == ["4:5 an earlier alert has the same name, or is equal"]


def test_a_missing_secret_stops_the_run_but_not_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check may run where the secrets are not; a run does not begin without them."""
    monkeypatch.delenv("NO_SUCH_HOOK", raising=False)
    assert diagnostics(tmp_path, "  - webhook: {url: '${env:NO_SUCH_HOOK}'}\n") == []
    with pytest.raises(JobFileError) as raised:
        run_file(tmp_path / "f.yaml")
    (one,) = raised.value.diagnostics
    assert (one.line, one.message) == (3, "the environment variable 'NO_SUCH_HOOK' is not set")
