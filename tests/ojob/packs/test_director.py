"""The pack oJobDirector.yaml in job files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ojobchannels as oc
from ojobchannels.recipes.director import Director

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


DIRECTED = """\
jobs:
- name: Load
  from: [oJob Director init, oJob Director checkin]
  to: oJob Director checkout
  args: {{jobName: load, jobUUID: monday, chDirector: {config}}}
  exec: |
    if args.get("fails"):
        raise ValueError("no file")
    log("loading")
todo: [Load]
"""


def test_an_executed_job_is_skipped(run: Run, config: dict[str, Any]) -> None:
    """A failure does not count as executed."""
    text = DIRECTED.format(config=config)
    _, failed = run(text, fails=True)
    assert failed == ["Load failed (ValueError: no file)"]
    _, first = run(text)
    assert first == ["Load: loading", "Load completed"]
    _, second = run(text)
    assert second == ["Load skipped ('load' 'monday' was already executed)"]


def test_a_job_that_another_process_executes_is_skipped(run: Run, config: dict[str, Any]) -> None:
    """The reason names the holder."""
    with oc.open_channel("oJobDirector", config) as channel:
        lease = Director(channel, {"type": "director"}).check_in("load", "monday", ttl=60)
        assert lease is not None
        _, reported = run(DIRECTED.format(config=config))
        assert "('load' 'monday' is already being executed (host " in reported[0]


def test_a_job_can_wait_for_an_execution(run: Run, config: dict[str, Any]) -> None:
    """It fails if the execution does not end in time."""
    waiting = """
- name: oJob Director wait
  args: {jobName: load, jobUUID: monday, jobWaitTime: 1, jobWaitRetry: 2}
"""
    text = DIRECTED.format(config=config)
    result, _ = run(text.replace("todo: [Load]", "todo:" + waiting))
    assert isinstance(result.outcomes[0].error, oc.JobTimeout)
    result, reported = run(text.replace("todo: [Load]", "todo:\n- Load" + waiting))
    assert result.exit_status == 0, reported
