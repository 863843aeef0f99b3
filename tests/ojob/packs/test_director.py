"""The pack oJobDirector.yaml in job files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.recipes.director import Director

if TYPE_CHECKING:
    from pathlib import Path

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


ASKING = """\
jobs:
- name: Ask
  exec: |
    found = job("oJob Director check", {"jobName": "load", "jobUUID": "asked"})
    log(None if found is None else (found["status"], found["result"], found["timestamp"] > 0))
- name: Load
  from: oJob Director checkin
  args: {jobName: load, jobUUID: asked}
  exec: |
    job("oJob Director checkout", {**args, "result": {"rows": 7}})
- name: Open
  exec: |
    channel("mine", {"type": "db", "args": {"file": args["file"]}})
todo:
- {name: oJob Director init, args: {ch: mine}}
- Open
- Ask
- Load
- Ask
"""


def test_check_returns_what_is_recorded_of_an_execution(run: Run, tmp_path: Path) -> None:
    """Or nothing, if there was none. `ch` names a channel that is opened before its first use."""
    file = str(tmp_path / "mine.db")
    result, reported = run(ASKING, file=file)
    assert result.exit_status == 0, reported
    logged = [line for line in reported if line.startswith("Ask: ")]
    assert logged == ["Ask: None", "Ask: ('completed', {'rows': 7}, True)"]
    with oc.open_channel("mine", type="db", file=file) as channel:
        assert channel.size() == 1


@pytest.mark.parametrize(
    ("args", "warned"),
    [("{}", True), ("{ch: mine}", True), ("{chDirector: {type: simple}}", False)],
)
def test_executions_in_memory_give_a_warning_unless_configured(
    run: Run, args: str, warned: bool
) -> None:
    """Another process would execute the same once more."""
    todo = f"{{name: oJob Director init, args: {args}}}, Load"
    _, reported = run(ASKING.split("todo:")[0] + f"todo: [{todo}]\n")
    lines = [line for line in reported if "in the memory of this process only" in line]
    assert len(lines) == warned


def test_one_channel_is_named(run: Run) -> None:
    """`ch` and `chDirector` mean the same."""
    entry = "{name: oJob Director init, args: {ch: mine, chDirector: {type: simple}}}"
    result, _ = run(f"todo: [{entry}]\n")
    assert "both name the channel" in str(result.outcomes[0].error)
